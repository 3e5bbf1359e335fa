"""Landlock: a process gives up, for itself and all it starts, access to parts of the file system and to other processes.

No privilege is needed, and root heeds it too. There are only rules that allow, and a rule for a directory holds for all
below it: what is to be hidden is what is left when everything beside the way to it is allowed. So the directories on that
way can still be listed, but what appears in them later is as closed as what is hidden.

Source:
    The kernel's documentation, userspace-api/landlock; include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterator, Sequence

ABI_MIN = 3  # Linux 6.2: before, files could be cut short and moved past the rules
ABI_SCOPES = 6  # Linux 6.12: signals
ENTRIES_MAX = 20_000

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_SCOPE_SIGNAL = 1 << 1

_EXECUTE, _WRITE_FILE, _READ_FILE = 1 << 0, 1 << 1, 1 << 2
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE = sum(1 << bit for bit in range(6, 13))  # devices, directories, files, sockets, pipes, links
_MAKE_BLOCK_DEVICE = 1 << 11
_REFER = 1 << 13  # move and link from one directory to another
_TRUNCATE = 1 << 14
_READ = _EXECUTE | _READ_FILE
_OF_FILES = _READ | _WRITE_FILE | _TRUNCATE
# Listing is left out: it would have to be denied in all directories on the way, which breaks more than it hides.
_ALL = _OF_FILES | _REMOVE_DIR | _REMOVE_FILE | _MAKE | _REFER


def landlock_abi() -> int:
    """The version of Landlock that this kernel speaks; 0 if it has none or it is switched off."""
    return max(0, _syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG))


def hide(directories: Sequence[str], readable: Sequence[str], writable: Sequence[str]) -> None:
    """From now on this process and all it starts do without these directories, and without processes not its own.

    `PR_SET_NO_NEW_PRIVS` must be set. What is in the directories can still be listed and `stat`ed, not opened, changed,
    moved, removed or added to.

    Args:
        directories: Absolute paths without links in them.
        readable: Directories that may be read, although they lie in one of those.
        writable: Directories that may be used freely, although they lie in one of those.

    Raises:
        OSError: The kernel refused, or there are too many entries beside the way to a directory; nothing changed.
    """
    ruleset = _create(_ALL)
    try:
        for path in _beside(directories):
            _allow(ruleset, path, _ALL)
        for path in readable:
            _allow(ruleset, path, _READ)
        for path in writable:
            _allow(ruleset, path, _ALL)
        _restrict(ruleset)
    finally:
        os.close(ruleset)


def stand_alone() -> None:
    """From now on this process and all it starts can neither look into processes outside nor (Linux 6.12) signal them.

    `PR_SET_NO_NEW_PRIVS` must be set.

    Raises:
        OSError: The kernel refused; nothing changed.
    """
    # A ruleset must handle something: before there were scopes, a right that everybody keeps.
    is_scoped = landlock_abi() >= ABI_SCOPES
    rights = 0 if is_scoped else _MAKE_BLOCK_DEVICE | _REFER
    ruleset = _create(rights)
    try:
        if rights:
            _allow(ruleset, "/", rights)
        _restrict(ruleset)
    finally:
        os.close(ruleset)


def _beside(directories: Sequence[str]) -> Iterator[str]:
    """Every file and directory that is neither one of these nor on the way to one."""
    on_the_way = {parent for directory in directories for parent in _parents(directory)}
    closed = frozenset(directories)
    count = 0
    for parent in sorted(on_the_way - closed):
        try:
            names = os.listdir(parent)  # noqa: PTH208 - pathlib would be paid at every cold start
        except OSError:  # it may be passed through but not be read: nothing beside the way is open
            continue
        count += len(names)
        if count > ENTRIES_MAX:
            raise OSError(
                f"more than {ENTRIES_MAX} entries lie beside it, such as in {parent}; "
                "choose a --state-dir elsewhere, or --replica-landlock off"
            )
        for name in names:
            path = f"{parent.rstrip('/')}/{name}"
            if path not in on_the_way and path not in closed:
                yield path


def _parents(path: str) -> Iterator[str]:
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Allow it in a file or below a directory; what has gone or is a link (its target counts) needs no rule."""
    try:
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISLNK(mode):
            return
        allowed = rights if stat.S_ISDIR(mode) else rights & _OF_FILES
        _checked(_syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, fd), 0))
    finally:
        os.close(fd)


def _create(rights: int) -> int:
    attributes = struct.pack("=Q", rights)
    if landlock_abi() >= ABI_SCOPES:
        attributes += struct.pack("=QQ", 0, _SCOPE_SIGNAL)
    fd = _checked(_syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    os.set_inheritable(fd, False)
    return fd


def _restrict(ruleset: int) -> None:
    _checked(_syscall(_RESTRICT_SELF, ruleset, 0))


_call = ctypes.CDLL(None, use_errno=True).syscall
_call.restype = ctypes.c_long


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    whole = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(_call(ctypes.c_long(number), *whole))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return result

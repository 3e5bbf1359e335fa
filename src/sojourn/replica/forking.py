"""The fork itself: when it is safe, and how the new process becomes a child of the launcher."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import sys
import time

from sojourn.replica.threads import running_threads

_FD_DIR = "/proc/self/fd"
_HARMLESS_FILES = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"})
_PARENT_ENDS_WITHIN_S = 0.0005
_NAMED_MAX = 3  # threads or files named in a reason
_ARG_START, _ARG_END = 45, 46  # fields of /proc/self/stat behind the name, counted from 0 (man 5 proc)


def open_descriptors() -> frozenset[int]:
    """Descriptors of this process."""
    return frozenset(int(name) for name in os.listdir(_FD_DIR) if _target(name))  # noqa: PTH208 - see threads.py


def why_not_fork(before: frozenset[int]) -> str:
    """Why forking this process now could break what it imported, in words; empty if it could not.

    Threads do not come along with a fork, but the locks they hold do. Files and connections come along and
    are one for all: replicas would read from the same position, or talk over one another. What only writes
    to a file is harmless.

    Args:
        before: Descriptors open before the author's code was imported.
    """
    try:
        threads = running_threads()
        opened = [_target(name) for name in os.listdir(_FD_DIR) if _is_shared_badly(name, before)]  # noqa: PTH208
    except OSError as error:
        return f"its threads cannot be counted: {error.strerror}"
    if threads:
        return f"it has {_count(len(threads), 'thread')} running after the import ({_named(threads)})"
    if opened:
        return f"it has {_count(len(opened), 'descriptor')} open after the import ({_named(sorted(opened))})"
    return ""


def fork_for_adoption() -> bool:
    """Fork a process whose parent ends at once, so that the nearest subreaper above us becomes its parent.

    Replicas are then children of the launcher: it sees how they end, they end with it, and neither needs this
    process any more. The process in between is not ours to see: when it is gone, so is every tie.

    Returns:
        True in the new process, once it has its new parent and a session of its own; False in this one.

    Raises:
        OSError: There is no room for another process.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        parent = os.fork()
        if parent == 0:
            try:
                ours.close()
                between = os.getpid()
                if os.fork() > 0:
                    os._exit(0)
                os.setsid()
                with contextlib.suppress(OSError):  # the fork server has died: we go on without it
                    theirs.send(b"\n")
                    theirs.recv(1)  # until the end: it has reaped our first parent
                while os.getppid() == between:  # it has not, but our first parent is about to end by itself
                    time.sleep(_PARENT_ENDS_WITHIN_S)
            except OSError as error:
                os._exit(error.errno or 1)
            except BaseException:  # noqa: BLE001 - told to end: nothing may return from here but the replica
                os._exit(1)
            return True
        theirs.close()
        try:
            _, status = os.waitpid(parent, 0)
        except ChildProcessError:  # the author's code has the kernel reap for it
            status = 0
        # Until the replica has a session of its own, it is killed when the group of this process is.
        ours.recv(1)
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise OSError(code, os.strerror(code) if code > 0 else "the process in between was killed")
    return False


def flush_all() -> None:
    """Write out what Python and C hold in their buffers, or every replica would write it once more."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # whatever the author put there
            stream.flush()
    ctypes.CDLL(None).fflush(None)


def reseed() -> None:
    """Draw the state of numpy's global generator anew: replicas must not all go through the same numbers.

    The interpreter does so with the module `random` at each fork.
    """
    generators = sys.modules.get("numpy.random")
    if generators is not None:
        with contextlib.suppress(Exception):  # the author may have put another generator there
            generators.seed()


def be_called(*arguments: str) -> None:
    """Show other arguments in lists of processes, as far as there is room for them."""
    with open("/proc/self/stat") as stat:  # noqa: PTH123
        fields = stat.read().rpartition(")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if 0 < start < end:
        room = end - start
        text = b"\0".join(os.fsencode(argument) for argument in arguments)[: room - 1]
        ctypes.memmove(start, text.ljust(room, b"\0"), room)


def _is_shared_badly(name: str, before: frozenset[int]) -> bool:
    target = _target(name)
    if int(name) in before or not target or target in _HARMLESS_FILES:
        return False
    flags = fcntl.fcntl(int(name), fcntl.F_GETFL)
    return flags & os.O_ACCMODE != os.O_WRONLY or not target.startswith("/")


def _target(name: str) -> str:
    """What a descriptor is open on; empty if it is closed by now (as that of the listing itself)."""
    try:
        return os.readlink(f"{_FD_DIR}/{name}")  # noqa: PTH115 - see threads.py
    except OSError:
        return ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _named(names: list[str]) -> str:
    more = ", ..." if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more

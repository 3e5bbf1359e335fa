"""What bundles need of a file system: lasting directories, read-only trees that can be removed, full disks told."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from sojourn.errors import StateError

# No room: on the disk, within the user's quota, or within a limit set for the process.
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def disk_error(what: str, error: OSError) -> StateError:
    """The error for what the file system refused.

    Args:
        what: What could not be done, in words.
        error: What it said.
    """
    remedy = "; make room there, or choose another --state-dir" if error.errno in _FULL else ""
    return StateError(f"{what}: {error.strerror}{remedy}")


def sync_directory(fd: int, mode: int | None = None) -> None:
    """Make lasting which names an open directory holds; before that, set its mode if one is given."""
    if mode is not None:
        os.fchmod(fd, mode)
    os.fsync(fd)


def sync_path(path: Path) -> None:
    """Make lasting which names a directory holds."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_directory(fd)
    finally:
        os.close(fd)


def fail(error: OSError) -> None:
    """Pass on what a walk through directories could not read."""
    raise error


def remove_tree(path: Path) -> None:
    """Remove a tree although its directories are read-only; links in it are removed, not followed.

    Raises:
        OSError: Something in it is not ours to remove.
    """
    if not stat.S_ISDIR(path.lstat().st_mode):
        path.unlink()
        return
    for directory, folders, names, fd in os.fwalk(path, onerror=fail):
        del directory, folders, names
        os.fchmod(fd, 0o700)
    for _directory, folders, names, fd in os.fwalk(path, topdown=False):
        for name in names:
            os.unlink(name, dir_fd=fd)
        for name in folders:
            if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=fd)
            else:
                os.rmdir(name, dir_fd=fd)
    path.rmdir()


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, in as many calls as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]

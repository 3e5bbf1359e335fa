"""The state directory: private to its owner, and of one server at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from pathlib import Path

from sojourn.config.leftovers import set_aside, sweep_scratch
from sojourn.errors import StartError

LOCK_NAME = "server.lock"
RUN_NAME = "run"  # holds sockets and replicas' private directories, nothing that outlives the server
_SERVE_BESIDE = (
    "stop it, or serve beside it with another --port and --admin-port (each port has a state directory of its own), or "
    "with another --state-dir"
)
_PASSING = re.compile(r"any-([1-9][0-9]{0,9})")


class StateDir:
    """A state directory this process holds; `release` lets the next server have it.

    Make one with `claim`. The lock belongs to the open file, so a killed server leaves none behind.
    """

    def __init__(self, path: Path, lock_fd: int, *, is_passing: bool) -> None:
        self.path = path
        self.is_passing = is_passing  # it is meant for one run only
        self._lock_fd = lock_fd

    def release(self) -> None:
        """Give the directory up; one made for a single run is removed if nothing else is in it."""
        if self._lock_fd < 0:
            return
        if self.is_passing:
            with contextlib.suppress(OSError):
                (self.path / LOCK_NAME).unlink()
                self.path.rmdir()
        os.close(self._lock_fd)
        self._lock_fd = -1


def claim(path: Path, *, is_passing: bool = False, if_held: str = _SERVE_BESIDE) -> StateDir:
    """Make the directory if need be, for its owner only, and take it for this process.

    Args:
        path: The directory.
        is_passing: It is meant for this run only.
        if_held: What to do where a server holds it, for the error.

    Raises:
        StartError: It cannot be made or written, is not ours, or another server holds it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid != os.getuid():
            raise StartError(
                f"state directory {path} belongs to user {found.st_uid}, not to this one; choose another with --state-dir"
            )
        if found.st_mode & 0o022:
            raise StartError(f"state directory {path} can be written by others; run: chmod go-w {path}")
        lock_fd = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise StartError(
            f"state directory {path} cannot be used ({err.strerror}); choose another with --state-dir"
        ) from err
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        holder = os.pread(lock_fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock_fd)
        raise StartError(f"state directory {path} is held by a running server (process {holder}); {if_held}") from err
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)
    return StateDir(path, lock_fd, is_passing=is_passing)


def passing_name() -> str:
    """Name of the directory of a server on any free port: one of its own, gone when it ends."""
    return f"any-{os.getpid()}"


def sweep(root: Path) -> list[Path]:
    """Remove what killed servers on any free port left in `root`; returns the directories removed.

    Only directories that are this user's, whose lock nobody holds, whose process is gone and in which
    there is nothing but what a server makes for one run. A fault leaves the directory where it is.
    """
    removed = []
    with contextlib.suppress(OSError):
        for path in sorted(root.iterdir()):
            found = _PASSING.fullmatch(path.name)
            if found is not None and not _is_alive(int(found[1])) and _remove_abandoned(path):
                removed.append(path)
    return removed


def _is_alive(pid: int) -> bool:
    # A server that has made its directory and not yet its lock must not find it gone.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove_abandoned(path: Path) -> bool:
    """Whether the directory was nobody's and is gone."""
    try:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return False
        lock_fd = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        run = path / RUN_NAME
        if run.is_dir() and not run.is_symlink():
            set_aside(run)
            sweep_scratch(run)
        sockets = list(run.iterdir()) if run.is_dir() and not run.is_symlink() else []
        is_ours = {inner.name for inner in path.iterdir()} <= {LOCK_NAME, RUN_NAME}
        if not is_ours or not all(inner.is_socket() for inner in sockets):
            return False
        for inner in sockets:
            inner.unlink()
        if run.exists():
            run.rmdir()
        (path / LOCK_NAME).unlink()
        path.rmdir()
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock_fd)

"""What a server that was killed left in its run directory: the private directories of its replicas."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

SCRATCH_NAME = "r"  # in a run directory: the directory of all private directories, or a link to it
SCRATCH_PREFIX = "sojourn-replicas-"  # of the directory that such a link leads to
_ASIDE = "left-"


def set_aside(run_dir: Path) -> None:
    """Give what was left another name, so that a new server can make its own.

    Raises:
        OSError: It cannot be moved.
    """
    left = run_dir / SCRATCH_NAME
    if left.is_symlink() or left.exists():
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=run_dir))
        left.rename(aside / SCRATCH_NAME)


def sweep_scratch(run_dir: Path) -> None:
    """Remove what was set aside; a fault leaves it where it is."""
    with contextlib.suppress(OSError):
        for aside in run_dir.glob(f"{_ASIDE}*"):
            link = aside / SCRATCH_NAME
            if link.is_symlink():
                _remove_elsewhere(link.readlink())
            remove_tree(str(aside))


def remove_tree(path: str) -> None:
    """Remove a tree without following links, also where directories in it are closed; what cannot be removed stays."""
    shutil.rmtree(path, ignore_errors=True)
    if Path(path).is_dir():
        _open_directories(path)
        shutil.rmtree(path, ignore_errors=True)


def _remove_elsewhere(path: Path) -> None:
    found = path.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if is_ours and path.name.startswith(SCRATCH_PREFIX):  # whoever could write the link could not name just any
        remove_tree(str(path))


def _open_directories(path: str) -> None:
    """Let the owner into every directory of a tree: an author's code may have closed some, even to itself."""
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(Path(path).lstat().st_mode):
            Path(path).chmod(0o700)
    for parent, folders, _ in os.walk(path):
        for folder in folders:
            inner = Path(parent, folder)
            with contextlib.suppress(OSError):
                if stat.S_ISDIR(inner.lstat().st_mode):
                    inner.chmod(0o700)

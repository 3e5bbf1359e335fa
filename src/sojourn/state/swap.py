"""Puts a restored state in the place of another, whole or not at all, whenever the machine stops.

The new state lies ready in a directory of its own before anything is moved. From the rename to `restore.ready` on it
will take the old one's place: now, or when the directory is opened next. The old one is kept until the new one stands.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

PART_NAME: Final = "restore.part"  # being written; means nothing
READY_NAME: Final = "restore.ready"  # verified and on the disk: the old state is being moved away
_PLACING_NAME: Final = "restore.placing"  # the old state is away: this one is being moved into place
_OLD_NAME: Final = "restore.old"


def commit_restore(state_dir: Path) -> None:
    """What lies in `restore.part`, verified and on the disk, becomes the state; the caller holds the directory.

    Raises:
        OSError: A name could not be changed; `finish_restore` goes on from there.
    """
    (state_dir / PART_NAME).rename(state_dir / READY_NAME)
    synced_directory(state_dir)
    finish_restore(state_dir)


def finish_restore(state_dir: Path) -> None:
    """End a restore that was interrupted, and remove what one that never was complete left; the caller holds the directory.

    Raises:
        OSError: A name could not be changed; the next call goes on from there.
    """
    ready, placing, old = (state_dir / name for name in (READY_NAME, _PLACING_NAME, _OLD_NAME))
    if ready.exists():
        old.mkdir(mode=0o700, exist_ok=True)
        for path in _parts_of(state_dir):
            path.rename(old / path.name)
        synced_directory(old)
        synced_directory(state_dir)
        ready.rename(placing)
        synced_directory(state_dir)
    if placing.exists():
        for path in sorted(placing.iterdir()):
            path.rename(state_dir / path.name)
        synced_directory(state_dir)
        placing.rmdir()
        synced_directory(state_dir)
    for leftover in (old, state_dir / PART_NAME):
        if leftover.exists():
            remove_tree(leftover)


def is_pending(state_dir: Path) -> bool:
    """Whether a restore was interrupted after it had become certain."""
    return any((state_dir / name).exists() for name in (READY_NAME, _PLACING_NAME))


def holds_state(state_dir: Path) -> bool:
    """Whether there is a state in the directory, sound or not."""
    return is_pending(state_dir) or bool(_parts_of(state_dir))


def _parts_of(state_dir: Path) -> list[Path]:
    """What a state consists of: its databases with their logs, and the bundles."""
    databases = [path for path in state_dir.glob("*.db*") if path.is_file()]
    return sorted([*databases, *(path for path in [state_dir / "bundles"] if path.exists())])


def remove_tree(path: Path) -> None:
    """Remove a directory in which there may be directories that cannot be written.

    Raises:
        OSError: Something cannot be removed.
    """
    for directory, _, _ in os.walk(path):
        Path(directory).chmod(0o700)
    shutil.rmtree(path)


def synced_directory(path: Path) -> None:
    """Names in a directory are on the disk when this returns.

    Raises:
        OSError: They may not be.
    """
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)

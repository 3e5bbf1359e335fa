"""Private directories of replicas, which are gone when they are."""

from __future__ import annotations

import contextlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sojourn.config.leftovers import SCRATCH_NAME, SCRATCH_PREFIX, remove_tree, set_aside, sweep_scratch

# A name of a Unix socket holds 108 bytes, and libraries make theirs below TMPDIR, with names of up to 34 bytes.
_PATH_BYTES_MAX = 58


class ScratchSpace:
    """Makes a directory per replica below those of its revision, and removes it with all that is in it.

    Everything lies in one directory below that of the running server, or behind a link there, in the system's directory
    for temporary files, if paths would become too long for sockets. What a killed server left is removed at the next start.
    Removing goes on in a thread; `close` waits for it. What is in the directories has no bound but the disk's.

    Args:
        run_dir: A private directory (0700) of this server alone.

    Raises:
        OSError: Nothing can be made there.
    """

    def __init__(self, run_dir: Path) -> None:
        self._remover = ThreadPoolExecutor(1, "scratch")
        self._link = run_dir / SCRATCH_NAME
        set_aside(run_dir)  # at once, so that there is room; removing may take a while
        self._remover.submit(sweep_scratch, run_dir)
        if len(os.fsencode(self._link)) <= _PATH_BYTES_MAX:
            self._link.mkdir(mode=0o700)
            self.path = self._link.resolve()
        else:
            self.path = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX)).resolve()
            self._link.symlink_to(self.path)
        self._is_closed = False
        self._revisions: dict[str, str] = {}  # revision -> directory
        self._made = 0

    def of_revision(self, revision: str) -> str:
        """The directory above those of a revision's replicas, made if need be.

        Raises:
            OSError: It cannot be made.
        """
        path = self._revisions.get(revision)
        if path is None:
            self._made += 1
            path = str(self.path / str(self._made))
            Path(path).mkdir(mode=0o700)
            self._revisions[revision] = path
        return path

    def make(self, revision: str, name: str) -> str:
        """A new directory for one process.

        Args:
            revision: Its revision, with its function's name.
            name: Not used by a living one of this revision.

        Raises:
            OSError: It cannot be made.
        """
        path = Path(self.of_revision(revision)) / name
        path.mkdir(mode=0o700)
        return str(path)

    def remove(self, path: str) -> None:
        """Remove one that was made, some time soon."""
        self._remover.submit(remove_tree, path)

    def forget(self, revision: str) -> None:
        """A revision has no processes any more that need anything: its directory goes; a later one gets another."""
        path = self._revisions.pop(revision, None)
        if path is not None:
            self.remove(path)

    def close(self) -> None:
        """Remove everything and wait for it; afterwards nothing can be made."""
        if self._is_closed:
            return
        self._is_closed = True
        self._remover.submit(remove_tree, str(self.path))
        self._remover.shutdown(wait=True)
        if self._link.is_symlink():
            with contextlib.suppress(OSError):
                self._link.unlink()

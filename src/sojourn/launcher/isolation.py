"""How replicas are kept apart: from the settings of a server to what each of its processes takes upon itself."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sojourn.domain.function import FunctionManifest
from sojourn.launcher.scratch import ScratchSpace
from sojourn.replica.confine import memory_words
from sojourn.replica.landlock import ABI_MIN, landlock_abi
from sojourn.wire.spec import Confinement

MIB = 1024**2
# Of a BLAS thread, measured as VmData: 32 MiB of buffers and 8 MiB of stack; numpy and scipy bring one BLAS each.
_PER_THREAD_BYTES = 96 * MIB
_ABORTED = "killed by SIGABRT"
ALWAYS, OFF = "always", "off"


class IsolationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a server that say how replicas are kept apart, by the names they have there.

    Args:
        replica_memory_limit: `"claim"` or `"off"`.
        replica_memory_headroom: What a replica may ask for beyond its function's `memory`, in bytes, >= 0.
        replica_open_files: Most descriptors of a process; 0: as the server.
        replica_processes: Tasks that may be added to those its user has at its start; 0: any number.
        replica_file_bytes: Longest file, in bytes; 0: any.
        replica_landlock: `"auto"`, `"always"` or `"off"`.
    """

    replica_memory_limit: str = "claim"
    replica_memory_headroom: int = 512 * MIB
    replica_open_files: int = 4096
    replica_processes: int = 2048
    replica_file_bytes: int = 32 * 1024 * MIB
    replica_landlock: str = "auto"


class Isolation:
    """Says of each process that runs an author's code how it is confined.

    Args:
        settings: What the operator wants.
        state_dir: What replicas are to be kept from; None: nothing.
        scratch: Where their private directories are made; closed with this object. None: they have none.
    """

    def __init__(
        self,
        settings: IsolationSettings | None = None,
        state_dir: Path | None = None,
        scratch: ScratchSpace | None = None,
    ) -> None:
        self.settings = settings or IsolationSettings()
        self.abi = landlock_abi()
        self.uses_landlock = self.abi >= ABI_MIN and self.settings.replica_landlock != OFF
        self._scratch = scratch
        self._imports = 0
        self._state_dir = None if state_dir is None else state_dir.resolve()

    def confinement(self, manifest: FunctionManifest, name: str) -> Confinement:
        """What a new process of a function takes upon itself; `ended` must be called when it has ended.

        Args:
            manifest: The function; with a `root` it was deployed, else its file is the operator's own.
            name: Not used by a living process of the same revision.

        Raises:
            OSError: Its private directory cannot be made.
        """
        settings, function = self.settings, manifest.settings
        data_bytes = 0
        # An accelerator's driver asks for far more than it ever uses.
        if settings.replica_memory_limit != OFF and function.memory_bytes and not function.gpus:
            threads_bytes = _PER_THREAD_BYTES * function.thread_count
            data_bytes = function.memory_bytes + settings.replica_memory_headroom + threads_bytes
        return self._confinement(_revision_of(manifest), name, manifest.target, manifest.root, data_bytes)

    def of_import(self, target: str = "", root: str = "") -> Confinement:
        """What a process takes upon itself that only imports a target, to say what it declares; `ended` as above.

        Args:
            target: File or module.
            root: Directory of a deployed tree; empty for the operator's own file.

        Raises:
            OSError: Its private directory cannot be made.
        """
        self._imports += 1
        return self._confinement("", str(self._imports), target, root, 0)

    def _confinement(self, revision: str, name: str, target: str, root: str, data_bytes: int) -> Confinement:
        settings = self.settings
        shared = self._scratch.of_revision(revision) if self._scratch is not None else ""
        scratch = self._scratch.make(revision, name) if self._scratch is not None else ""
        return Confinement(
            data_bytes=data_bytes,
            open_files=settings.replica_open_files,
            processes=_tasks_max(settings.replica_processes),
            file_bytes=settings.replica_file_bytes,
            scratch=scratch,
            has_home=bool(root and scratch),
            tree=os.path.realpath(root) if root else "",
            uses_landlock=self.uses_landlock,
            hidden=self.hidden_from(target, root) if self.uses_landlock else (),
            shared=scratch if not revision else shared,
        )

    def hidden_from(self, target: str, root: str) -> tuple[str, ...]:
        """The directories that a function is kept from, where there is Landlock.

        It closes what appears later beside the way to what it hides, too. Deployed code has places of its own to write
        to; the operator's own file may want those it always had.
        """
        state_dir = self._state_dir
        if state_dir is None:
            return ()
        if not root and self.settings.replica_landlock != ALWAYS:
            places = {os.path.realpath(place) for place in _ordinary_places(target)}
            return () if any(state_dir.is_relative_to(place) for place in places) else (str(state_dir),)
        if self._scratch is None or self._scratch.path.is_relative_to(state_dir):
            return (str(state_dir),)
        return str(state_dir), str(self._scratch.path)

    def ended(self, confinement: Confinement) -> None:
        """A process that was confined so has ended: its private directory goes."""
        if self._scratch is not None and confinement.scratch:
            self._scratch.remove(confinement.scratch)

    def forget(self, manifest: FunctionManifest) -> None:
        """A revision is gone: the directory above those of its processes goes, too."""
        if self._scratch is not None:
            self._scratch.forget(_revision_of(manifest))

    @staticmethod
    def explained(cause: str, confinement: Confinement) -> str:
        """The cause of a process's end, with the limit that most likely brought it about."""
        if cause == _ABORTED and confinement.data_bytes:  # what a library does that gets no memory
            return f"{cause}; if it ran out of memory: {memory_words(confinement.data_bytes)}"
        return cause

    def close(self) -> None:
        """Remove all private directories; may take a while, and is better not called on an event loop."""
        if self._scratch is not None:
            self._scratch.close()


def _ordinary_places(target: str) -> Iterator[str]:
    """Where a served file may be expected to make files."""
    yield str(Path.cwd())
    yield tempfile.gettempdir()
    yield os.path.dirname(os.path.abspath(target))  # noqa: PTH100, PTH120 - a module's name is no path, and does no harm
    if home := os.environ.get("HOME"):
        yield home


def _revision_of(manifest: FunctionManifest) -> str:
    return f"{manifest.name}@{manifest.revision}"


def _tasks_max(more: int) -> int:
    """The limit that lets this user have so many more processes and threads than now; 0: none."""
    return _tasks_of_user() + more if more and os.getuid() else 0


def _tasks_of_user() -> int:
    """Processes and threads of this user."""
    count = 0
    for name in os.listdir("/proc"):  # noqa: PTH208 - as below
        if name.isdigit():
            try:
                found = os.stat(f"/proc/{name}/task")  # noqa: PTH116 - pathlib takes three times as long
            except OSError:
                continue
            if found.st_uid == os.getuid():
                count += found.st_nlink - 2  # a directory has a link for each directory in it
    return count

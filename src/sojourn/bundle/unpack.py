"""An archive of a stranger, unpacked into a directory of its own: each entry judged before it is written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from sojourn.bundle.digest import TreeDigest
from sojourn.bundle.disk import disk_error, remove_tree, sync_directory, write_all
from sojourn.bundle.gunzip import Gunzip
from sojourn.bundle.limits import DEFAULT_LIMITS, BundleLimits, size_text
from sojourn.bundle.names import DIRECTORY, FILE, NameBook, name_fault, shown
from sojourn.bundle.tar import Entry, padding, read_entry
from sojourn.errors import BundleError

UNPACKING_PREFIX: Final = ".new-"
_CHUNK_BYTES: Final = 2**18
_FILE_MODES: Final = {False: 0o444, True: 0o555}
_DIRECTORY_MODE: Final = 0o555


class Unpacked(msgspec.Struct, frozen=True):
    """A tree that was unpacked.

    Args:
        path: Its directory; read-only, as all in it.
        digest: SHA-256 (hex) of the tree: paths, executable bits and contents.
        files: Number of files.
        bytes: Of their contents.
    """

    path: Path
    digest: str
    files: int
    bytes: int


def unpack(archive: Path | BinaryIO, parent: Path, limits: BundleLimits = DEFAULT_LIMITS) -> Unpacked:
    """Unpack a tar.gz into a fresh directory; all of it, on disk (fsync) and read-only, or nothing.

    Taken are plain files and directories under names that `sojourn.bundle.names` allows; of modes only the executable
    bit counts, of directories only what files need. Memory stays bounded whatever the archive says: entry by entry is
    read, judged, then written.

    Args:
        archive: A file's path, or a stream that is read to its end.
        parent: Directory below which the fresh one is made; on this side of it nothing is written.
        limits: What is too much.

    Raises:
        BundleError: The archive is hostile, damaged or too large; names the entry and the rule. Nothing is left.
        StateError: The disk is full, or `parent` cannot be written. Nothing is left.
    """
    if isinstance(archive, Path):
        try:
            opened = archive.open("rb")
        except OSError as error:
            raise disk_error(f"{archive.name} cannot be read", error) from error
        with opened as stream:
            return unpack(stream, parent, limits)
    try:
        path = Path(tempfile.mkdtemp(prefix=UNPACKING_PREFIX, dir=parent))
    except OSError as error:
        raise disk_error("a bundle cannot be unpacked", error) from error
    try:
        root_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            unpacking = _Unpacking(root_fd, Gunzip(archive, limits), limits)
            unpacking.run()
        finally:
            os.close(root_fd)
    except BaseException as error:
        with contextlib.suppress(OSError):
            remove_tree(path)
        if isinstance(error, OSError):
            raise disk_error("a bundle cannot be unpacked", error) from error
        raise
    return Unpacked(path, unpacking.digest.hexdigest(), unpacking.files, unpacking.bytes)


class _Unpacking:
    def __init__(self, root_fd: int, stream: Gunzip, limits: BundleLimits) -> None:
        self._root_fd = root_fd
        self._stream = stream
        self._limits = limits
        self._names = NameBook()
        self._made: set[str] = set()  # directories
        self._entries_left = 2 * limits.files + 1  # files, as many directories, and the root
        self.digest = TreeDigest()
        self.files = self.bytes = 0

    def run(self) -> None:
        while (entry := read_entry(self._stream.read)) is not None:
            self._entries_left -= 1
            if self._entries_left < 0:
                raise BundleError(f"more than {2 * self._limits.files} entries are not taken")
            name = self._judged(entry)
            if name and not entry.is_directory:
                self._write(name, entry)
        if not self.files:
            raise BundleError("the archive holds no file")
        self._close_directories()

    def _judged(self, entry: Entry) -> str:
        """The path of an entry that may be taken; empty for the root itself.

        Raises:
            BundleError: It may not.
        """
        name = entry.name.removesuffix("/") if entry.is_directory else entry.name
        if entry.is_directory and name == ".":
            return ""
        name = name.removeprefix("./")  # as `tar -c .` writes them
        fault = name_fault(name, self._limits)
        fault = fault or self._names.fault_of(name, DIRECTORY if entry.is_directory else FILE)
        if fault is None and self._names.directories > self._limits.files:
            fault = f"more than {self._limits.files} directories are not taken"
        if fault is None and not entry.is_directory:
            if self.files == self._limits.files:
                fault = f"more than {self._limits.files} files are not taken"
            elif self.bytes + entry.size > self._limits.bytes:
                fault = f"with it the tree would take more than {size_text(self._limits.bytes)}"
        if fault is not None:
            raise BundleError(f"{shown(entry.name)}: {fault}")
        return name

    def _write(self, name: str, entry: Entry) -> None:
        self._make_directories(name)
        content = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self._root_fd)
        with os.fdopen(fd, "wb", buffering=0) as file:
            left = entry.size
            while left:
                data = self._stream.read(min(left, _CHUNK_BYTES))
                if not data:
                    raise BundleError(f"{shown(entry.name)}: the archive is cut off inside this file; send it again")
                left -= len(data)
                content.update(data)
                write_all(file.fileno(), data)
            if len(self._stream.read(len(padding(entry.size)))) < len(padding(entry.size)):
                raise BundleError(f"{shown(entry.name)}: the archive is cut off after this file; send it again")
            os.fchmod(fd, _FILE_MODES[entry.is_executable])
            os.fsync(fd)
        self.files += 1
        self.bytes += entry.size
        self.digest.add(name, is_executable=entry.is_executable, content=content.digest())

    def _make_directories(self, name: str) -> None:
        end = name.find("/")
        while end >= 0:
            directory = name[:end]
            if directory not in self._made:
                os.mkdir(directory, 0o700, dir_fd=self._root_fd)
                self._made.add(directory)
            end = name.find("/", end + 1)

    def _close_directories(self) -> None:
        """Make them read-only and lasting, the innermost first."""
        for directory in sorted(self._made, key=lambda made: made.count("/"), reverse=True):
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._root_fd)
            try:
                sync_directory(fd, _DIRECTORY_MODE)
            finally:
                os.close(fd)
        sync_directory(self._root_fd, _DIRECTORY_MODE)

"""Where a server keeps the bundles it was given, each under the hash of its content: whole, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import tempfile
import threading
from collections.abc import AsyncIterable, Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from sojourn.bundle.digest import DIGEST, digest_of
from sojourn.bundle.disk import disk_error, remove_tree, sync_path, write_all
from sojourn.bundle.limits import DEFAULT_LIMITS, BundleLimits, size_text
from sojourn.bundle.names import shown
from sojourn.bundle.unpack import UNPACKING_PREFIX, Unpacked, unpack
from sojourn.errors import BundleError, StateError

_INCOMING: Final = "incoming"
_BUNDLES: Final = "bundles"
_UPLOAD_PREFIX: Final = "upload-"
_GONE_PREFIX: Final = ".gone-"
_PASSING_PREFIXES: Final = (UNPACKING_PREFIX, _GONE_PREFIX)
_WRITE_BYTES: Final = 2**20
_PLACE_TRIES: Final = 8
_OCCUPIED: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY})


class Swept(msgspec.Struct, frozen=True):
    """What a sweep removed.

    Args:
        bundles: Digests of bundles that nothing referred to, sorted.
        leftovers: Number of files and trees that uploads of killed servers left behind.
        kept: What could not be removed, in words; it is tried again with the next sweep.
    """

    bundles: tuple[str, ...] = ()
    leftovers: int = 0
    kept: tuple[str, ...] = ()


class BundleStore:
    """The bundles of one server: `bundles/DIGEST/` are read-only trees, `incoming/` holds uploads under way.

    A bundle appears by one rename, after all of it is on disk; so whatever kills the server leaves whole bundles and
    leftovers that `sweep` removes. One store per directory (the state directory's lock sees to that). What blocks may
    be called from any thread.

    Args:
        root: Its directory; made by `open`.
        limits: How large a bundle may be.
    """

    def __init__(self, root: Path, limits: BundleLimits = DEFAULT_LIMITS) -> None:
        self._incoming = root / _INCOMING
        self._bundles = root / _BUNDLES
        self._limits = limits
        self._lock = threading.Lock()
        self._in_use: set[Path] = set()  # uploads under way, which a sweep leaves alone
        self._adding = 0

    def open(self) -> None:
        """Make the directories if need be, for this user only.

        Raises:
            StateError: They cannot be made.
        """
        try:
            for path in (self._incoming, self._bundles):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_path(self._bundles.parent)
        except OSError as error:
            raise disk_error("the store of bundles cannot be opened", error) from error

    async def put(self, chunks: AsyncIterable[bytes]) -> str:
        """Take an archive as it comes in and add it; the digest of its tree.

        Whoever gives the chunks bounds how long to wait for one.

        Raises:
            BundleError: It is hostile, damaged or too large.
            StateError: The disk is full or cannot be written.
        """
        archive = await self.receive(chunks)
        try:
            return await asyncio.to_thread(self.add, archive)
        finally:
            self.drop(archive)

    async def receive(self, chunks: AsyncIterable[bytes]) -> Path:
        """Write an archive to a file of its own as it comes in; `drop` it when it is no longer needed.

        Raises:
            BundleError: It is longer than the limit. Nothing is left.
            StateError: The disk is full or cannot be written. Nothing is left.
        """
        with self._lock:
            try:
                fd, name = tempfile.mkstemp(prefix=_UPLOAD_PREFIX, dir=self._incoming)
            except OSError as error:
                raise disk_error("an upload cannot be written", error) from error
            archive = Path(name)
            self._in_use.add(archive)
        try:
            with os.fdopen(fd, "wb", buffering=0) as file:
                await self._write(chunks, file)
        except BaseException as error:  # a client that left, too
            self.drop(archive)
            if isinstance(error, OSError):
                raise disk_error("an upload cannot be written", error) from error
            raise
        return archive

    async def _write(self, chunks: AsyncIterable[bytes], file: BinaryIO) -> None:
        received = 0
        held: list[bytes] = []
        held_bytes = 0
        async for chunk in chunks:
            received += len(chunk)
            if received > self._limits.archive_bytes:
                raise BundleError(
                    f"the archive takes more than {size_text(self._limits.archive_bytes)}; leave out files with "
                    "lines in .sojournignore"
                )
            held.append(chunk)
            held_bytes += len(chunk)
            if held_bytes >= _WRITE_BYTES:
                data = b"".join(held)
                held, held_bytes = [], 0
                await _in_thread(partial(write_all, file.fileno(), data))
        await _in_thread(partial(write_all, file.fileno(), b"".join(held)))

    def drop(self, archive: Path) -> None:
        """Remove an archive that `receive` has written."""
        with contextlib.suppress(OSError):  # what stays is swept
            archive.unlink()
        with self._lock:
            self._in_use.discard(archive)

    def add(self, archive: Path) -> str:
        """Unpack an archive into the store; the digest of its tree. Blocks; call it off the loop.

        The same content twice, at once too, is one bundle. One that is there already but was damaged is replaced.

        Raises:
            BundleError: The archive is hostile, damaged or too large.
            StateError: The disk is full or cannot be written.
        """
        with self._busy():
            unpacked = unpack(archive, self._bundles, self._limits)
            try:
                self._place(unpacked)
            except BaseException as error:
                with contextlib.suppress(OSError):
                    remove_tree(unpacked.path)
                if isinstance(error, OSError):
                    raise disk_error(f"bundle {unpacked.digest} cannot be stored", error) from error
                raise
            return unpacked.digest

    def _place(self, unpacked: Unpacked) -> None:
        """Give a tree its name, or find that it is there."""
        path = self._bundles / unpacked.digest
        for _ in range(_PLACE_TRIES):  # others may place, or move aside, the same one meanwhile
            try:
                unpacked.path.rename(path)
            except OSError as error:
                if error.errno not in _OCCUPIED:
                    raise
            else:
                sync_path(self._bundles)
                return
            try:
                self.verify(unpacked.digest)
            except (BundleError, StateError):
                self._move_aside(path)  # for the next sweep: replicas may still run there
                continue
            remove_tree(unpacked.path)
            sync_path(self._bundles)  # whoever placed it may not have come so far
            return
        raise StateError(f"bundle {unpacked.digest} cannot be stored: something else keeps taking its place")

    def path_of(self, digest: str) -> Path:
        """The read-only tree of a bundle.

        Raises:
            BundleError: There is none of this digest.
        """
        path = self._bundles / digest
        if DIGEST.fullmatch(digest) is None or not path.is_dir():
            raise BundleError(f"no bundle {shown(digest)}; deploy its source again")
        return path

    def digests(self) -> list[str]:
        """Digests of all bundles, sorted.

        Raises:
            StateError: The store cannot be read.
        """
        return sorted(path.name for path in _entries(self._bundles) if DIGEST.fullmatch(path.name) is not None)

    def verify(self, digest: str) -> None:
        """Read a bundle anew and see whether it is still what its digest says. Blocks; call it off the loop.

        Raises:
            BundleError: There is none of this digest.
            StateError: A file of it was changed, added or taken away, or the disk has lost it.
        """
        path = self.path_of(digest)
        try:
            found = digest_of(path)
        except OSError as error:
            raise disk_error(f"bundle {digest} cannot be read", error) from error
        if found != digest:
            raise StateError(
                f"bundle {digest} is damaged: {path} has the digest {found}; deploy its source again to replace it"
            )

    def sweep(self, referenced: Collection[str]) -> Swept:
        """Remove bundles that no revision refers to, and what uploads of killed servers left. Blocks.

        Meant for the start of a server, and for after a deletion. Nothing is removed while another thread is in
        `add`; a bundle that was added and that nobody wrote down yet must be among `referenced`.

        Args:
            referenced: Digests to be kept.

        Raises:
            StateError: The store cannot be read.
        """
        with self._lock:
            in_use = set(self._in_use)
            if self._adding:
                return Swept(kept=("a bundle is being added",))
            uploads = [path for path in _entries(self._incoming) if path.name.startswith(_UPLOAD_PREFIX)]
            trees = [path for path in _entries(self._bundles) if path.name.startswith(_PASSING_PREFIXES)]
            doomed = [path for path in uploads if path not in in_use] + trees
            removed = [digest for digest in self.digests() if digest not in referenced]
            moved = [self._move_aside(self._bundles / digest) for digest in removed]
        kept = []
        for path in doomed + moved:
            try:
                remove_tree(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                kept.append(f"{path.name}: {error.strerror}")
        return Swept(tuple(removed), len(doomed), tuple(kept))

    def _move_aside(self, path: Path) -> Path:
        """Take a bundle's name away before any of it is removed: what has the name is whole."""
        aside = path.with_name(_GONE_PREFIX + secrets.token_hex(8))
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside)
        return aside

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        with self._lock:
            self._adding += 1
        try:
            yield
        finally:
            with self._lock:
                self._adding -= 1


async def _in_thread(act: Callable[[], None]) -> None:
    """Do it in a thread, to its end even if the task is cancelled: it may use a descriptor that is closed next."""
    acting = asyncio.ensure_future(asyncio.to_thread(act))
    try:
        await asyncio.shield(acting)
    finally:
        while not acting.done():  # one write to a disk
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([acting])
        acting.exception()  # who cancels does not hear of it


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError as error:
        raise disk_error("the store of bundles cannot be read", error) from error

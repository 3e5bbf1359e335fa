"""A source tree as an archive that is the same wherever and whenever it is made."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from sojourn.bundle.digest import TreeDigest
from sojourn.bundle.limits import DEFAULT_LIMITS, BundleLimits, size_text
from sojourn.bundle.names import shown
from sojourn.bundle.source import find_source
from sojourn.bundle.tar import BLOCK, file_header, padding
from sojourn.bundle.walk import PackedFile, files_of
from sojourn.errors import BundleError

_CHUNK_BYTES: Final = 2**18
_GZIP_WINDOW: Final = 31  # zlib writes the header of gzip: no name, no time
_LEVEL: Final = 6


class Packed(msgspec.Struct, frozen=True):
    """What was packed.

    Args:
        digest: SHA-256 (hex) of the tree: paths, executable bits and contents.
        target: What is to be served, relative to the tree.
        files: Number of files.
        bytes: Of their contents.
        archive_bytes: Of the archive.
    """

    digest: str
    target: str
    files: int
    bytes: int
    archive_bytes: int


def pack(root: Path, target: str, output: BinaryIO, limits: BundleLimits = DEFAULT_LIMITS) -> Packed:
    """Write the tree of a target as tar.gz.

    Names in order, no times, no owners, modes 0644 or 0755, nothing of this machine: the same content gives the same
    archive. Its address, the digest, does not depend on the compression.

    Args:
        root: Directory a relative target begins at.
        target: `app.py` (its directory is packed), a directory with an `app.py`, or `pkg.module` (the package is
            packed); see `sojourn.bundle.source`. What is left out: see `sojourn.bundle.ignore`.
        output: Takes the archive; what is written before an error is of no use.
        limits: How large the tree may be.

    Raises:
        TargetError: There is no such target.
        ConfigurationError: `.sojournignore` cannot be read.
        BundleError: The tree cannot be packed (all reasons), or changed while it was.
    """
    source = find_source(root, target)
    files = files_of(source, limits)
    archive = _Gzip(output, limits)
    digest = TreeDigest()
    total = 0
    for file in files:
        archive.write(file_header(file.name, file.status.st_size, is_executable=file.is_executable))
        digest.add(file.name, is_executable=file.is_executable, content=_copy(file, archive))
        archive.write(padding(file.status.st_size))
        total += file.status.st_size
    archive.write(bytes(2 * BLOCK))
    return Packed(digest.hexdigest(), source.target, len(files), total, archive.close())


def _copy(file: PackedFile, archive: _Gzip) -> bytes:
    """Write a file's content; its SHA-256.

    Raises:
        BundleError: It is no longer what it was when the tree was looked through.
    """
    content = hashlib.sha256()
    left = file.status.st_size
    try:
        fd = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb", buffering=0) as readable:
            if _identity(os.fstat(fd)) != _identity(file.status):
                raise BundleError(_changed(file))
            while left and (data := readable.read(min(left, _CHUNK_BYTES))):
                left -= len(data)
                content.update(data)
                archive.write(data)
            if left or _identity(os.fstat(fd)) != _identity(file.status):
                raise BundleError(_changed(file))
    except OSError as error:
        raise BundleError(
            f"{shown(file.name)}: could not be read while the tree was being packed: {error.strerror}; try again"
        ) from error
    return content.digest()


def _identity(status: os.stat_result) -> tuple[int, int, int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode


def _changed(file: PackedFile) -> str:
    return (
        f"{shown(file.name)}: changed while the tree was being packed; try again, or leave it out if it always changes"
    )


class _Gzip:
    """Compresses what is written and bounds it as the receiver will."""

    def __init__(self, output: BinaryIO, limits: BundleLimits) -> None:
        self._output = output
        self._limits = limits
        self._zlib = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        self._in = self._out = 0

    def write(self, data: bytes) -> None:
        self._in += len(data)
        self._put(self._zlib.compress(data))

    def close(self) -> int:
        """End the archive; its bytes."""
        self._put(self._zlib.flush())
        limits = self._limits
        if self._in > max(limits.ratio_from_bytes, limits.ratio * self._out):
            raise BundleError(
                f"the tree compresses {self._in // max(self._out, 1)} times, and more than {limits.ratio} times is taken "
                "for an attack by the server; leave out files that hold the same again and again"
            )
        return self._out

    def _put(self, data: bytes) -> None:
        self._out += len(data)
        if self._out > self._limits.archive_bytes:
            raise BundleError(f"the archive takes more than {size_text(self._limits.archive_bytes)}; leave files out")
        self._output.write(data)

"""What a gzip archive of a stranger contains, read in bounded memory and never more of it than is allowed."""

from __future__ import annotations

import zlib
from typing import BinaryIO, Final

from sojourn.bundle.limits import BundleLimits, size_text
from sojourn.errors import BundleError

_CHUNK_BYTES: Final = 2**16
_GZIP_WINDOW: Final = 31
# Headers and padding of each file come on top of what the files hold.
_OVERHEAD_BYTES: Final = 12 * 1024
_SLACK_BYTES: Final = 2 * 2**20


class Gunzip:
    """The unpacked bytes of one gzip member; whatever follows it is refused.

    Args:
        archive: Readable in chunks.
        limits: For the packed and the unpacked size, and for their ratio.
    """

    def __init__(self, archive: BinaryIO, limits: BundleLimits) -> None:
        self._archive = archive
        self._limits = limits
        self._unpacked_max = limits.bytes + limits.files * _OVERHEAD_BYTES + _SLACK_BYTES
        self._zlib = zlib.decompressobj(_GZIP_WINDOW)
        self._data = b""
        self._at = 0
        self._in = self._out = 0

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes; fewer only at the end of what there is.

        Args:
            size: In bytes; the caller bounds it.

        Raises:
            BundleError: The archive is damaged, cut off, too large, or something follows it.
        """
        pieces = []
        wanted = size
        while wanted:
            if self._at == len(self._data):
                self._data, self._at = self._more(), 0
                if not self._data:
                    break
            piece = self._data[self._at : self._at + wanted]
            self._at += len(piece)
            wanted -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _more(self) -> bytes:
        """The next unpacked bytes; none at the end."""
        while not self._zlib.eof:
            packed = self._zlib.unconsumed_tail or self._packed()
            try:
                data = self._zlib.decompress(packed, _CHUNK_BYTES)
            except zlib.error as error:
                raise BundleError(f"the archive is not gzip, or damaged ({error}); send it again") from None
            self._count(len(data))
            if self._zlib.eof and (self._zlib.unused_data or self._archive.read(1)):
                raise BundleError("something follows the end of the gzip archive; nothing may, nor a second one")
            if data:
                return data
        return b""

    def _packed(self) -> bytes:
        packed = self._archive.read(_CHUNK_BYTES)
        if not packed:
            raise BundleError("the archive is cut off; send it again")
        self._in += len(packed)
        if self._in > self._limits.archive_bytes:
            raise BundleError(f"the archive takes more than {size_text(self._limits.archive_bytes)}")
        return packed

    def _count(self, size: int) -> None:
        self._out += size
        limits = self._limits
        if self._out > self._unpacked_max:
            raise BundleError(f"the archive unpacks to more than {size_text(limits.bytes)}")
        if self._out > max(limits.ratio_from_bytes, limits.ratio * self._in):
            raise BundleError(
                f"the archive unpacks to more than {limits.ratio} times its size, which is taken for an attack"
            )

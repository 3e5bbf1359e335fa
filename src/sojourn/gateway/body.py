"""The body of a request while it arrives: kept, counted with those of all connections, and bounded."""

from __future__ import annotations

from typing import Final

from sojourn.gateway import refusal
from sojourn.gateway.context import Context
from sojourn.gateway.refusal import Refusal

# What distinguishes a chunk from mere framing: a client may send one-byte chunks (5 bytes of framing each) but not
# extensions without end.
_FRAMING_PER_BODY_BYTE: Final = 8
_CHUNK_BYTES_MEAN_MIN: Final = 64


class ArrivingBody:
    """What has come of a body: `begin` with each request, then `keep` or `pass_by` each piece; `take` it, or `forget` it.

    Args:
        context: Of the gateway; what is kept counts in its `held_bytes`.

    Attributes:
        received: Bytes that have come, kept or not.
    """

    __slots__ = ("_chunks", "_context", "_held_bytes", "_kept", "received")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kept: bytes | bytearray = b""
        self._held_bytes = 0
        self._chunks = 0
        self.received = 0

    def begin(self) -> None:
        """Another request: nothing of its body has come."""
        self._chunks = self.received = 0

    def chunk(self) -> Refusal | None:
        """One more chunk; why it is refused, if there is a flood of tiny ones."""
        self._chunks += 1
        limits = self._context.limits
        if self._chunks > limits.small_chunks and self.received < self._chunks * _CHUNK_BYTES_MEAN_MIN:
            return refusal.chunks_too_small(limits, _CHUNK_BYTES_MEAN_MIN)
        return None

    def keep(self, piece: bytes) -> Refusal | None:
        """A piece that is wanted; why it is refused, if it or all bodies together are too large."""
        size = len(piece)
        self.received += size
        context = self._context
        if self.received > context.limits.body_bytes:
            return refusal.body_too_large(context.limits)
        if not context.has_room_for(size):
            return refusal.bodies_too_large(context.limits)
        self._held_bytes += size
        context.held_bytes += size
        if not self._kept:
            self._kept = piece
        else:
            if isinstance(self._kept, bytes):
                self._kept = bytearray(self._kept)
            self._kept += piece
        return None

    def pass_by(self, piece: bytes) -> bool:
        """A piece that nobody wants any more; whether so much of it is read for the sake of the connection."""
        self.received += len(piece)
        return self.received <= self._context.limits.drain_bytes

    def allows(self, raw_bytes: int) -> bool:
        """Whether it is no mere framing: of so many bytes that came for head and body, enough are body."""
        return raw_bytes - self.received <= self._context.limits.header_bytes + _FRAMING_PER_BODY_BYTE * self.received

    def take(self) -> tuple[bytes, int]:
        """All of it, and how much of the context's `held_bytes` it is from now on for others to give back."""
        taken = bytes(self._kept), self._held_bytes
        self._kept, self._held_bytes = b"", 0
        return taken

    def forget(self) -> None:
        """It is not wanted any more."""
        self._context.held_bytes -= self.take()[1]

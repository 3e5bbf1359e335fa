"""Framing: messages to bytes and back, whatever the pieces in which the bytes arrive.

A frame is a `u32` little-endian payload length, a `u8` kind, and the payload: the message in msgpack.
What arrives is never trusted: the length is judged from the header, before anything is kept, and a
payload that is not the message its kind announces is refused.
"""

from __future__ import annotations

from struct import Struct

import msgspec

from sojourn.errors import ProtocolError
from sojourn.wire.message import Cancel, Done, Drain, Fatal, Hello, Message, Ping, Ready, Run

MAX_FRAME_BYTES = 256 * 2**20
_LENGTH_LIMIT = 2**32

# Kind numbers are part of the protocol: never reuse one. 9 is reserved for PART (streamed answers).
KINDS: dict[int, type[Message]] = {
    1: Hello,
    2: Ready,
    3: Fatal,
    4: Run,
    5: Done,
    6: Cancel,
    7: Drain,
    8: Ping,
}

_HEADER = Struct("<IB")
HEADER_BYTES = _HEADER.size
_KIND_OF = {message: kind for kind, message in KINDS.items()}
_DECODERS = {kind: msgspec.msgpack.Decoder(message) for kind, message in KINDS.items()}
_encode_payload = msgspec.msgpack.Encoder().encode
_pack_header = _HEADER.pack
_unpack_header = _HEADER.unpack_from


def encode(message: Message) -> bytes:
    """One frame holding `message`, ready to be written to a socket.

    Raises:
        ProtocolError: The payload does not fit the 32 bits of its length.
    """
    payload = _encode_payload(message)
    # Measured against encode_into on a bytearray: a third faster below some 100 KB, where frames are many.
    if len(payload) >= _LENGTH_LIMIT:
        raise ProtocolError(f"a {type(message).__name__} of {len(payload)} bytes does not fit a frame of 4 GiB")
    return _pack_header(len(payload), _KIND_OF[type(message)]) + payload


class FrameReader:
    """Turns the bytes of one connection into messages; keeps at most one unfinished frame.

    Call `feed` with what the socket gave, in order. After it raised, the connection cannot be
    understood any more: close it (further calls raise the same error).

    Args:
        max_frame_bytes: Longest payload accepted, in bytes, >= 0.
    """

    __slots__ = ("_error", "_max_frame_bytes", "_needed", "_rest")

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._rest = bytearray()  # the beginning of the next frame
        self._needed = HEADER_BYTES  # bytes `_rest` must hold before it is worth looking again
        self._error: str | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept of a frame that is not complete yet."""
        return len(self._rest)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """Messages completed by `data`, in order; empty while a frame is still arriving.

        Raises:
            ProtocolError: Unknown kind, a length over the limit, or a payload that is not its message.
        """
        if self._error is not None:
            raise ProtocolError(self._error)
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._needed:
                return []
            data, self._rest = rest, bytearray()
        try:
            messages, used = self._parse(data)
        except ProtocolError as error:
            self._error = str(error)
            raise
        if used < len(data):
            with memoryview(data) as view:
                self._rest += view[used:]
        return messages

    def _parse(self, data: bytes | bytearray | memoryview) -> tuple[list[Message], int]:
        """Decode all complete frames of `data`; also how many of its bytes they took."""
        messages: list[Message] = []
        at, end = 0, len(data)
        self._needed = HEADER_BYTES
        with memoryview(data) as view:
            while end - at >= HEADER_BYTES:
                length, kind = _unpack_header(data, at)
                decoder = _DECODERS.get(kind)
                if decoder is None:
                    raise ProtocolError(f"frame of unknown kind {kind}; known: {min(KINDS)} to {max(KINDS)}")
                if length > self._max_frame_bytes:
                    raise ProtocolError(
                        f"{KINDS[kind].__name__} frame of {length} bytes is over the limit of {self._max_frame_bytes}"
                    )
                begin = at + HEADER_BYTES
                if end - begin < length:
                    self._needed = HEADER_BYTES + length
                    break
                at = begin + length
                try:
                    messages.append(decoder.decode(view[begin:at]))
                except (ValueError, RecursionError, OverflowError) as error:
                    # DecodeError and bad UTF-8 are ValueErrors; nesting ends in RecursionError.
                    raise ProtocolError(f"{KINDS[kind].__name__} frame cannot be read: {error}") from error
        return messages, at

"""A connection of the admin port with bounds: size of a head, time to send it, time to take the answer, number.

uvicorn's own protocol has none of these for a head that is not finished yet: whoever never ends one would hold
a connection, or fill the memory, for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sojourn.errors import ConfigurationError

# Under this name a request's ASGI extensions hold the call by which a long answer says that it goes on.
ANSWER_GOES_ON = "sojourn.answer_goes_on"
# The slowest sender of a large body that is waited for, and how much of one is looked at together.
_BODY_BYTES_PER_S = 16 * 1024
_LOOK_BYTES = 16 * 1024
# A client may send one-byte chunks (five bytes of framing each), but not extensions or trailers without end.
_FRAMING_PER_BODY_BYTE = 8
_VERSIONS = frozenset({"1.0", "1.1"})
_UVICORNS_WORDS = "Invalid HTTP request received."
_quiet = logging.getLogger(__name__)
_quiet.setLevel(logging.ERROR)
_REFUSAL = (
    b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\nconnection: close\r\ncache-control: no-store\r\n"
    b"content-length: %d\r\n\r\n%b"
)


class _NotUnderstood(Exception):  # noqa: N818 - how a callback ends the parser's run; the client has been told
    """Nothing more of this connection is to be read."""


class ConnectionBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one client of the admin port may take.

    Args:
        connections: Most at once, >= 1; the next one ends the one that has waited longest for its client to send.
        handshakes: Most that have not completed their TLS handshake, >= 1; it may take `request_s`.
        head_bytes: Most bytes of a request line with its headers, >= 256.
        request_s: Time for a whole request to arrive, in seconds, > 0. Each 16 KiB of its body earn one more second, but
            never more than this from now on.
        answer_s: Time from then until the answer has been taken, or the next part of one without end, in seconds, > 0.

    Raises:
        ConfigurationError: A value is out of range.
    """

    connections: int = 64
    handshakes: int = 64
    head_bytes: int = 16 * 1024
    request_s: float = 10.0
    answer_s: float = 30.0

    def __post_init__(self) -> None:
        if (
            min(self.connections, self.handshakes) < 1
            or self.head_bytes < 256
            or min(self.request_s, self.answer_s) <= 0
        ):
            raise ConfigurationError(f"bounds of the admin port are out of range: {self}")


class Crowd:
    """All open connections of the port, those first that have waited for their client longest."""

    def __init__(self, bounds: ConnectionBounds) -> None:
        self.bounds = bounds
        self._waiting: dict[BoundedProtocol, None] = {}  # for a request, or the rest of one
        self._answering: set[BoundedProtocol] = set()

    def admit(self, connection: BoundedProtocol) -> bool:
        """Whether there is room for a new connection; it is made by ending one that only waits."""
        if len(self._waiting) + len(self._answering) >= self.bounds.connections:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                return False
            self.forget(oldest)
            oldest.end()
        self._waiting[connection] = None
        return True

    def waits(self, connection: BoundedProtocol) -> None:
        """The client has its answer; its next request may come."""
        if connection in self._answering:
            self._answering.discard(connection)
            self._waiting[connection] = None

    def hears(self, connection: BoundedProtocol) -> None:
        """Part of a body has come: whoever sends is not the one that has been silent longest."""
        if connection in self._waiting:
            del self._waiting[connection]
            self._waiting[connection] = None

    def answers(self, connection: BoundedProtocol) -> None:
        """The client's request is here."""
        if connection in self._waiting:
            del self._waiting[connection]
            self._answering.add(connection)

    def forget(self, connection: BoundedProtocol) -> None:
        """It is gone."""
        self._waiting.pop(connection, None)
        self._answering.discard(connection)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol within `ConnectionBounds`. Make the class with `bounded_protocol`."""

    crowd: Crowd

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at_s = 0.0
        self.logger = _quiet  # what clients send is no event of the server's
        self._head_bytes = 0
        self._framing_bytes = 0  # chunk heads and trailers, less what the body itself makes up for
        self._is_in_head = True
        self._is_whole = True  # there is no body whose rest is still to come
        self._earning_bytes = 0  # of a body, that have earned no time yet
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it in, or not; the time for its first request begins."""
        super().connection_made(transport)
        if self.crowd.admit(self):
            self._time(self.crowd.bounds.request_s, self._too_slow)
        else:
            self._is_refused = True
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back its place."""
        self._stop_timer()
        self.crowd.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser no more of a head than it may have."""
        if self._is_refused or self.transport.is_closing():
            return
        if self._timer is None and self._is_idle:
            self._time(self.crowd.bounds.request_s, self._too_slow)
        while data:
            room = self.crowd.bounds.head_bytes - self._head_bytes if self._is_in_head else len(data)
            piece, data = data[:room], data[room:]
            if self._is_in_head:
                self._head_bytes += len(piece)
            else:
                self._framing_bytes += len(piece)
            super().data_received(piece)
            if self.transport.is_closing():
                return
            if max(self._head_bytes, self._framing_bytes) >= self.crowd.bounds.head_bytes:
                self._too_large()
                return

    def on_headers_complete(self) -> None:
        """The head is whole; what follows is body."""
        self._is_in_head = False
        self._is_whole = False
        self._head_bytes = self._framing_bytes = self._earning_bytes = 0
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            self._refuse(505, b"HTTP Version Not Supported", b"http_version_not_supported", b"use HTTP/1.1")
            raise _NotUnderstood
        if version != "1.1" and any(name == b"transfer-encoding" for name, _ in self.headers):
            self.send_400_response("chunks of HTTP/1.0 can be understood in two ways; use HTTP/1.1")
            raise _NotUnderstood
        self.scope["extensions"] = {ANSWER_GOES_ON: {"call": self._answer_goes_on}}
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; a trailer says nothing, and must not join the headers that were checked."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._framing_bytes = max(self._framing_bytes - _FRAMING_PER_BODY_BYTE * len(body), 0)
        self._count_body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; the time to take its answer begins."""
        super().on_message_complete()
        self._framing_bytes = 0
        self._is_in_head = self._is_whole = True
        if not self._is_idle:
            self.crowd.answers(self)
            self._time(self.crowd.bounds.answer_s, self.end)

    def on_response_complete(self) -> None:
        """The answer is with the transport; another request may come."""
        super().on_response_complete()
        self._stop_timer()
        if self._is_idle:
            self.crowd.waits(self)
            if not self._is_in_head or self._head_bytes:  # it has begun another one, or never ended this one
                self._time(self.crowd.bounds.request_s, self._too_slow)
        else:
            self._time(self.crowd.bounds.answer_s, self.end)

    def _count_body(self, received: int) -> None:
        """A body earns time as it comes: a long upload is no slow client. What nobody reads any more earns none."""
        self._earning_bytes += received
        if self._earning_bytes < _LOOK_BYTES or self._is_idle:
            return
        left_s = self._rings_at_s - self.loop.time() + self._earning_bytes / _BODY_BYTES_PER_S
        self._earning_bytes = 0
        self._time(min(left_s, self.crowd.bounds.request_s), self._too_slow)
        self.crowd.hears(self)

    def _answer_goes_on(self) -> None:
        """Part of an answer is about to be sent: the client gets the full time for it."""
        if not self._is_refused and not self.transport.is_closing():
            self._time(self.crowd.bounds.answer_s, self.end)

    def end(self) -> None:
        """Drop the connection at once, whatever is still to be written."""
        self._stop_timer()
        self.transport.abort()

    @property
    def _is_idle(self) -> bool:
        """No answer is owed."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_unanswered(self) -> bool:
        """Nothing was said yet to the only request there is."""
        return self.cycle is None or not (self.cycle.response_started or self.pipeline)

    def _too_slow(self) -> None:
        if self.transport.is_closing() or not (self._is_in_head or self._is_unanswered):
            self.end()  # nobody reads, or the answer was begun before the whole body was there
            return
        self._refuse(408, b"Request Timeout", b"too_slow", b"the request took too long to arrive")

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP; told in the shape of all errors, under the name by which uvicorn calls it."""
        if not self._is_refused:
            text = b"this is not a well-formed HTTP/1.1 request" if msg == _UVICORNS_WORDS else msg.encode("ascii")
            self._refuse(400, b"Bad Request", b"malformed_http", text)

    def _too_large(self) -> None:
        if self._is_in_head:
            self._refuse(431, b"Request Header Fields Too Large", b"headers_too_large", b"the head is too large")
        elif self._is_unanswered:
            self.send_400_response("more chunk framing than body")
        else:
            self.end()

    def _refuse(self, status: int, phrase: bytes, code: bytes, message: bytes) -> None:
        self._is_refused = True
        self._stop_timer()
        body = b'{"error":"%b","code":"%b","request_id":""}' % (message, code)
        if self._is_idle or self._is_unanswered:
            self.transport.write(_REFUSAL % (status, phrase, len(body), body))
        self.transport.close()
        # One that does not even read this is not waited for.
        self._time(self.crowd.bounds.request_s, self.end)

    def _time(self, delay_s: float, ring: Callable[[], None]) -> None:
        self._stop_timer()
        self._rings_at_s = self.loop.time() + delay_s
        self._timer = self.loop.call_at(self._rings_at_s, ring)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def bounded_protocol(bounds: ConnectionBounds) -> type[BoundedProtocol]:
    """A protocol class whose connections share these bounds (uvicorn makes the instances)."""
    return type("BoundedProtocol", (BoundedProtocol,), {"crowd": Crowd(bounds)})

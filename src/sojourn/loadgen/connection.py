"""One keep-alive HTTP/1.1 client connection: at most one request at a time, answers parsed by httptools."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools


class Pool(Protocol):
    """Whom a connection tells what became of its request."""

    def answered(self, connection: Connection, status: int, timing: bytes, body: bytes) -> None:
        """The request of `connection` was answered; the connection is free again (or closing)."""

    def broke(self, connection: Connection, what: str) -> None:
        """The connection ended; if it carried a request, that one has no answer."""


class Connection(asyncio.Protocol):
    """A client connection. `index` is the request it carries, or -1 while idle."""

    __slots__ = ("_body", "_has_length", "_parser", "_pool", "_status", "_timing", "_transport", "index")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self.index = -1
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._timing = b""
        self._body: list[bytes] = []
        self._has_length = False

    @property
    def is_open(self) -> bool:
        """Whether a request can be written."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, index: int, request: bytes) -> None:
        """Write a request; the pool hears of it by `answered` or `broke`, exactly once."""
        self.index = index
        if self._transport is not None:
            self._transport.write(request)

    def abort(self) -> None:
        """Drop the connection at once; the pool is not told of a request it carried."""
        self.index = -1
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it

    def data_received(self, data: bytes) -> None:
        """Feed the parser (asyncio calls this)."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as err:
            self._fail(f"the answer is not HTTP/1.1: {err}")

    def eof_received(self) -> None:
        """The server closed; an answer without a length ends here (asyncio calls this)."""
        if self.index >= 0 and self._status and not self._has_length:
            self._complete(keeps_alive=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the pool (asyncio calls this)."""
        self._pool.broke(self, f"the connection was lost: {exc}" if exc else "the server closed the connection")
        self._transport = None

    # httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """Remember the few headers that matter."""
        size = len(name)
        if size == 13 and name.lower() == b"server-timing":
            self._timing = self._timing + b", " + value if self._timing else value
        elif size in {14, 17} and name.lower() in {b"content-length", b"transfer-encoding"}:
            self._has_length = True

    def on_headers_complete(self) -> None:
        """The status is known."""
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Collect the answer."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole; interim ones (1xx) only announce the real one."""
        if self._status < 200:
            self._status, self._timing, self._has_length = 0, b"", False
        elif self.index < 0:
            self._fail("the server sent an answer nobody asked for")
        else:
            self._complete(keeps_alive=self._parser.should_keep_alive())

    def _complete(self, *, keeps_alive: bool) -> None:
        status, timing, body = self._status, self._timing, b"".join(self._body)
        if keeps_alive:
            self._status, self._timing, self._body, self._has_length = 0, b"", [], False
        elif self._transport is not None:
            self._transport.close()
        self._pool.answered(self, status, timing, body)

    def _fail(self, what: str) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._pool.broke(self, what)

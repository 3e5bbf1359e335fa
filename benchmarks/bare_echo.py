"""The reference of the overhead benchmark: the least that httptools on uvloop can do.

No routing, limits, deadlines, ids or errors: each POST is answered at once with its own body. What a
server costs above this is what its work costs. `--heads` also reads what any server has to read: the
target, the method, the headers and whether the connection stays. Run it alone with
`python bare_echo.py PORT [--heads]`; it prints the port it bound.
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import uvloop


class BareEcho(asyncio.Protocol):
    """Answers every request with its own body."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_body(self, piece: bytes) -> None:
        """Collect the body."""
        self._body += piece

    def on_message_complete(self) -> None:
        """Answer."""
        body, self._body = self._body, b""
        self._transport.write(  # type: ignore[attr-defined]
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )


class HeadReadingEcho(BareEcho):
    """The same, but it knows what was asked for."""

    def on_message_begin(self) -> None:
        """Forget the last head."""
        self._target = b""
        self._headers: dict[bytes, bytes] = {}

    def on_url(self, piece: bytes) -> None:
        """Collect the target."""
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Read the rest of what the parser knows."""
        self._method = self._parser.get_method()
        self._stays = self._parser.should_keep_alive()


async def serve(port: int, protocol: type[BareEcho]) -> asyncio.Server:
    """Listen on 127.0.0.1; the caller closes what is returned."""
    return await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)


async def _main() -> None:
    server = await serve(int(sys.argv[1]), HeadReadingEcho if "--heads" in sys.argv else BareEcho)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main())

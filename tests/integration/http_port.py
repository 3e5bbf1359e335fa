"""A real gateway on a real socket, a small function behind it, and clients that speak raw bytes."""

import asyncio
import contextlib
from typing import NamedTuple

import msgspec
import uvloop

from sojourn.gateway.limits import Limits
from sojourn.gateway.routes import Routes
from sojourn.gateway.server import Gateway

TURNS_MAX = 1_000_000  # of the loop, before a test is given up
PATIENCE_S = 30.0  # how long a test may hang before it fails; nothing waits for this to pass


class EchoService:
    """Answers each request with its own body: at once, or when told to."""

    name = "echo"
    revision = "r1"
    is_closed = False

    def __init__(self):
        self.is_holding = False
        self.breaks = False
        self.submitted = []  # (caller, body, kind, priority, client_timeout_s)
        self.unwanted = None  # (fault, message, retry_after_s): what announced requests are told
        self.cancelled = []
        self.at_the_door = []
        self.named_at_the_door = []
        self.changed = asyncio.Event()

    def submit(self, caller, body, kind, priority, client_timeout_s):
        """Take a request."""
        if self.breaks:
            raise RuntimeError("broken on purpose")
        self.submitted.append((caller, body, kind, priority, client_timeout_s))
        self.changed.set()
        if not self.is_holding:
            caller.answer(body, kind, b"queue;dur=0.100")
        return len(self.submitted)

    def announce(self, caller, priority, client_timeout_s, body_bytes):
        """Refuse a request before its body, if told to."""
        if self.unwanted is not None:
            fault, message, retry_after_s = self.unwanted
            caller.refuse(fault, message, 0, retry_after_s)
        return self

    def cancel(self, request_number):
        """Note a client that left."""
        self.cancelled.append(request_number)
        self.changed.set()

    def refused_at_the_door(self, fault, caller, message):
        """Note a request that was refused before it came here."""
        self.at_the_door.append(fault)
        self.named_at_the_door.append((caller.name(), caller.trace))
        self.changed.set()

    def answer(self, number, body=None):
        """Answer a held request by its number."""
        caller, sent, kind, *_ = self.submitted[number - 1]
        caller.answer(sent if body is None else body, kind, b"")

    async def until(self, condition):
        """Wait until something here has changed so that `condition()` holds."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict
    body: bytes

    @property
    def error(self):
        """The decoded body of an error answer."""
        return msgspec.json.decode(self.body)


class Client:
    """One connection, raw bytes both ways."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, data):
        """Send bytes; a server that has closed already is no error here."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def send_bytewise(self, data):
        """Send bytes in segments of one byte each."""
        for at in range(len(data)):
            await self.send(data[at : at + 1])
            await asyncio.sleep(0)

    async def answer(self, *, has_body=True):
        """The next answer; EOFError if the server closed instead."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError from error
        first, *lines = head[:-4].split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        length = int(headers.get(b"content-length", b"0")) if has_body else 0
        return Answer(int(first.split(b" ")[1]), headers, await self.reader.readexactly(length))

    async def rest(self):
        """All bytes until the server closes."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    async def ask(self, data, **options):
        """Send bytes and take one answer."""
        await self.send(data)
        return await self.answer(**options)

    async def close(self):
        """Leave."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Port:
    """The server under test: use it with `async with`. Its time passes only by `pass_time`."""

    def __init__(self, keys=None, tls=None, **limits):
        self.now_s = 1000.0
        self.service = EchoService()
        self.routes = Routes()
        self.routes.add(self.service)
        self.is_ready = True
        self.gateway = Gateway(
            self.routes, Limits(**limits), lambda: self.is_ready, clock=lambda: self.now_s, keys=keys, tls=tls
        )
        self._clients = []

    async def __aenter__(self):
        self.host, self.port = await self.gateway.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc):
        for client in self._clients:
            await client.close()
        await self.gateway.close()
        assert self.gateway.connections == 0

    async def client(self):
        """One more client."""
        client = Client(*await asyncio.open_connection(self.host, self.port))
        self._clients.append(client)
        return client

    async def one(self, data):
        """What a fresh connection gets for these bytes until the server closes or answers once."""
        client = await self.client()
        return await client.ask(data)

    async def until_connections(self, count):
        """Let the loop turn until at most `count` connections are left."""
        for _ in range(TURNS_MAX):
            if self.gateway.connections <= count:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{self.gateway.connections} connections are left, not {count}")

    def pass_time(self, duration_s):
        """Let time pass and the deadlines be looked at."""
        self.gateway.sweep()  # starts the idle time of connections that have just become idle
        self.now_s += duration_s
        self.gateway.sweep()


def post(body=b"[1]", *lines, path=b"/functions/echo", version=b"1.1"):
    """A well-formed call."""
    head = [b"POST %b HTTP/%b" % (path, version), b"Host: test", b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def run(scene):
    """Run a coroutine function on the loop the server runs on."""

    async def bounded():
        async with asyncio.timeout(PATIENCE_S):
            await scene()

    uvloop.run(bounded())

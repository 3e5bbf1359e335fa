"""Handshakes of TLS are bounded in number, and silent ones keep nobody out; over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
from pathlib import Path

import pytest
import uvloop

from sojourn.access import tls_listener
from sojourn.access.certificate import Certificate
from sojourn.access.tls_listener import HandshakeBounds, TLSListener, listening_sockets
from sojourn.errors import ConfigurationError

TLS = Path(__file__).parents[2] / "tls"
PATIENCE_S = 30.0  # how long a test may hang before it fails


class Echo(asyncio.Protocol):
    """Says back what it hears."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Port:
    """A listener on a port of its own, what it refused, and clients of it."""

    def __init__(self, **options):
        self.refused = 0
        self.options = options
        self.undo = contextlib.ExitStack()

    async def __aenter__(self):
        certificate = Certificate(TLS / "server.pem", TLS / "server.key")
        certificate.load()
        bounds = HandshakeBounds(
            **{name: self.options.pop(name) for name in HandshakeBounds.__struct_fields__ if name in self.options}
        )
        sockets = await listening_sockets("127.0.0.1", 0, 64)
        self.address = sockets[0].getsockname()
        self.listener = TLSListener(sockets, Echo, certificate.context, bounds, on_refused=self.count, **self.options)
        self.listener.start()
        return self

    async def __aexit__(self, *exc_info):
        self.undo.close()
        self.listener.close()
        await self.listener.wait_closed()
        assert self.listener.handshakes == 0

    def count(self):
        self.refused += 1

    async def until(self, condition):
        """Let the loop turn until it holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0)

    async def silent(self, *, at=None):
        """A client that says nothing; returns when the listener has taken it in."""
        client = self.undo.enter_context(socket.create_connection(self.address, timeout=PATIENCE_S))
        client.setblocking(False)
        if at is not None:
            await self.until(lambda: self.listener.handshakes == at)
        return client

    async def says_nothing_more(self, client):
        """What a client hears until it is cut off."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 100), PATIENCE_S)
        return b""

    async def echo(self):
        """What an honest client hears."""
        trusting = ssl.create_default_context(cafile=TLS / "server.pem")
        reader, writer = await asyncio.open_connection(*self.address, ssl=trusting, server_hostname="localhost")
        writer.write(b"hello")
        heard = await asyncio.wait_for(reader.readexactly(5), PATIENCE_S)
        writer.close()
        return heard


def _descriptors():
    """Sockets that this process has open."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one of this look itself
            found += "socket:" in str(each.readlink())
    return found


def run(scene):
    """As in a server."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scene())


def test_past_the_bound_a_newcomer_is_refused_and_counted():
    """Those who have just begun are left alone; a place given back is used."""

    async def scene():
        async with Port(handshakes=2, patience_s=PATIENCE_S) as port:
            first = await port.silent(at=1)
            await port.silent(at=2)
            assert await port.says_nothing_more(await port.silent()) == b""
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await port.echo()
            assert port.refused == 2
            first.close()
            await port.until(lambda: port.listener.handshakes == 1)
            assert await port.echo() == b"hello"
            assert port.refused == 2

    run(scene)


def test_silent_connections_keep_nobody_out():
    """Once the patience is over, a newcomer takes the place of the one that has been at it longest."""

    async def scene():
        async with Port(handshakes=3, patience_s=1e-9) as port:
            silent = [await port.silent(at=number) for number in (1, 2, 3)]
            for evicted in silent:
                assert await port.echo() == b"hello"
                await port.silent(at=3)
                assert await port.says_nothing_more(evicted) == b""
            assert port.refused >= 3

    run(scene)


def test_a_rush_of_honest_clients_is_served():
    """Far more than fit at once, each of which comes again when it was refused."""

    async def scene():
        async with Port(handshakes=4, patience_s=PATIENCE_S) as port:

            async def insists():
                while True:
                    with contextlib.suppress(ConnectionError, ssl.SSLError):
                        return await port.echo()

            assert await asyncio.gather(*(insists() for _ in range(24))) == [b"hello"] * 24
            await port.until(lambda: port.listener.handshakes == 0)

    run(scene)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b""])
def test_what_is_no_handshake_gives_its_place_back(sent):
    """Plain text, half a record, a client that leaves; none is answered in clear text."""

    async def scene():
        async with Port(handshakes=1, handshake_s=0.05) as port:
            client = await port.silent(at=1)
            client.send(sent) if sent else client.shutdown(socket.SHUT_WR)
            assert b"HTTP" not in await port.says_nothing_more(client)
            await port.until(lambda: port.listener.handshakes == 0)
            assert await port.echo() == b"hello"

    run(scene)


def test_closing_ends_handshakes_and_leaves_no_descriptor():
    """Silent clients are cut off at once; connections that are made go on."""

    async def scene():
        before = _descriptors()
        async with Port(handshakes=8) as port:
            silent = [await port.silent(at=number) for number in range(1, 9)]
            port.listener.close()
            await port.listener.wait_closed()
            assert [await port.says_nothing_more(client) for client in silent] == [b""] * 8
        await port.until(lambda: _descriptors() <= before)

    run(scene)


def test_who_has_no_room_is_refused_before_the_handshake():
    """The owner's last descriptors are not for clients."""

    async def scene():
        async with Port(has_room=lambda descriptor: descriptor < 0) as port:
            assert await port.says_nothing_more(await port.silent()) == b""
            assert (port.refused, port.listener.handshakes) == (1, 0)

    run(scene)


def test_without_descriptors_clients_wait_in_the_queue(monkeypatch):
    """Nobody is lost, nothing spins: after a while it looks again."""
    monkeypatch.setattr(tls_listener, "_PAUSE_S", 0.01)

    async def scene():
        async with Port() as port:
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            with socket.socket() as client:
                client.setblocking(False)
                resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, limits[1]))
                try:
                    await asyncio.get_running_loop().sock_connect(client, port.address)
                    await port.until(lambda: port.listener._pauses)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                await port.until(lambda: port.listener.handshakes == 1)
                assert await port.echo() == b"hello"

    run(scene)


def test_a_name_is_listened_on_at_all_its_addresses_and_an_address_taken_is_an_error():
    """As a plain listener does."""

    async def scene():
        opened = await listening_sockets("127.0.0.1", 0, 1)
        with opened[0], pytest.raises(OSError, match="in use"):
            await listening_sockets("127.0.0.1", opened[0].getsockname()[1], 1)

    run(scene)


@pytest.mark.parametrize("wrong", [{"handshakes": 0}, {"handshake_s": 0.0}, {"patience_s": -1.0}, {"goodbye_s": 0.0}])
def test_bounds_that_bound_nothing_are_refused(wrong):
    """Each has to be above zero."""
    with pytest.raises(ConfigurationError, match="out of range"):
        HandshakeBounds(**wrong)

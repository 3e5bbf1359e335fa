"""The admin port and bodies that come slowly: honest senders are waited for, others not; in virtual time, over real sockets."""

from __future__ import annotations

import asyncio
import selectors
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from sojourn.bundle.limits import DEFAULT_LIMITS
from sojourn.control.connection import ConnectionBounds
from sojourn.control.deploy_routes import ARCHIVE

_SPEC = spec_from_file_location("overview", Path(__file__).with_name("overview.py"))
_MODULE = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)

KIB = 1024
DEPLOY = b"POST /api/v1/deployments?target=app.py HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/gzip\r\n"


class _ClockSelector(selectors.SelectSelector):
    """Where no socket has anything to say, moves the clock instead of waiting."""

    now_s = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout is not None:
            self.now_s += max(timeout, 0.0)
        return ready or super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose time passes only while everybody waits for it."""

    def __init__(self):
        self.clock = _ClockSelector()
        super().__init__(self.clock)

    def time(self):
        return self.clock.now_s


class Swallows(_MODULE.SmallOverview):
    """Takes every archive, and keeps nothing."""

    received = 0

    async def deploy(self, upload, asked):
        async for part in upload:
            self.received += len(part)
        return []


class Scene:
    """An admin port in virtual time, and a client of it."""

    def __init__(self, overview, port):
        self.overview, self.port = overview, port
        self.writers = []

    async def connect(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.transport.set_write_buffer_limits(0)
        self.writers.append(writer)
        return reader, writer

    async def leave(self):
        """Close all connections."""
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0.001)

    async def upload(self, piece, pieces, every_s, *, head=DEPLOY):
        """Send so many pieces of a body, one each `every_s`: what was answered, and when the connection ended."""
        reader, writer = await self.connect()
        writer.write(head + b"Content-Length: %d\r\n\r\n" % (piece * pieces))
        said = asyncio.create_task(reader.readuntil(b"\r\n"))
        ended = asyncio.create_task(self.end_of(reader, said))
        for _ in range(pieces):
            if ended.done():
                break
            with suppress(ConnectionError):
                writer.write(b"x" * piece)
                await writer.drain()
            await asyncio.sleep(every_s)
        status = (await said).split()[1].decode()
        at_s = await ended if status != "201" else None
        return status, at_s

    async def end_of(self, reader, said):
        """When the server ended the connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await said
            await reader.read()
        return asyncio.get_running_loop().time()


def run(scene, **bounds):
    """Play a scene; what it returns."""

    async def main():
        overview = Swallows()
        server = _MODULE.admin_server(overview, bounds=ConnectionBounds(**bounds))
        _, port = await server.start("127.0.0.1", 0)
        played = Scene(overview, port)
        try:
            return await scene(played)
        finally:
            await played.leave()
            await server.close()

    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main())


@pytest.mark.parametrize(
    ("piece", "pieces", "every_s"), [(32 * KIB, 120, 1.0), (16 * KIB, 300, 1.0), (160 * KIB, 20, 9.5)]
)
def test_a_slow_but_honest_upload_is_taken_whole(piece, pieces, every_s):
    """Over minutes, steadily or with pauses: the body earns its time as it comes."""

    async def scene(port):
        answered = await port.upload(piece, pieces, every_s)
        assert answered[0] == "201"
        assert port.overview.received == piece * pieces
        assert asyncio.get_running_loop().time() > 100

    run(scene)


@pytest.mark.parametrize(
    ("piece", "every_s", "between_s"),
    [
        (1, 1.0, (9.9, 10.5)),  # a drop each second earns nothing
        (8 * KIB, 1.0, (17.0, 21.0)),  # half as fast as is asked for: half of the time is earned
        (4 * 1024 * KIB, 60.0, (9.9, 12.0)),  # what was fast may not be silent for longer than others
    ],
)
def test_a_sender_that_is_too_slow_is_told_so_in_time(piece, every_s, between_s):
    """Whoever drips does not hold a connection."""

    async def scene(port):
        status, at_s = await port.upload(piece, 1000, every_s)
        assert status == "408"
        assert between_s[0] <= at_s <= between_s[1]

    run(scene)


def test_silent_newcomers_do_not_take_the_place_of_an_upload():
    """It was there first, but it is not the one that has been silent longest."""

    async def scene(port):
        upload = asyncio.create_task(port.upload(32 * KIB, 40, 1.0))
        silent = []
        while not upload.done():
            silent.append(await port.connect())
            await asyncio.sleep(0.6)
        assert upload.result()[0] == "201"
        assert len(silent) > 40

    run(scene, connections=4)


def test_a_body_without_end_earns_nothing_once_its_answer_is_given():
    """Whoever is refused at once cannot hold the connection by sending on."""

    async def scene(port):
        status, at_s = await port.upload(64 * KIB, 1000, 1.0, head=b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        assert status == "200"
        assert at_s <= 12.0

    run(scene)


def test_an_archive_that_may_be_packed_may_be_sent():
    """Who packs, who sends and who stores have one limit."""
    assert ARCHIVE.bytes_max == DEFAULT_LIMITS.archive_bytes

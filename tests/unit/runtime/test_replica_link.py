"""The replica socket against those who should not be there, and those who break off."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from sojourn.runtime.replica_link import ReplicaListener
from sojourn.wire.frame import FrameReader, encode
from sojourn.wire.message import PROTOCOL_VERSION, Hello, Ping, Ready, Run

PATIENCE_S = 20.0
TOKEN = "t0ken"  # noqa: S105 - no secret


class Owner:
    """Expects replica 1 with its token, once; keeps what it is told."""

    def __init__(self) -> None:
        self.tokens = {1: TOKEN}
        self.links = []
        self.told = []
        self.changed = asyncio.Event()

    def token_of(self, replica_id):
        return self.tokens.get(replica_id)

    def link_opened(self, link):
        del self.tokens[link.replica_id]
        self.links.append(link)
        self.changed.set()

    def link_message(self, link, message):
        self.told.append((link.replica_id, message))
        self.changed.set()

    def link_closed(self, link, cause):
        self.told.append((link.replica_id, cause))
        self.changed.set()

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), PATIENCE_S)


def with_listener(tmp_path: Path, scenario):
    """Run `scenario(owner, dial)` against a real listener; `dial()` opens a connection."""

    async def main():
        owner = Owner()
        listener = ReplicaListener(owner, str(tmp_path / "replicas.sock"), max_frame_bytes=10_000)
        await listener.start()
        writers = []

        async def dial():
            reader, writer = await asyncio.open_unix_connection(listener.path)
            writers.append(writer)
            return reader, writer

        try:
            await asyncio.wait_for(scenario(owner, dial), PATIENCE_S)
        finally:
            for link in owner.links:
                link.drop("the test is over")
            for writer in writers:
                writer.close()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            await listener.close()

    asyncio.run(main())
    assert not (tmp_path / "replicas.sock").exists()


async def is_cut_off(reader) -> bool:
    """Whether the server closes the connection without a word."""
    try:
        return await asyncio.wait_for(reader.read(1), PATIENCE_S) == b""
    except ConnectionError:
        return True


HELLO = Hello(PROTOCOL_VERSION, TOKEN, 1, 4711)


def test_an_expected_replica_is_let_in_and_heard(tmp_path):
    """Hello with the right token opens the link; what follows is passed on, what is sent arrives."""

    async def scenario(owner, dial):
        reader, writer = await dial()
        writer.write(encode(HELLO) + encode(Ready(0.1, 0.2, 0.3)))
        await owner.until(lambda: owner.told)
        assert owner.told == [(1, Ready(0.1, 0.2, 0.3))]
        [link] = owner.links
        assert link.pid == 4711
        link.run(7, [b"{}"], b"")
        assert FrameReader().feed(await reader.read(1000)) == [Run(7, [b"{}"])]
        writer.close()
        await owner.until(lambda: len(owner.told) == 2)
        assert owner.told[1][0] == 1

    with_listener(tmp_path, scenario)


@pytest.mark.parametrize(
    "first",
    [
        encode(Hello(PROTOCOL_VERSION, "wrong", 1, 1)),
        encode(Hello(PROTOCOL_VERSION, "", 1, 1)),
        encode(Hello(PROTOCOL_VERSION, "tökén", 1, 1)),
        encode(Hello(PROTOCOL_VERSION, TOKEN, 2, 1)),
        encode(Hello(PROTOCOL_VERSION + 1, TOKEN, 1, 1)),
        encode(Ready(0, 0, 0)),
        encode(Ping(1)) + encode(HELLO),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff\x01",
        b"\x11\x27\x00\x00\x01" + b"x" * 100,
    ],
    ids=["token", "empty", "unicode", "number", "version", "ready first", "ping first", "http", "huge", "over limit"],
)
def test_strangers_are_cut_off_and_others_let_in(tmp_path, first):
    """Whoever does not begin with the right Hello is cut off; the real replica still gets in afterwards."""

    async def scenario(owner, dial):
        reader, writer = await dial()
        writer.write(first)
        assert await is_cut_off(reader)
        assert owner.links == []
        assert owner.told == []
        _, writer = await dial()
        writer.write(encode(HELLO))
        await owner.until(lambda: owner.links)

    with_listener(tmp_path, scenario)


def test_a_token_is_good_once(tmp_path):
    """A second Hello with the same token is a stranger, while the first link lives."""

    async def scenario(owner, dial):
        _, first = await dial()
        first.write(encode(HELLO))
        await owner.until(lambda: owner.links)
        reader, second = await dial()
        second.write(encode(HELLO))
        assert await is_cut_off(reader)
        assert len(owner.links) == 1
        assert owner.told == []

    with_listener(tmp_path, scenario)


@pytest.mark.parametrize("garbage", [b"\x00" * 64, b"\x01\x00\x00\x00\x63x", encode(Run(1, [b"x" * 20_000]))])
def test_a_replica_that_breaks_the_protocol_is_dropped_with_the_reason(tmp_path, garbage):
    """Garbage after a good Hello: the link ends, and its owner is told why."""

    async def scenario(owner, dial):
        _, writer = await dial()
        writer.write(encode(HELLO))
        await owner.until(lambda: owner.links)
        writer.write(garbage)
        await owner.until(lambda: owner.told)
        [(replica_id, cause)] = owner.told
        assert replica_id == 1
        assert "broke the protocol" in cause

    with_listener(tmp_path, scenario)


def test_a_stale_socket_file_is_replaced(tmp_path):
    """What a killed server left behind does not keep the next one from starting."""
    (tmp_path / "replicas.sock").touch()

    async def scenario(owner, dial):
        _, writer = await dial()
        writer.write(encode(HELLO))
        await owner.until(lambda: owner.links)
        assert stat.S_ISSOCK((tmp_path / "replicas.sock").stat().st_mode)

    with_listener(tmp_path, scenario)

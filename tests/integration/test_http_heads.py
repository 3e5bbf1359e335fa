"""Heads that were seen before: what the table of known heads must not change, over a real socket."""

import sys
from pathlib import Path

import pytest

from sojourn.domain.request import Priority
from sojourn.wire.message import ContentKind

sys.path.insert(0, str(Path(__file__).parent))
from http_port import Port, post, run


def test_repeated_heads_are_served_like_first_ones():
    """The table of known heads changes nothing: other bodies, lengths, kinds and options all arrive as sent."""

    async def scene():
        async with Port() as port:
            clients = [await port.client(), await port.client()]
            plan = [
                (post(b"one"), (b"one", ContentKind.JSON, Priority.DEFAULT, None)),
                (post(b"two"), (b"two", ContentKind.JSON, Priority.DEFAULT, None)),
                (post(b"longer"), (b"longer", ContentKind.JSON, Priority.DEFAULT, None)),
                (post(b""), (b"", ContentKind.JSON, Priority.DEFAULT, None)),
                (
                    post(b"m", b"Content-Type: application/msgpack", b"X-Priority: critical"),
                    (b"m", ContentKind.MSGPACK, Priority.CRITICAL, None),
                ),
                (
                    post(b"b", b"content-type: application/octet-stream", b"x-request-timeout-seconds: 2.5"),
                    (b"b", ContentKind.BYTES, Priority.DEFAULT, 2.5),
                ),
            ] * 3
            ids = set()
            for turn, (data, expected) in enumerate(plan):
                answer = await clients[turn % 2].ask(data)
                assert (answer.status, answer.body) == (200, expected[0])
                assert port.service.submitted[-1][1:] == expected
                ids.add(answer.headers[b"x-request-id"])
            assert len(ids) == len(plan)

    run(scene)


@pytest.mark.parametrize(
    "segments",
    [
        [post(b"12345")[:-2], b"45"],
        [post(b"12345")[:-5], b"12345"],
        [post(b"12345")[:-7], b"\r\n12345"],
        [post(b"12345") + post(b"12345")],
        [post(b"12345") + post(b"12345")[:-3], b"345"],
        [post(b"12345")[:-1], b"5" + post(b"12345")],
        [post(b"12345") + post(b"ab\r\n\r")],
        [b"\r\n" + post(b"12345")],
    ],
)
def test_a_known_head_is_followed_by_exactly_its_body(segments):
    """However requests with a head seen before are cut and joined, each gets its own bytes and nothing is lost."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            for _ in range(2):
                assert (await client.ask(post(b"abcde"))).body == b"abcde"
            count = b"".join(segments).count(b"POST")
            for segment in segments:
                await client.send(segment)
                await port.one(post(b"turn"))  # the segment has been read by itself by now
            bodies = [(await client.answer()).body for _ in range(count)]
            assert set(bodies) <= {b"12345", b"ab\r\n\r"}
            assert (await client.ask(post(b"abcde"))).body == b"abcde"

    run(scene)


def test_a_known_head_loses_its_function_with_the_route():
    """After a function is removed, a head seen before leads nowhere, and to the new one after a deploy."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            for _ in range(3):
                assert (await client.ask(post())).status == 200
            port.routes.remove("echo")
            assert (await client.ask(post())).status == 404
            port.routes.add(port.service)
            assert (await client.ask(post())).status == 200

    run(scene)


def test_a_head_seen_once_is_known_from_then_on():
    """What we call a request ourselves is no part of its head: plain calls take the short way from the second one on."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            heads = port.gateway._context.known_heads
            data = post(b"one")
            head = data[: data.index(b"\r\n\r\n") + 4]
            assert not heads.by_bytes
            await client.ask(data)
            assert list(heads.by_bytes) == [head]

    run(scene)

"""What malformed, unwanted and vanishing clients get, over a real socket."""

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sojourn.domain.request import Fault

sys.path.insert(0, str(Path(__file__).parent))
from http_port import Client, Port, post, run

START = b"POST /functions/echo HTTP/1.1\r\n"
HOST = b"Host: t\r\n"
CHUNKED = START + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
MALFORMED = [
    (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    (b"hello\r\n\r\n", 400),
    (b"post /functions/echo HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    (b"POST /functions/echo\r\n\r\n", 505),
    (b"POST /functions/echo HTTP/1.2\r\nHost: t\r\n\r\n", 505),
    (b"POST /functions/echo HTTP/2.0\r\nHost: t\r\n\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n", 501),
    (START + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 501),
    (START + b"\r\n", 400),
    (START + HOST + HOST + b"\r\n", 400),
    (START + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n1", 400),
    (START + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (START + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400),
    (START + HOST + b"Content-Length: +1\r\n\r\n1", 400),
    (START + HOST + b"Content-Length: 1, 1\r\n\r\n1", 400),
    (START + HOST + b"Content-Length: 0x1\r\n\r\n1", 400),
    (START + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n1", 400),
    (START + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (START + HOST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    (b"POST /functions/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (START + b"Host: t\nX: y\r\n\r\n", 400),
    (START + HOST + b"X: y\r\n z\r\n\r\n", 400),
    (START + HOST + b"X: a\x00b\r\n\r\n", 400),
    (START + HOST + b"X: a\x01b\r\n\r\n", 400),
    (START + HOST + b"X : y\r\n\r\n", 400),
    (START + HOST + b": y\r\n\r\n", 400),
    (START + HOST + b"no colon\r\n\r\n", 400),
    (b"POST /functions/e\x00cho HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    (b"POST /functions/e cho HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    (CHUNKED + b"-1\r\n", 400),
    (CHUNKED + b"0x1\r\nx\r\n", 400),
    (CHUNKED + b"fffffffffffffffff\r\n", 400),
    (CHUNKED + b"1\r\nxy\r\n", 400),
    (CHUNKED + b"1\nx\n", 400),
    (START + HOST + b"X-Priority: default\r\nX-Priority: critical\r\n\r\n", 400),
]


@pytest.mark.parametrize("is_bytewise", [False, True])
def test_malformed_requests_get_one_error_and_the_connection_ends(is_bytewise):
    """Each entry of the table: one refusal, nothing parsed behind it, nothing run, the next client served."""

    async def scene():
        async with Port() as port:
            for data, status in MALFORMED:
                client = await port.client()
                await (client.send_bytewise if is_bytewise else client.send)(data + post(b"smuggled"))
                answer = await client.answer()
                assert (answer.status, answer.headers[b"connection"]) == (status, b"close"), data
                assert set(answer.error) == {"error", "code", "request_id"}
                assert await client.rest() == b"", data
                assert port.service.submitted == [], data
            assert (await port.one(post(b"next"))).body == b"next"

    run(scene)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (post(path=b"/functions/nope"), 404, "not_found"),
        (post(path=b"/functions/echo@old"), 404, "not_found"),
        (post(path=b"/functions/../functions/echo"), 404, "not_found"),
        (post(path=b"/functions/%2565cho"), 404, "not_found"),
        (post(path=b"/"), 404, "not_found"),
        (b"GET /functions/echo HTTP/1.1\r\nHost: t\r\n\r\n", 405, "method_not_allowed"),
        (b"TRACE /functions/echo HTTP/1.1\r\nHost: t\r\n\r\n", 405, "method_not_allowed"),
        (post(b"x", b"Content-Type: text/plain"), 415, "unsupported_content_type"),
        (post(b"x", b"Content-Encoding: gzip"), 415, "unsupported_content_type"),
        (post(b"x", b"X-Priority: urgent"), 400, "bad_request"),
        (post(b"x", b"X-Request-Timeout-Seconds: -1"), 400, "bad_request"),
        (CHUNKED.replace(b"echo", b"nope") + b"3\r\nabc\r\n0\r\n\r\n", 404, "not_found"),
    ],
)
@pytest.mark.parametrize("is_bytewise", [False, True])
def test_the_connection_outlives_a_refusal_whose_body_is_small(data, status, code, is_bytewise):
    """The unwanted body is dropped and the next request on the same connection is served."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            for _ in range(2):
                await (client.send_bytewise if is_bytewise else client.send)(data)
                answer = await client.answer()
                assert (answer.status, answer.error["code"]) == (status, code)
                assert (b"allow" in answer.headers) == (status == 405)
                assert (await client.ask(post(b"next"))).body == b"next"
            faults = [Fault(code)] * 2 if status in {400, 415} else []
            assert port.service.at_the_door == faults

    run(scene)


def test_a_large_unwanted_body_is_refused_at_once_and_the_client_can_read_why():
    """Past `drain_bytes` the server half-closes: the answer arrives although the client is still sending."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            head = b"POST /functions/nope HTTP/1.1\r\nHost: t\r\nContent-Length: 5000000\r\n\r\n"
            await client.send(head + b"x" * 100_000)
            answer = await client.answer()
            assert (answer.status, answer.headers[b"connection"]) == (404, b"close")
            assert await client.rest() == b""
            await client.send(b"x" * 100_000)
            port.pass_time(port.gateway._context.limits.linger_s)
            await port.until_connections(0)

    run(scene)


@pytest.mark.parametrize("rest", [b"x" * 70_000, b"not a chunk\r\n"])
def test_an_unwanted_body_that_turns_bad_ends_the_connection_after_all_answers(rest):
    """Earlier requests still get theirs, the refused one exactly one answer, and then comes the end."""

    async def scene():
        async with Port() as port:
            port.service.is_holding = True
            client = await port.client()
            refused = CHUNKED.replace(b"echo", b"nope") + b"20000\r\n"
            await client.send(post(b"1") + (refused + rest if rest[0] == 120 else refused[:-7] + rest))
            await port.one(post(path=b"/functions/turn"))  # by its answer the segments have been read
            assert port.service.cancelled == []
            port.service.answer(1)
            assert [(await client.answer()).status for _ in range(2)] == [200, 404]
            assert await client.rest() == b""

    run(scene)


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_client_that_leaves_cancels_all_its_requests_at_once(is_reset):
    """End of input or a reset: the function hears of each request in flight, and late answers harm nobody."""

    async def scene():
        async with Port() as port:
            port.service.is_holding = True
            client, other = await port.client(), await port.client()
            await client.send(
                post(b"1") + post(b"2") + b"POST /functions/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n1"
            )
            await port.service.until(lambda: len(port.service.submitted) == 2)
            await other.send(post(b"3"))
            await port.service.until(lambda: len(port.service.submitted) == 3)
            if is_reset:
                client.writer.transport.abort()
            else:
                client.writer.write_eof()
            await port.service.until(lambda: port.service.at_the_door)
            assert port.service.cancelled == [1, 2]
            names = {submitted[0].name() for submitted in port.service.submitted[:2]}
            assert len(names - {""}) == 2, "each is found later by an id of its own"
            assert port.service.at_the_door == [Fault.CLIENT_GONE]  # it was still sending its third
            for number in (1, 2, 3):
                port.service.answer(number)
            assert (await other.answer()).body == b"3"

    run(scene)


def test_a_broken_service_costs_its_caller_a_500_and_nobody_else_anything():
    """An exception of ours is told, logged, and leaves the connection and its neighbours working."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            for _ in range(2):
                port.service.breaks = True
                answer = await client.ask(post())
                assert (answer.status, answer.error["code"]) == (500, "internal_error")
                port.service.breaks = False
                assert (await client.ask(post())).status == 200

    run(scene)


def test_a_draining_server_finishes_what_it_has_and_takes_nothing_new():
    """Idle connections end, requests in flight are answered with `close`, new connections are refused."""

    async def scene():
        async with Port() as port:
            idle, busy = await port.client(), await port.client()
            await idle.ask(post())
            port.service.is_holding = True
            await busy.send(post(b"last"))
            await port.service.until(lambda: len(port.service.submitted) == 2)
            port.gateway.begin_drain()
            assert await idle.rest() == b""
            with pytest.raises(OSError, match="refused"):
                await port.client()
            closing = asyncio.create_task(port.gateway.close(linger_s=20.0))
            port.service.answer(2)
            answer = await busy.answer()
            assert (answer.body, answer.headers[b"connection"]) == (b"last", b"close")
            assert await busy.rest() == b""
            await closing

    run(scene)


def test_a_draining_server_runs_nothing_behind_the_answer_that_closes():
    """A request that was arriving when the drain began is served; one pipelined behind it is not even started."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            await client.send(post(b"last")[:-1])
            await port.one(post(path=b"/functions/turn"))
            port.gateway.begin_drain()
            answer = await client.ask(b"t" + post(b"behind"))
            assert (answer.body, answer.headers[b"connection"]) == (b"last", b"close")
            assert await client.rest() == b""
            assert len(port.service.submitted) == 1

    run(scene)


VALID = [
    post(b"[1, 2]", b"X-Priority: critical", b"X-Request-Timeout-Seconds: 1"),
    CHUNKED + b"3\r\n[1,\r\n3;x=y\r\n 2]\r\n0\r\nT: v\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: t\r\n\r\n",
    post(b"x" * 50, b"Connection: close", b"Content-Type: application/msgpack"),
]
PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\x00", b":", b" ", b"Host: t\r\n", b"Content-Length: 3\r\n", b"0\r\n\r\n", b"\xff"]
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8), PIECES | st.binary(max_size=4)), max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests=st.lists(st.sampled_from(VALID), min_size=1, max_size=3), edits=EDITS, cut=st.floats(0, 1))
def test_whatever_is_sent_the_server_answers_or_closes_and_serves_the_next(requests, edits, cut):
    """Mutated requests in two segments: every answer is a 2xx, 4xx or 5xx refusal, and the next client is served."""
    data = b"".join(requests)
    for place, removed, inserted in edits:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + removed :]

    async def scene():
        async with Port() as port:
            for request in VALID:  # so that heads are known already
                await port.one(request)
            client = await port.client()
            at = int(cut * len(data))
            await client.send(data[:at])
            await asyncio.sleep(0)
            await client.send(data[at:])
            assert (await port.one(post(b"next"))).body == b"next"
            port.pass_time(100.0)
            port.pass_time(100.0)
            await check_answers(client)
            assert set(port.service.at_the_door) <= set(Fault)

    run(scene)


async def check_answers(client: Client):
    """Every answer until the end of the connection is whole and has an expected status."""
    while True:
        try:
            answer = await client.answer()
        except EOFError:
            return
        assert answer.status in {200, 400, 404, 405, 408, 413, 414, 415, 417, 429, 431, 501, 505}

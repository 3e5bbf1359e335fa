"""What well-formed requests get, over a real socket."""

import asyncio
import re
import sys
from pathlib import Path

import msgspec
import pytest

from sojourn.domain.request import Fault
from sojourn.errors import StartError
from sojourn.gateway.routes import Routes
from sojourn.gateway.server import Gateway
from sojourn.wire.message import ContentKind

sys.path.insert(0, str(Path(__file__).parent))
from http_port import Port, post, run

CHUNKED = b"POST /functions/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_call_is_answered_with_the_documented_headers():
    """Status, content type, length, request id, timing and the function's bytes."""

    async def scene():
        async with Port() as port:
            answer = await port.one(post(b'{"a": 1}'))
            assert (answer.status, answer.body) == (200, b'{"a": 1}')
            assert answer.headers[b"content-type"] == b"application/json"
            assert answer.headers[b"server-timing"] == b"queue;dur=0.100"
            assert re.fullmatch(rb"[0-9a-f]{12}-[0-9a-f]+", answer.headers[b"x-request-id"])

    run(scene)


@pytest.mark.parametrize(
    "data",
    [
        post(b"[1, 2]"),
        CHUNKED + b"3\r\n[1,\r\n3;x=y\r\n 2]\r\n0\r\n\r\n",
        CHUNKED + b"6\r\n[1, 2]\r\n0\r\nHost: trailer\r\nX: y\r\n\r\n",
        post(b"[1, 2]", path=b"/functions/echo@r1"),
        post(b"[1, 2]", path=b"/functions/%65cho?x=1"),
        post(b"[1, 2]", path=b"http://test/functions/echo"),
        b"\r\n" + post(b"[1, 2]"),
    ],
)
@pytest.mark.parametrize("is_bytewise", [False, True])
def test_all_forms_of_a_call_arrive_whole_however_they_are_cut(data, is_bytewise):
    """Lengths, chunks, extensions, trailers and URLs: in one segment or byte by byte, twice on a connection."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            for _ in range(2):
                await (client.send_bytewise if is_bytewise else client.send)(data)
                answer = await client.answer()
                assert (answer.status, answer.body) == (200, b"[1, 2]")

    run(scene)


@pytest.mark.parametrize("is_bytewise", [False, True])
def test_pipelined_requests_are_answered_in_order(is_bytewise):
    """Answers given backwards by the function leave forwards, errors and health checks between them too."""

    async def scene():
        async with Port() as port:
            port.service.is_holding = True
            client = await port.client()
            data = (
                post(b"1")
                + post(b"x", path=b"/functions/nope")
                + post(b"2")
                + b"GET /livez HTTP/1.1\r\nHost: t\r\n\r\n"
            )
            await (client.send_bytewise if is_bytewise else client.send)(data + post(b"3"))
            await port.service.until(lambda: len(port.service.submitted) == 3)
            for number in (3, 2, 1):
                port.service.answer(number)
            answers = [await client.answer() for _ in range(5)]
            assert [answer.status for answer in answers] == [200, 404, 200, 200, 200]
            assert [answers[at].body for at in (0, 2, 4)] == [b"1", b"2", b"3"]

    run(scene)


def test_large_bodies_travel_both_ways():
    """A body of a few megabytes comes back byte for byte."""

    async def scene():
        async with Port() as port:
            body = bytes(range(256)) * 16_000
            client = await port.client()
            for data in (post(body), CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)):
                send = asyncio.create_task(client.send(data))
                answer = await client.answer()
                await send
                assert answer.body == body

    run(scene)


@pytest.mark.parametrize(
    ("version", "lines", "says", "is_kept"),
    [
        (b"1.1", (), None, True),
        (b"1.1", (b"Connection: close",), b"close", False),
        (b"1.0", (), b"close", False),
        (b"1.0", (b"Connection: keep-alive",), b"keep-alive", True),
    ],
)
def test_connections_are_kept_as_the_version_of_http_says(version, lines, says, is_kept):
    """1.1 keeps unless told otherwise, 1.0 closes unless asked otherwise, and the answer says so."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            for _ in range(2 if is_kept else 1):
                answer = await client.ask(post(b"1", *lines, version=version))
                assert answer.status == 200
                assert answer.headers.get(b"connection") == says
            if not is_kept:
                assert await client.rest() == b""

    run(scene)


def test_the_clients_request_id_comes_back_in_answers_and_errors():
    """A usable id is echoed, any other replaced; errors repeat it in their body."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            answer = await client.ask(post(b"1", b"X-Request-Id: mine-7"))
            assert answer.headers[b"x-request-id"] == b"mine-7"
            answer = await client.ask(post(b"1", b"X-Request-Id: not mine"))
            assert b" " not in answer.headers[b"x-request-id"]
            answer = await client.ask(post(b"1", b"X-Request-Id: mine-8", path=b"/functions/nope"))
            assert (answer.headers[b"x-request-id"], answer.error["request_id"]) == (b"mine-8", "mine-8")

    run(scene)


def test_the_runtimes_refusals_reach_the_client():
    """Each fault becomes its status and code; a function's own status wins; 429 says when to come back."""

    async def scene():
        async with Port() as port:
            port.service.is_holding = True
            client = await port.client()
            for fault, status, expected in (
                (Fault.QUEUE_FULL, 0, 429),
                (Fault.ITEM_ERROR, 0, 422),
                (Fault.ITEM_ERROR, 418, 418),
                (Fault.TIMEOUT, 0, 504),
            ):
                await client.send(post())
                await port.service.until(lambda: port.service.submitted)
                caller = port.service.submitted.pop()[0]
                caller.refuse(fault, "because", status, 1.5 if fault is Fault.QUEUE_FULL else 0.0)
                caller.answer(b"late", ContentKind.JSON, b"")  # a second word is not heard
                answer = await client.answer()
                assert (answer.status, answer.error["code"], answer.error["error"]) == (
                    expected,
                    fault.value,
                    "because",
                )
                assert answer.headers.get(b"retry-after") == (b"2" if expected == 429 else None)

    run(scene)


def test_health_endpoints_answer_get_and_head_only():
    """/livez is 200 while the loop runs, /readyz follows the server, and both know HEAD."""

    async def scene():
        async with Port() as port:
            client = await port.client()

            async def status(method, path):
                data = b"%b %b HTTP/1.1\r\nHost: t\r\n\r\n" % (method, path)
                return (await client.ask(data, has_body=method != b"HEAD")).status

            assert [await status(b"GET", b"/livez"), await status(b"HEAD", b"/livez")] == [200, 200]
            assert [await status(b"GET", b"/readyz"), await status(b"HEAD", b"/readyz")] == [200, 200]
            port.is_ready = False
            assert [await status(b"GET", b"/readyz"), await status(b"HEAD", b"/readyz")] == [503, 503]
            assert await status(b"GET", b"/livez") == 200
            assert await status(b"POST", b"/livez") == 405

    run(scene)


@pytest.mark.parametrize("is_deferred", [False, True])
def test_a_client_that_asks_first_is_told_to_go_on(is_deferred):
    """100 comes before the body is sent, and behind the answers of earlier requests."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            port.service.is_holding = is_deferred
            head, body = post(b"[1]", b"Expect: 100-continue").split(b"\r\n\r\n")
            await client.send((post(b"first") if is_deferred else b"") + head + b"\r\n\r\n")
            if is_deferred:
                await port.service.until(lambda: port.service.submitted)
                port.service.is_holding = False
                port.service.answer(1)
                assert (await client.answer()).body == b"first"
            assert (await client.answer()).status == 100
            assert (await client.ask(body)).body == b"[1]"

    run(scene)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((b"Content-Type: text/plain", b"Expect: 100-continue"), 415),
        ((b"Expect: 100-continue", b"X-Priority: none"), 400),
        ((b"Expect: 200-maybe",), 417),
    ],
)
def test_a_client_that_asks_first_is_refused_at_once(lines, status):
    """No 100 for a body we would not take; the connection ends, since nobody knows whether the body comes."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            answer = await client.ask(post(b"[1]", *lines)[:-3])
            assert (answer.status, answer.headers[b"connection"]) == (status, b"close")
            assert await client.rest() == b""
            assert len(port.service.at_the_door) == 1

    run(scene)


@pytest.mark.parametrize(
    ("lines", "length", "is_kept"),
    [((), 3_000, True), ((), 3_000_000, False), ((b"Expect: 100-continue",), 3_000, False)],
)
def test_a_body_that_is_not_wanted_is_refused_at_its_headers(lines, length, is_kept):
    """The core's refusal comes before the body; a short body is dropped and the connection goes on."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            port.service.unwanted = (Fault.OVERLOADED, "come back later", 7.0)
            whole = post(b"x" * length, *lines)
            answer = await client.ask(whole[:-length])
            assert (answer.status, answer.headers[b"retry-after"]) == (429, b"7")
            assert answer.error["code"] == "overloaded"
            assert answer.headers.get(b"connection") == (None if is_kept else b"close")
            assert port.service.at_the_door == []  # the core has counted it
            if is_kept:
                port.service.unwanted = None
                await client.send(whole[-length:])
                assert (await client.ask(post(b"[1]"))).body == b"[1]"
            assert len(port.service.submitted) == is_kept

    run(scene)


def test_addresses_that_cannot_be_had_are_explained():
    """A port in use, a foreign address, an impossible port and an unknown host: each with what to do."""

    async def scene():
        async with Port() as port:
            for host, number, text in (
                ("127.0.0.1", port.port, "in use"),
                ("192.0.2.1", 0, "no interface"),
                ("127.0.0.1", 70_000, "65535"),
                ("x" * 64, 0, "resolved"),  # too long for any name server to be asked
            ):
                with pytest.raises(StartError, match=text) as caught:
                    await Gateway(Routes()).start(host, number)
                assert "--" in str(caught.value)

    run(scene)


def test_a_call_that_comes_before_the_functions_is_told_to_come_back():
    """A server that has just started knows no functions yet: 503, not 404; paths that never exist stay unknown."""

    async def scene():
        async with Port() as port:
            port.routes.is_filling = True
            early = await port.one(post(b"1", path=b"/functions/later"))
            assert (early.status, msgspec.json.decode(early.body)["code"]) == (503, "not_ready")
            assert int(early.headers[b"retry-after"]) >= 1
            assert (await port.one(post(b"1", path=b"/nowhere"))).status == 404
            assert (await port.one(post(b"1"))).status == 200
            port.routes.is_filling = False
            assert (await port.one(post(b"1", path=b"/functions/later"))).status == 404

    run(scene)


def test_a_failed_answer_tells_its_phases_if_there_are_any():
    """The header of Server-Timing stands in errors, too; not where nothing was measured."""

    async def scene():
        async with Port() as port:
            port.service.is_holding = True
            for timing in (b"queue;dur=1.000, service;dur=2.000", b""):
                asking = asyncio.ensure_future(port.one(post(b"1")))
                port.service.changed.clear()
                await port.service.changed.wait()
                port.service.submitted[-1][0].refuse(Fault.FUNCTION_RAISED, "boom", 0, 0.0, timing)
                assert (await asking).headers.get(b"server-timing", b"") == timing

    run(scene)

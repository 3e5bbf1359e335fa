"""Traces and names of requests over a real socket: what comes in is told on, and what is kept can be asked for."""

import asyncio
import re
import sys
from pathlib import Path

from sojourn.domain.request import Fault

sys.path.insert(0, str(Path(__file__).parent))
from http_port import Port, post, run

TRACE = b"0af7651916cd43dd8448eb211c80319c"
PARENT = b"00-%b-b7ad6b7169203331-01" % TRACE


def test_a_trace_goes_in_and_out():
    """The parser's path, that of known heads, a refusal and an announced body: same trace, a span of our own each time."""

    async def scene():
        async with Port(body_bytes=200_000) as port:
            client, spans = await port.client(), set()
            large = post(b"x" * 100_000, b"Traceparent: " + PARENT)
            for data in [post(b"1", b"traceparent: " + PARENT)] * 3 + [large]:
                answer = await client.ask(data)
                found = re.fullmatch(rb"00-%b-([0-9a-f]{16})-01" % TRACE, answer.headers[b"traceparent"])
                spans.add(found[1])
                assert port.service.submitted[-1][0].trace.parent_id == "b7ad6b7169203331"
            assert len(spans) == 4
            assert b"traceparent" not in (await client.ask(post(b"1"))).headers
            assert b"traceparent" not in (await client.ask(post(b"1", b"traceparent: rubbish"))).headers
            port.service.is_holding = True
            asked = asyncio.ensure_future(client.ask(post(b"1", b"traceparent: " + PARENT)))
            await port.service.until(lambda: len(port.service.submitted) == 7)
            port.service.submitted[-1][0].refuse(Fault.OVERLOADED, "too much", 0, 1.0)
            refused = await asked
            assert (refused.status, refused.headers[b"traceparent"][3:35]) == (429, TRACE)

    run(scene)


def test_the_name_a_request_is_kept_under_is_the_one_its_client_is_told():
    """Before and after it was answered, given by the client or by us, and where only its headers were read."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            answer = await client.ask(post(b"1"))
            assert port.service.submitted[-1][0].name().encode() == answer.headers[b"x-request-id"]
            await client.ask(post(b"1", b"x-request-id: mine"))
            assert port.service.submitted[-1][0].name() == "mine"
            names = []
            port.service.unwanted = (Fault.OVERLOADED, "no", 1.0)
            announce = port.service.announce

            def noting(caller, *details):
                names.append(caller.name())
                announce(caller, *details)

            port.service.announce = noting
            refused = await client.ask(post(b"x" * 70_000))
            assert refused.status == 429
            assert [name.encode() for name in names] == [refused.headers[b"x-request-id"]]

    run(scene)


def test_a_request_refused_by_its_head_is_named_to_its_function_as_to_its_client():
    """Each by a name of its own, in the client's trace if it told one."""

    async def scene():
        async with Port() as port:
            client = await port.client()
            for length, headers in [(b"-1", b""), (b"-1", b""), (b"5", b"traceparent: " + PARENT)]:
                wrong = post(b"12345", b"x-request-timeout-seconds: " + length, b"x-priority: none", headers or b"a: b")
                refused = await client.ask(wrong)
                assert refused.status == 400
                name, trace = port.service.named_at_the_door[-1]
                assert name.encode() == refused.headers[b"x-request-id"]
                assert (trace is not None and trace.trace_id.encode() == TRACE) is bool(headers)
            assert len({name for name, _ in port.service.named_at_the_door}) == 3

    run(scene)

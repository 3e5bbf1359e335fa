"""What clients get who send too much, too many or too slowly, over a real socket."""

import sys
from pathlib import Path

import pytest

from sojourn.domain.request import Fault

sys.path.insert(0, str(Path(__file__).parent))
from http_port import Port, post, run

START = b"POST /functions/echo HTTP/1.1\r\n"


HOST = b"Host: t\r\n"


CHUNKED = START + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def head_of(header_bytes, header_count):
    """A call whose header fields have exactly this size and number."""
    fields = [b"Host: t\r\n", b"Content-Length: 0\r\n"]
    fields += [b"X: y\r\n"] * (header_count - 3)
    fields.append(b"Pad: %b\r\n" % (b"p" * (header_bytes - sum(map(len, fields)) - 7)))
    return START + b"".join(fields) + b"\r\n"


@pytest.mark.parametrize(
    ("within", "past", "status", "setting"),
    [
        (head_of(1000, 10), head_of(1001, 10), 431, "header_bytes"),
        (head_of(900, 20), head_of(900, 21), 431, "header_count"),
        (post(path=b"/functions/echo?" + b"q" * 484), post(path=b"/functions/echo?" + b"q" * 485), 414, "uri_bytes"),
        (post(b"b" * 2000), post(b"b" * 2001), 413, "body_bytes"),
        (
            CHUNKED + b"3e8\r\n%b\r\n3e8\r\n%b\r\n0\r\n\r\n" % (b"b" * 1000, b"b" * 1000),
            CHUNKED + b"3e8\r\n%b\r\n3e9\r\n%b\r\n0\r\n\r\n" % (b"b" * 1000, b"b" * 1001),
            413,
            "body_bytes",
        ),
        (
            CHUNKED + b"1\r\nb\r\n" * 49 + b"0\r\n\r\n",
            CHUNKED + b"1\r\nb\r\n" * 51 + b"0\r\n\r\n",
            400,
            "small_chunks",
        ),
    ],
)
@pytest.mark.parametrize("is_bytewise", [False, True])
def test_each_limit_allows_its_value_and_refuses_one_more(within, past, status, setting, is_bytewise):
    """The last allowed size is served; one byte, field or chunk more is refused by the setting's name."""

    async def scene():
        async with Port(
            header_bytes=1000, header_count=20, uri_bytes=500, body_bytes=2000, small_chunks=50, drain_bytes=0
        ) as port:
            client = await port.client()
            await (client.send_bytewise if is_bytewise else client.send)(within)
            assert (await client.answer()).status == 200
            await (client.send_bytewise if is_bytewise else client.send)(past)
            answer = await client.answer()
            assert answer.status == status
            assert setting in answer.error["error"]
            assert await client.rest() == b""

    run(scene)


def test_endless_headers_and_chunk_extensions_are_cut_off():
    """Bulk the parser keeps to itself is bounded too: a header line or a chunk extension that never ends."""

    async def scene():
        async with Port(header_bytes=1000, uri_bytes=500) as port:
            for data, status in ((START + b"X: ", 431), (START, 431), (CHUNKED + b"1;", 400)):
                client = await port.client()
                await client.send(data)
                for _ in range(5000):
                    await client.send(b"e" * 100)
                    if client.reader._buffer:
                        break
                assert (await client.answer()).status == status
            assert len(port.service.at_the_door) == 1

    run(scene)


@pytest.mark.parametrize("is_head_known", [False, True])
def test_one_request_too_many_on_a_connection_is_refused_and_ends_it(is_head_known):
    """Pipelining past the bound: the allowed ones are still answered, in order, then 429 and the end."""

    async def scene():
        async with Port(pipelined=3) as port:
            port.service.is_holding = True
            client = await port.client()
            if is_head_known:
                port.service.is_holding = False
                assert (await client.ask(post(b"0"))).status == 200
                port.service.submitted.clear()
                port.service.is_holding = True
            for number in range(1, 6):
                await client.send(post(b"%d" % number))
                await port.one(post(path=b"/functions/turn"))  # by its answer the segment has been read
            assert len(port.service.submitted) == 3
            for number in (1, 2, 3):
                port.service.answer(number)
            answers = [await client.answer() for _ in range(4)]
            assert [answer.status for answer in answers] == [200, 200, 200, 429]
            assert "pipelined" in answers[-1].error["error"]
            assert await client.rest() == b""
            assert len(port.service.submitted) == 3

    run(scene)


def test_one_connection_too_many_is_told_so():
    """503 with Retry-After without a request; when another leaves, the next is served."""

    async def scene():
        async with Port(connections=2) as port:
            first, second = await port.client(), await port.client()
            assert (await first.ask(post())).status == (await second.ask(post())).status == 200
            third = await port.client()
            answer = await third.answer()
            assert (answer.status, answer.error["code"]) == (503, "too_many_connections")
            assert b"retry-after" in answer.headers
            assert await third.rest() == b""
            await first.close()
            await third.close()
            await port.until_connections(1)
            assert (await port.one(post())).status == 200

    run(scene)


@pytest.mark.parametrize(
    ("sent", "deadline_s", "status", "faults"),
    [
        (b"POST /func", 10.0, 408, []),
        (START + b"Host: t\r\nX: y", 10.0, 408, []),
        (post(b"abc")[:-1], 30.0, 408, [Fault.TOO_SLOW]),
        (post(b"abc", path=b"/functions/nope")[:-1], 30.0, 404, []),
        (b"", 75.0, None, []),
        (post(b"abc"), 75.0, 200, []),
    ],
)
def test_slow_and_idle_clients_are_closed_at_their_deadline_and_not_before(sent, deadline_s, status, faults):
    """Headers, bodies, dropped bodies and idle time each have a deadline; a little less is allowed."""

    async def scene():
        async with Port() as port:
            client, neighbour = await port.client(), await port.client()
            await client.send(sent)
            answer = await client.answer() if status in {200, 404} else None
            await neighbour.ask(post(b"n"))  # whatever was sent before has been read by now
            port.pass_time(deadline_s - 0.1)
            assert not client.reader.at_eof()
            await neighbour.ask(post(b"n"))
            port.pass_time(0.2)
            if status == 408:
                answer = await client.answer()
            assert (answer and answer.status) == status
            assert await client.rest() == b""
            assert port.service.at_the_door == faults
            assert len(port.service.submitted) == 2 + (status == 200)

    run(scene)


def test_a_steady_sender_of_a_large_body_earns_time():
    """The body's deadline moves with the bytes that came, so that size alone makes nobody late."""

    async def scene():
        async with Port(receipt_body_bytes_per_s=100) as port:
            client = await port.client()
            data = post(b"x" * 2000)
            await client.send(data[:-1000])
            for _ in range(3):
                await port.one(post(b"n"))
            port.pass_time(39.0)
            assert (await client.ask(data[-1000:])).body == b"x" * 2000

    run(scene)


def test_a_client_that_does_not_read_is_cut_off_and_its_server_stops_reading_from_it():
    """Answers pile up to a bound only; after the stall deadline the connection is gone, others never notice."""

    async def scene():
        async with Port(write_buffer_bytes=1024, pipelined=8) as port:
            port.service.is_holding = True
            client = await port.client()
            client.writer.transport.pause_reading()
            await client.send(post(b"1") + post(b"2"))
            await port.service.until(lambda: len(port.service.submitted) == 2)
            port.service.answer(1, b"x" * 30_000_000)
            await client.send(post(b"3"))
            assert (await port.one(post(b"n", path=b"/functions/nope"))).status == 404
            assert len(port.service.submitted) == 2  # the third is not even read
            port.pass_time(31.0)
            await port.service.until(lambda: port.service.cancelled)
            assert port.service.cancelled == [2]

    run(scene)

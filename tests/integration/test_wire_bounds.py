"""What clients can make the gateway hold is bounded: bodies in flight, idle connections, answers nobody reads."""

import asyncio
import contextlib
import gc
import resource
import socket
import sys
from pathlib import Path

import pytest

from sojourn.domain.request import Fault
from sojourn.gateway.connection import Connection
from sojourn.gateway.descriptors import Descriptors, Room

sys.path.insert(0, str(Path(__file__).parent))
from http_port import Port, post, run

KIB = 1024


async def turned(port):
    """By the answer of a fresh client, whatever was sent before has been read."""
    client = await port.client()
    assert (await client.ask(post(path=b"/functions/turn"))).status == 404
    await client.close()


# ---- bodies in flight


@pytest.mark.parametrize("is_head_known", [False, True])
def test_bodies_past_the_bound_are_refused_and_taken_again_once_there_is_room(is_head_known):
    """Waiting requests fill the bound: the next body gets 503 by the setting's name; an answer makes room."""

    async def scene():
        async with Port(body_bytes=30 * KIB, inflight_body_bytes=30 * KIB, drain_bytes=0) as port:
            data = post(b"b" * (10 * KIB))
            if is_head_known:
                assert (await port.one(data)).status == 200
                port.service.submitted.clear()
            port.service.is_holding = True
            clients = [await port.client() for _ in range(3)]
            for count, client in enumerate(clients, start=1):
                await client.send(data)
                await port.service.until(lambda count=count: len(port.service.submitted) == count)
            assert port.gateway.held_bytes == 30 * KIB
            answer = await port.one(data)
            assert (answer.status, answer.error["code"]) == (503, "too_many_body_bytes")
            assert "inflight_body_bytes" in answer.error["error"]
            assert b"retry-after" in answer.headers
            assert port.service.at_the_door == [Fault.QUEUE_FULL]
            port.service.answer(1)
            assert (await clients[0].answer()).status == 200
            await clients[1].close()
            await port.service.until(lambda: port.service.cancelled == [2])
            assert port.gateway.held_bytes == 10 * KIB
            port.service.is_holding = False
            assert (await port.one(data)).status == 200
            port.service.answer(3)
            assert port.gateway.held_bytes == 0

    run(scene)


def test_bodies_that_are_still_arriving_count_by_what_has_come():
    """A promise of bytes takes no room from others, bytes that came do; whoever passes the bound is refused."""

    async def scene():
        async with Port(body_bytes=30 * KIB, inflight_body_bytes=30 * KIB) as port:
            slow, chunked = await port.client(), await port.client()
            await slow.send(
                b"POST /functions/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 30720\r\n\r\n" + b"x" * 20 * KIB
            )
            await turned(port)
            assert port.gateway.held_bytes == 20 * KIB
            assert (await port.one(post(b"b" * 9 * KIB))).status == 200
            assert (await port.one(post(b"b" * 11 * KIB))).status == 503
            await chunked.send(b"POST /functions/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
            await chunked.send(b"2000\r\n" + b"x" * 8 * KIB + b"\r\n")
            await turned(port)
            assert port.gateway.held_bytes == 28 * KIB
            answer = await chunked.ask(b"2000\r\n" + b"x" * 8 * KIB + b"\r\n")
            assert (answer.status, answer.error["code"]) == (503, "too_many_body_bytes")
            assert port.gateway.held_bytes == 20 * KIB
            await slow.close()
            await port.service.until(lambda: Fault.CLIENT_GONE in port.service.at_the_door)
            assert port.gateway.held_bytes == 0

    run(scene)


# ---- connections


def test_a_thousand_idle_connections_disturb_nobody_and_leave_nothing():
    """Requests are served among idle connections; when their time is up, all are closed and forgotten."""
    wanted = 2 * 1000 + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} descriptors, the hard limit is {hard}")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    async def scene():
        async with Port() as port:
            active = [await port.client() for _ in range(20)]
            idle = [socket.create_connection((port.host, port.port)) for _ in range(1000)]
            with contextlib.ExitStack() as sockets:
                for one in idle:
                    sockets.enter_context(one)
                for turn in range(5):
                    body = b"%d" % turn
                    assert {(await client.ask(post(body))).body for client in active} == {body}
                assert await port.one(post(b"n"))  # it queued behind the others, so all are in now
                assert port.gateway.connections == 1021
                port.pass_time(80.0)
                await port.until_connections(0)
                for one in idle:
                    assert one.recv(1) == b""
            gc.collect()
            context = port.gateway._context
            assert not [one for one in gc.get_objects() if type(one) is Connection and one.context is context]
            assert (await port.one(post(b"next"))).body == b"next"

    try:
        run(scene)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Scarce(Descriptors):
    """Nearly at the limit, whatever the number."""

    def room_after(self, descriptor):
        """Just enough to tell."""
        return Room.SCARCE


def test_clients_never_get_the_last_descriptors():
    """Near the limit newcomers are told 503, nearer still they are cut off; those who are here are served on."""

    async def scene():
        async with Port() as port:
            here = await port.client()
            assert (await here.ask(post(b"1"))).body == b"1"
            port.gateway._context.descriptors = Descriptors(limit=4)
            assert await (await port.client()).rest() == b""
            port.gateway._context.descriptors = Scarce()
            newcomer = await port.client()
            answer = await newcomer.answer()
            assert (answer.status, answer.error["code"]) == (503, "too_many_connections")
            assert await newcomer.rest() == b""
            assert (await here.ask(post(b"2"))).body == b"2"
            port.gateway._context.descriptors = Descriptors()
            assert (await port.one(post(b"3"))).body == b"3"
            assert port.gateway.refused == {"too_many_connections": 2}

    run(scene)


def test_how_near_the_limit_is_told_by_the_number_of_a_descriptor():
    """A quarter of the descriptors, at most 128, is kept: half of it to tell newcomers, half for nobody."""
    descriptors = Descriptors(limit=64)
    assert [descriptors.room_after(number) for number in (47, 48, 55, 56, 63)] == [
        Room.PLENTY, Room.SCARCE, Room.SCARCE, Room.NONE, Room.NONE,
    ]  # fmt: skip
    assert Descriptors(limit=20_000).room_after(19_871) is Room.PLENTY
    assert Descriptors(limit=resource.RLIM_INFINITY).room_after(1 << 20) is Room.PLENTY


# ---- slow senders and slow readers


def test_hundreds_of_slow_senders_are_ended_at_their_deadline_and_others_are_served_meanwhile():
    """A byte now and then does not move the deadline of headers, nor enough that of bodies: each gets its 408."""

    async def scene():
        async with Port() as port:
            heads, bodies = [await port.client() for _ in range(100)], [await port.client() for _ in range(100)]
            for client in heads:
                await client.send(b"POST /functions/echo HTTP/1.1\r\nHost: t\r\nX: ")
            for client in bodies:
                await client.send(b"POST /functions/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n")
            for second in range(29):
                for client in (*heads, *bodies) if second < 9 else bodies:
                    await client.send(b"x")
                assert (await port.one(post(b"%d" % second))).body == b"%d" % second
                port.pass_time(1.0)
                if second == 8:
                    assert not any(client.reader.at_eof() for client in (*heads, *bodies))
                if second == 9:
                    for client in heads:
                        assert (await client.answer()).status == 408
            port.pass_time(2.0)
            for client in bodies:
                assert (await client.answer()).status == 408
            assert port.gateway.held_bytes == 0
            assert port.gateway.refused["too_slow"] == 200

    run(scene)


def test_slow_headers_take_no_time_from_the_body():
    """Each part has its own: the body's deadline counts from the end of the headers."""

    async def scene():
        async with Port() as port:
            slow = await port.client()
            await slow.send(b"POST /functions/echo HTTP/1.1\r\nHost: t\r\n")
            assert (await port.one(post(b"1"))).status == 200  # the half of a head has been read
            port.pass_time(8.0)
            await slow.send(b"Content-Length: 1000\r\n\r\nx")
            assert (await port.one(post(b"2"))).status == 200
            port.pass_time(29.0)
            assert port.gateway.refused.get("too_slow", 0) == 0
            port.pass_time(2.0)
            assert (await slow.answer()).status == 408

    run(scene)


LARGE = 8 * KIB * KIB


async def slow_reader(port, *lines):
    """A client that has asked for a large answer, more than the kernel takes, and reads nothing by itself."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, (port.host, port.port))
    await loop.sock_sendall(plain, post(b"[]", *lines))
    port.service.is_holding = True
    await port.service.until(lambda: port.service.submitted)
    port.service.is_holding = False
    port.service.answer(1, b"x" * LARGE)
    await turned(port)
    return plain


@pytest.mark.parametrize("lines", [(), (b"Connection: close",)])
@pytest.mark.parametrize("reads", [False, True])
def test_a_reader_is_waited_for_as_long_as_it_reads(lines, reads):
    """A large answer to a slow client: cut off after the stall deadline if it takes nothing, never while it does."""

    async def scene():
        async with Port(receipt_body_bytes_per_s=64 * KIB) as port:
            port.service.is_holding = True
            plain = await slow_reader(port, *lines)
            loop, received = asyncio.get_running_loop(), 0
            with plain:
                for _ in range(40):
                    if reads:
                        wanted = min(received + 512 * KIB, LARGE)  # in 5 s: faster than 64 KiB/s
                        while received < wanted:
                            data = await loop.sock_recv(plain, 256 * KIB)
                            assert data
                            received += len(data)
                    await turned(port)
                    port.pass_time(5.0)
                if reads:
                    assert received >= LARGE
                else:
                    await port.until_connections(0)
            await port.until_connections(0)

    run(scene)


def test_a_client_that_does_not_read_cannot_make_the_server_hold_more_than_its_pipeline():
    """Its further requests are not even read while its answers pile up; others are served."""

    async def scene():
        async with Port(pipelined=4) as port:
            port.service.is_holding = True
            client = await port.client()
            client.writer.transport.pause_reading()
            await client.send(post(b"1") + post(b"2") + post(b"3"))
            await port.service.until(lambda: len(port.service.submitted) == 3)
            for number in (1, 2, 3):
                port.service.answer(number, b"x" * LARGE)
            sending = asyncio.create_task(client.send(b"".join([post(b"y" * KIB)] * 20_000)))
            for _ in range(20):
                await turned(port)
            assert len(port.service.submitted) == 3
            port.pass_time(31.0)
            await port.until_connections(0)
            await client.close()
            await sending

    run(scene)


# ---- the end


def test_requests_without_an_answer_at_the_end_are_told_and_cancelled():
    """Waiting, pipelined behind it, and half received: each gets 503 `shutting_down` and the end, not a reset."""

    async def scene():
        async with Port() as port:
            port.service.is_holding = True
            waiting, partial, begun = [await port.client() for _ in range(3)]
            await waiting.send(post(b"1") + post(b"2", b"X-Request-ID: second"))
            await partial.send(post(b"abc")[:-1])
            await begun.send(b"POST /functions/echo HT")
            await port.service.until(lambda: len(port.service.submitted) == 2)
            await turned(port)
            closing = asyncio.create_task(port.gateway.close())
            answers = [await waiting.answer() for _ in range(2)]
            answers += [await partial.answer(), await begun.answer()]
            assert [(answer.status, answer.error["code"]) for answer in answers] == [(503, "shutting_down")] * 4
            assert answers[1].headers[b"x-request-id"] == b"second"
            assert [answer.headers.get(b"connection") for answer in answers] == [None, b"close", b"close", b"close"]
            for client in (waiting, partial, begun):
                assert await client.rest() == b""
            await closing
            assert port.service.cancelled == [1, 2]
            assert port.gateway.connections == port.gateway.held_bytes == 0

    run(scene)

"""The admin port against clients that never finish, over real sockets."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from contextlib import ExitStack, suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import uvloop

from sojourn.control.connection import ConnectionBounds
from sojourn.errors import ConfigurationError
from sojourn.telemetry.log import EventLog

_SPEC = spec_from_file_location("overview", Path(__file__).with_name("overview.py"))
_MODULE = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
admin_server = _MODULE.admin_server

UNFINISHED = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-More: "


def with_server(question, **bounds):
    """What `question(port)` returns, asked in a thread while an admin port with these bounds serves."""

    async def main():
        server = admin_server(bounds=ConnectionBounds(**bounds))
        _, port = await server.start("127.0.0.1", 0)
        try:
            return await asyncio.to_thread(question, port)
        finally:
            await server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def connect(port):
    """A client connection that gives up rather than hang the test."""
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def exchange(port, sent):
    """Everything the server says to these bytes until it closes, or answers once and keeps the connection."""
    with connect(port) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


def status_of(port, path="/metrics"):
    """The status of an ordinary request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def answer_of(client):
    """One answer on a connection that stays open: status and body."""
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, response.read()


def head_of(size):
    """A complete request whose head has exactly this many bytes."""
    start = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Fill: "
    return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"


def test_hundreds_of_unfinished_heads_keep_nobody_out():
    """Each newcomer takes the place of the one that has waited longest, so a scraper is always served."""

    def question(port):
        with ExitStack() as open_ones:
            clients = []
            for _ in range(220):
                client = open_ones.enter_context(connect(port))
                client.sendall(UNFINISHED)
                clients.append(client)
            assert status_of(port) == 200
            return clients[0].recv(1)  # reset or closed: its place was given away

    with suppress(ConnectionResetError):
        assert with_server(question, request_s=60) == b""


def test_an_unfinished_head_is_cut_off_in_time():
    """A client that stops in the middle of a head is told 408 and let go."""

    def question(port):
        with connect(port) as client:
            client.sendall(UNFINISHED)
            return client.makefile("rb").read()

    said = with_server(question, request_s=0.2)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["code"] == "too_slow"


def test_dripping_does_not_buy_more_time():
    """The time counts from the first instant, not from the last byte; a second request has its own."""

    def question(port):
        with connect(port) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            first = answer_of(client)[0]
            client.sendall(UNFINISHED)
            client.settimeout(0.02)
            drops = 0
            while True:  # ends with the server's answer
                try:
                    return first, client.recv(100), drops
                except TimeoutError:
                    client.sendall(b"x")
                    drops += 1
                    assert drops < 1000

    first, said, drops = with_server(question, request_s=0.3)
    assert first == 200
    assert said.startswith(b"HTTP/1.1 408 ")
    assert drops > 1


@pytest.mark.parametrize("piece", [1000, 100_000])
def test_an_endless_header_is_refused(piece):
    """The head is refused at its bound, whatever the size of the pieces it comes in."""

    def question(port):
        with connect(port) as client:
            client.sendall(UNFINISHED)
            try:
                for _ in range(2_000_000 // piece):
                    client.sendall(b"x" * piece)
            except OSError:
                return b"", "cut"
            return client.makefile("rb").read(), "told"

    try:
        said, how = with_server(question, request_s=60)
    except ConnectionResetError:
        said, how = b"", "cut"
    assert how == "cut" or said.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(("size", "status"), [(16 * 1024, b"200"), (16 * 1024 + 1, b"431")])
def test_the_bound_of_a_head_is_exact(size, status):
    """16 KiB are served; one byte more is refused with a reason."""

    def question(port):
        with connect(port) as client:
            client.sendall(head_of(size))
            return answer_of(client)

    got, body = with_server(question)
    assert str(got).encode() == status
    if status == b"431":
        assert json.loads(body)["code"] == "headers_too_large"


def test_many_requests_on_one_connection_are_not_counted_together():
    """The bound is of one head, not of a connection's life."""

    def question(port):
        with connect(port) as client:
            statuses = []
            for _ in range(5):
                client.sendall(head_of(10_000))
                statuses.append(answer_of(client)[0])
            client.sendall(head_of(500) * 3)  # pipelined
            whole = client.makefile("rb")
            return statuses, [whole.readline() for _ in range(1)]

    statuses, (pipelined,) = with_server(question)
    assert statuses == [200] * 5
    assert pipelined.startswith(b"HTTP/1.1 200")


def test_two_host_headers_are_refused():
    """Whom the request is for must not depend on who reads it."""
    sent = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    said = with_server(lambda port: exchange(port, sent))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"2 Host headers" in said


SCALE = b"PUT /api/v1/functions/digits/scale HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = SCALE + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        SCALE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        SCALE + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
        SCALE + b"Content-Length: +2\r\n\r\n{}",
        SCALE + b"Content-Length : 2\r\n\r\n{}",
        SCALE + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        SCALE + b"X-Fold: a\r\n b\r\n\r\n",
        SCALE + b"X-Nul: a\x00b\r\n\r\n",
        SCALE.replace(b"\r\n", b"\n") + b"\n",
        SCALE.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"1;" + b"x" * 40_000,
        CHUNKED + b"0\r\n" + b"X-Trailer: y\r\n" * 3_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_could_be_understood_in_two_ways_is_refused_in_the_shape_of_all_errors(sent, caplog):
    """One answer, then the end: nothing behind it is taken for a request; and no client fills the log."""

    def question(port):
        with connect(port) as client:
            client.sendall(sent + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = answer_of(client)
            with suppress(ConnectionResetError):
                assert client.recv(100) == b""
            return answer

    status, body = with_server(question)
    assert (status, json.loads(body)["code"]) == (400, "malformed_http")
    assert caplog.records == []


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2"])
def test_other_versions_of_http_are_refused(version):
    """With the one that is spoken."""
    said = with_server(lambda port: exchange(port, b"GET /healthz %b\r\nHost: localhost\r\n\r\n" % version))
    assert said.startswith((b"HTTP/1.1 505 ", b"HTTP/1.1 400 "))
    assert json.loads(said.partition(b"\r\n\r\n")[2])["code"] in {"http_version_not_supported", "malformed_http"}


@pytest.mark.parametrize("piece", [b"X-Trailer: y\r\n" * 5_000, b"X-" + b"y" * 65_536])
def test_trailers_without_end_are_cut_off_and_kept_nowhere(piece):
    """Also behind a request that was answered: whoever has no key could fill the memory with them."""

    def question(port):
        with connect(port) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
            sent = 0
            with suppress(OSError):
                while sent < 10_000_000:
                    sent += client.send(piece)
            return sent

    assert with_server(question, request_s=60) < 10_000_000


def test_chunks_of_any_size_and_a_few_trailers_are_fine():
    """A byte at a time, as some clients send."""
    body = b'{"max_replicas": 3}'
    chunks = b"".join(b"1;ext=1\r\n%c\r\n" % byte for byte in body) + b"0\r\nX-Trailer: y\r\nHost: evil\r\n\r\n"

    def question(port):
        with connect(port) as client:
            client.sendall(CHUNKED + chunks)
            return answer_of(client)

    status, told = with_server(question)
    assert (status, json.loads(told)["limits"]["max_replicas"]) == (200, 3)


def test_a_client_that_leaves_before_its_request_is_whole_is_no_failure(tmp_path):
    """Nothing in the log: it would be the client who writes it."""

    def question(port):
        for _ in range(3):
            with connect(port) as client:
                client.sendall(SCALE + b"Content-Length: 100\r\n\r\n{")
        return status_of(port, "/healthz")

    async def main(log):
        server = admin_server(log=EventLog(log.fileno()))
        _, port = await server.start("127.0.0.1", 0)
        try:
            return await asyncio.to_thread(question, port)
        finally:
            await server.close()

    with (tmp_path / "log").open("w") as log, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main(log)) == 200
    assert (tmp_path / "log").read_text() == ""


def test_a_body_that_never_ends_is_cut_off():
    """The answer comes at once; the rest of the body is not waited for."""

    def question(port):
        with connect(port) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx")
            said = b""
            try:
                while more := client.recv(65_536):
                    said += more
            except ConnectionResetError:
                pass
            return said

    said = with_server(question, request_s=0.2)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"408" not in said


def test_when_all_are_being_answered_a_newcomer_is_turned_away():
    """A request that is served is not dropped for one that only connects."""
    from sojourn.control.connection import Crowd  # noqa: PLC0415 (the one test that looks inside)

    class Place:
        """Stands for a connection."""

        def __init__(self):
            self.is_ended = False

        def end(self):
            self.is_ended = True

    crowd = Crowd(ConnectionBounds(connections=2))
    first, second, third = Place(), Place(), Place()
    assert crowd.admit(first)
    assert crowd.admit(second)
    crowd.answers(first)
    crowd.answers(second)
    assert not crowd.admit(third)
    crowd.waits(second)
    assert crowd.admit(third)
    assert (first.is_ended, second.is_ended) == (False, True)


@pytest.mark.parametrize("bounds", [{"connections": 0}, {"head_bytes": 1}, {"request_s": 0.0}, {"answer_s": -1.0}])
def test_bounds_out_of_range_are_refused(bounds):
    """A port nobody can use is a fault of whoever set it."""
    with pytest.raises(ConfigurationError):
        ConnectionBounds(**bounds)

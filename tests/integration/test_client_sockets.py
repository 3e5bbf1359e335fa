"""Both clients against servers that refuse, break off, talk nonsense or say nothing."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import pytest

import sojourn
from sojourn import errors

sys.path.insert(0, str(Path(__file__).parent))
from scripted_http import Clock, EitherClient, ScriptedServer, answer, answering, header_of, one_after_the_other

PATIENCE_S = 30.0


def refusal(status: int, code: str, **headers: str):
    body = json.dumps({"error": "come back", "code": code, "request_id": "r"}).encode()
    return answering(status, body, **headers)


def closing(link: socket.socket, request: bytes) -> bool:
    """Hang up without a word."""
    return False


@pytest.fixture(params=["blocking", "async"])
def kind(request) -> str:
    return request.param


def test_a_refusal_is_tried_again_as_its_server_asks(kind):
    """After Retry-After and a drawn wait; with the same id, and with the time that is left then."""
    clock = Clock()
    handler = one_after_the_other(refusal(429, "overloaded", retry_after="2"), answering(200))
    given = {"clock": clock, "rng": Random(1)}
    with ScriptedServer(handler) as server, EitherClient(kind, server.url, **given) as client:
        reply = client("invoke_detailed", "f", [1], timeout_s=10, request_id="mine")
        assert (reply.result, reply.attempts) == (1, 2)
        assert 2 <= clock.slept_s[0] <= 2.1
        left = [float(header_of(request, "x-request-timeout-seconds")) for request in server.requests]
        assert left == pytest.approx([10.0, 10.0 - clock.slept_s[0]], abs=1e-5)
        assert [header_of(request, "x-request-id") for request in server.requests] == ["mine", "mine"]
        assert server.connections == 1


def test_a_retry_that_would_come_too_late_is_not_waited_for(kind):
    """The refusal is there at once, with all the server said, and nobody slept."""
    clock = Clock()
    handler = refusal(503, "unavailable", retry_after="60")
    with ScriptedServer(handler) as server, EitherClient(kind, server.url, clock=clock) as client:
        with pytest.raises(errors.UnavailableError, match="come back") as raised:
            client("invoke", "f", 1, timeout_s=10)
        assert clock.slept_s == []
        assert (raised.value.retry_after_s, raised.value.code, raised.value.attempts) == (60, "unavailable", 1)
        assert "after its time" in raised.value.__notes__[0]


def test_an_overloaded_server_gets_a_tenth_more_requests_and_not_five_times_as_many(kind):
    """Two hundred calls that are all refused are sent at most 200 + 10 + a tenth of 200 times."""
    clock = Clock()
    with ScriptedServer(refusal(429, "overloaded")) as server, EitherClient(kind, server.url, clock=clock) as client:
        for _ in range(200):
            with pytest.raises(errors.OverloadedError):
                client("invoke", "f", 1)
        assert 205 < len(server.requests) <= 200 + 10 + 20
        assert client.client.retries_left < 1


def test_a_server_that_is_not_there_is_waited_for(kind):
    """Refused connections are tried again; when it is back, the call succeeds. It says how to start one otherwise."""
    with ScriptedServer(closing) as gone:
        port = gone.port
    servers = []

    class Starting(Clock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.slept_s) == 2:
                servers.append(ScriptedServer(answering(200), port=port).__enter__())

    with EitherClient(kind, f"http://127.0.0.1:{port}", clock=Starting()) as client:
        try:
            assert client("invoke_detailed", "f", 1).attempts == 3
        finally:
            for server in servers:
                server.__exit__()
    with EitherClient(kind, f"http://127.0.0.1:{port}", clock=Clock()) as client:
        with pytest.raises(errors.ConnectionFailedError, match="sojourn serve") as raised:
            client("invoke", "f", 1)
        assert raised.value.attempts == 5
        assert type(raised.value) is errors.ConnectionFailedError


def test_what_may_have_run_is_not_sent_again_and_what_only_reads_is(kind):
    """A connection that breaks before the answer: an item is sent once, a question twice."""
    with ScriptedServer(closing) as server, EitherClient(kind, server.url, clock=Clock()) as client:
        with pytest.raises(errors.ConnectionLostError, match="it may have run"):
            client("invoke", "f", 1)
        assert len(server.requests) == 1
    handler = one_after_the_other(closing, answering(200, b'{"functions": [{"name": "a"}]}'))
    with ScriptedServer(handler) as server, EitherClient(kind, server.url, clock=Clock()) as client:
        assert client("functions") == [{"name": "a"}]
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\n\r\n<h1>nginx</h1>", "UnusableAnswerError", "nginx"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://x\r\ncontent-length: 0\r\n\r\n", "UnusableAnswerError", "302"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "UnusableAnswerError", "right port"),
        (b"\x00\x01\x02" * 40_000, "UnusableAnswerError", "HTTP"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\ncontent-type: application/json\r\n\r\n{",
            "ConnectionLostError",
            "broke",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "ConnectionLostError", "broke"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-type: text/html\r\n\r\n<h1>",
            "UnusableAnswerError",
            "text/html",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-type: application/json\r\n\r\n{",
            "UnusableAnswerError",
            "result",
        ),
    ],
)
def test_answers_of_something_else_are_told_as_what_they_are(kind, said, error, words):
    """A proxy's page, another protocol, cut-off heads and bodies: one clear error each, and no second attempt."""

    def handle(link: socket.socket, request: bytes) -> bool:
        link.sendall(said)
        return False

    with ScriptedServer(handle) as server, EitherClient(kind, server.url, clock=Clock()) as client:
        with pytest.raises(errors.ClientError, match=words) as raised:
            client("invoke", "f", 1, request_id="mine")
        assert type(raised.value).__name__ == error
        assert raised.value.request_id == "mine"
        assert len(server.requests) == 1


def test_a_server_that_says_nothing_or_drips_ends_with_the_budget_of_the_call(kind):
    """Neither silence nor a byte now and then holds a call past its time; its connection is closed."""

    def silent(link: socket.socket, request: bytes) -> bool:
        server.ending.wait(PATIENCE_S)
        return False

    def dripping(link: socket.socket, request: bytes) -> bool:
        link.sendall(b"HTTP/1.1 200 OK\r\n")
        while not server.ending.wait(0.01):
            link.sendall(b"x: y\r\n")
        return False

    for handle in (silent, dripping):
        with ScriptedServer(handle) as server, EitherClient(kind, server.url) as client:
            with pytest.raises(errors.ExpiredError, match="no answer came"):
                client("invoke", "f", 1, timeout_s=0.2)
            assert server.connections == 1


def test_a_refusal_that_comes_before_the_body_is_sent_is_read(kind):
    """A server that says 413 and reads no further does not leave its client writing."""

    def handle(link: socket.socket, request: bytes) -> bool:
        body = b'{"error": "too large", "code": "body_too_large", "request_id": "r"}'
        link.sendall(answer(413, body, connection="close"))
        server.ending.wait(4 * PATIENCE_S)  # longer than its client is patient
        return False

    with ScriptedServer(handle) as server:
        with (
            EitherClient(kind, server.url, timeout_s=PATIENCE_S) as client,
            pytest.raises(errors.MalformedError, match="too large"),
        ):
            client("invoke", "f", b"x" * 30_000_000, request_id="unread")
        server.ending.set()


def test_a_connection_is_used_again_until_the_server_ends_it(kind):
    """Ten calls, one connection; after the server hung up the next call makes another and does not fail."""
    with ScriptedServer(answering(200)) as server, EitherClient(kind, server.url) as client:
        for _ in range(10):
            assert client("invoke", "f", 1) == 1
        assert server.connections == 1
        server.hang_up()
        assert server.hung_up.acquire(timeout=PATIENCE_S)
        assert client("invoke", "f", 1) == 1
        assert server.connections == 2


def test_calls_wait_for_a_free_connection_within_their_time(kind):
    """With one connection, a second call while it is in use ends with the name of the setting."""
    release = threading.Event()

    def holding(link: socket.socket, request: bytes) -> bool:
        release.wait(PATIENCE_S)
        link.sendall(answer(200))
        return True

    async def two(client) -> object:
        first = asyncio.create_task(client.invoke("f", 1))
        await asyncio.sleep(0)
        with pytest.raises(errors.ExpiredError, match="connections"):
            await client.invoke("f", 2, timeout_s=0.05)
        release.set()
        return await first

    with ScriptedServer(holding) as server:
        if kind == "async":

            async def main() -> object:
                async with sojourn.AsyncClient(server.url, connections=1) as client:
                    return await two(client)

            assert asyncio.run(main()) == 1
        else:
            with sojourn.Client(server.url, connections=1) as client:
                thread = threading.Thread(target=client.invoke, args=("f", 1))
                thread.start()
                while not server.requests:
                    release.wait(0.01)
                with pytest.raises(errors.ExpiredError, match="connections"):
                    client.invoke("f", 2, timeout_s=0.05)
                release.set()
                thread.join(PATIENCE_S)
        assert len(server.requests) == 1


def test_a_cancelled_call_closes_its_connection():
    """The server sees its client go; the other call of the same client is not touched."""
    arrived = threading.Semaphore(0)

    def handle(link: socket.socket, request: bytes) -> bool:
        if request.endswith(b"2"):
            link.sendall(answer(200))
            return True
        arrived.release()
        assert link.recv(1) == b""
        return False

    async def main(url: str) -> None:
        async with sojourn.AsyncClient(url) as client:
            call = asyncio.create_task(client.invoke("f", 1))
            await asyncio.to_thread(arrived.acquire, timeout=PATIENCE_S)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(server.hung_up.acquire, timeout=PATIENCE_S)
            assert await client.invoke("f", 2) == 1

    with ScriptedServer(handle) as server:
        asyncio.run(main(server.url))


def test_the_key_goes_along_with_everything(kind):
    """Calls of functions and of the admin port show it."""
    with ScriptedServer(answering(200, b'{"functions": []}')) as server:
        with EitherClient(kind, server.url, api_key="k1") as client:
            client("invoke", "f", 1)
            client("functions")
        assert [header_of(request, "authorization") for request in server.requests] == ["Bearer k1"] * 2


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_certificates_are_judged(kind, tmp_path):
    """One that is not known is refused with what to do; with its file as `verify`, the call succeeds."""
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with ScriptedServer(answering(200), tls) as server:
        once = sojourn.RetryPolicy(attempts_max=1)
        refused = pytest.raises(errors.ConnectionFailedError, match="verify=PATH")
        with EitherClient(kind, server.url, retry=once) as client, refused:
            client("invoke", "f", 1)
        with EitherClient(kind, server.url, verify=str(tmp_path / "cert.pem")) as client:
            assert client("invoke", "f", b"x" * 1_000_000) == 1
            assert client("invoke", "f", 1) == 1


def test_a_closed_client_says_so(kind):
    """Instead of opening connections nobody would close."""
    with EitherClient(kind, "http://127.0.0.1:9") as client:
        client("aclose" if kind == "async" else "close")
        with pytest.raises(errors.ConfigurationError, match="closed"):
            client("invoke", "f", 1)

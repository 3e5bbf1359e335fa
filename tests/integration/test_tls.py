"""Both ports over TLS, with real connections: what is announced, spoken, refused and renewed."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import socket
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from sojourn.access.certificate import Certificate
from sojourn.cli.examinations import examine
from sojourn.cli.main import run as main

sys.path.insert(0, str(Path(__file__).parent))
from http_port import Client, Port, post, run
from server import Server, refused_start, wait_until

TLS = Path(__file__).parents[1] / "tls"
SOURCE = """
import sojourn

@sojourn.function
def double(numbers: list[int]) -> list[int]:
    return [2 * number for number in numbers]
"""
PAIR = ("--tls-cert", str(TLS / "server.pem"), "--tls-key", str(TLS / "server.key"))


def trusting(name="server.pem"):
    """A client that trusts this certificate alone."""
    return ssl.create_default_context(cafile=TLS / name)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("tls"), SOURCE, *PAIR) as running:
        yield running


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs one command for a server, as a user who trusts the certificate or does not: its code, output and errors."""

    def ran(server, *arguments, trusts=True):
        with monkeypatch.context() as patch:
            patch.delenv("SOJOURN_API_KEY", raising=False)
            patch.setenv("SOJOURN_URL", server.inference.geturl())
            patch.setenv("SOJOURN_ADMIN_URL", server.admin.geturl())
            if trusts:
                patch.setenv("SSL_CERT_FILE", str(TLS / "server.pem"))
            code = main(arguments)
        return code, *capsys.readouterr()

    return ran


def test_both_ports_are_announced_and_answer_as_https(server):
    """To whoever trusts the certificate."""
    for where, path in ((server.inference, "/livez"), (server.admin, "/healthz")):
        assert where.scheme == "https"
        connection = http.client.HTTPSConnection(where.hostname, where.port, timeout=30, context=trusting())
        for _ in range(2):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
        assert connection.sock.version() in {"TLSv1.2", "TLSv1.3"}
        connection.close()


@pytest.mark.parametrize("port", ["inference", "admin"])
def test_plain_http_and_old_versions_are_cut_off(server, port):
    """Neither is answered in clear text; the port serves on."""
    where = getattr(server, port)
    with socket.create_connection((where.hostname, where.port), timeout=30) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP")
    old = trusting()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((where.hostname, where.port), timeout=30) as raw,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(raw, server_hostname="localhost")


def test_commands_speak_https_with_what_is_trusted(server, command):
    """Calls, reads and load; SSL_CERT_FILE names a certificate of one's own."""
    assert command(server, "invoke", "double", "21")[1] == "42\n"
    assert "double" in command(server, "list")[1]
    url = f"{server.inference.geturl()}/functions/double"
    load = command(server, "load", url, "--rate", "100", "--duration", "300ms", "--body", "1", "--json")
    result = json.loads(load[1])
    assert result["outcomes"]["served"] == result["sent"] > 0
    code, _, errors = command(server, "list", trusts=False)
    assert code == 1
    assert "is not trusted" in errors
    assert "SSL_CERT_FILE" in errors


def test_plain_http_where_tls_is_spoken_is_told(server, command, monkeypatch):
    """By calls, reads and load; nothing else is guessed."""
    for url in ("inference", "admin"):
        monkeypatch.setattr(server, url, getattr(server, url)._replace(scheme="http"))
    load = f"{server.inference.geturl()}/functions/double"
    for words in (
        ["invoke", "double", "21"],
        ["list"],
        ["load", load, "--rate", "50", "--duration", "100ms", "--body", "1"],
    ):
        code, _, errors = command(server, *words)
        assert code == 1
        assert "this port speaks TLS; write https:// instead of http://" in errors, words


def test_the_doctor_knows_a_server_that_speaks_tls(server):
    """Its ports are taken by what should be there, whatever its certificate."""
    ports = {"SOJOURN_PORT": str(server.inference.port), "SOJOURN_ADMIN_PORT": str(server.admin.port)}
    found = {finding.check: finding for finding in examine({"HOME": "/", **ports})}
    for check in ("inference port", "admin port"):
        assert (found[check].verdict, "running sojourn server" in found[check].found) == ("ok", True)


def test_https_where_plain_http_is_spoken_is_told(command):
    """With the way out, instead of a protocol's name for it."""

    async def scene():
        async with Port() as port:
            plain = SimpleNamespace(
                inference=urlsplit("http://localhost:1"), admin=urlsplit(f"https://localhost:{port.port}")
            )
            code, _, errors = await asyncio.to_thread(command, plain, "list")
            assert (code, "write http:// instead" in errors) == (1, True)
            load = ("load", f"https://localhost:{port.port}/functions/double", "--rate", "5", "--body", "1")
            code, _, errors = await asyncio.to_thread(command, plain, *load)
            assert (code, "write http:// instead" in errors) == (1, True)

    run(scene)


@pytest.mark.parametrize(
    ("cert", "key", "told"), [("expired.pem", "server.key", "expired"), ("other.pem", "server.key", "not the key of")]
)
def test_a_certificate_that_no_client_would_take_keeps_the_server_from_starting(tmp_path, cert, key, told):
    """Told before anything is served."""
    assert told in refused_start(tmp_path, SOURCE, "--tls-cert", str(TLS / cert), "--tls-key", str(TLS / key))


def test_a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on(tmp_path):
    """No restart, no signal, no request lost."""

    def put(name):
        for suffix in ("pem", "key"):
            shutil.copyfile(TLS / f"{name}.{suffix}", tmp_path / "new")
            (tmp_path / "new").replace(tmp_path / f"shown.{suffix}")

    async def scene():
        put("server")
        certificate = Certificate(tmp_path / "shown.pem", tmp_path / "shown.key")
        certificate.load()
        async with Port(tls=certificate.context) as port:

            async def client(name):
                ends = await asyncio.open_connection(
                    port.host, port.port, ssl=trusting(name), server_hostname="localhost"
                )
                port._clients.append(Client(*ends))
                return port._clients[-1]

            before = await client("server.pem")
            assert (await before.ask(post())).status == 200
            put("other")
            assert [certificate.renew() for _ in range(3)] == [False, True, False]
            after = await client("other.pem")
            assert (await after.ask(post())).status == 200
            assert (await before.ask(post(b"[2]"))).body == b"[2]"
            with pytest.raises(ssl.SSLCertVerificationError):
                await client("server.pem")

    run(scene)


@pytest.mark.parametrize("size", [1, 200_000, 5_000_000])
def test_bodies_of_any_size_come_back_whole(size):
    """Answers that do not fit the transport's buffer included; pipelined ones keep their order."""

    async def scene():
        certificate = Certificate(TLS / "server.pem", TLS / "server.key")
        certificate.load()
        async with Port(tls=certificate.context) as port:
            ends = await asyncio.open_connection(port.host, port.port, ssl=trusting(), server_hostname="localhost")
            client = Client(*ends)
            port._clients.append(client)
            bodies = [b"%d" % number * size for number in range(3)]
            sending = asyncio.create_task(client.send(b"".join(post(body) for body in bodies)))
            assert [(await client.answer()).body for _ in bodies] == bodies
            await sending

    run(scene)


def test_a_refused_body_is_answered_before_the_end_of_a_connection():
    """TLS cannot be closed by half; the client still reads why."""

    async def scene():
        certificate = Certificate(TLS / "server.pem", TLS / "server.key")
        certificate.load()
        async with Port(tls=certificate.context, body_bytes=1000, inflight_body_bytes=1000) as port:
            ends = await asyncio.open_connection(port.host, port.port, ssl=trusting(), server_hostname="localhost")
            client = Client(*ends)
            port._clients.append(client)
            answer = await client.ask(post(b"x" * 1001))
            assert (answer.status, answer.error["code"]) == (413, "body_too_large")

    run(scene)


def test_handshakes_past_the_bound_are_refused_and_shown_on_metrics(server):
    """Of each port by itself; whoever comes again is served."""
    told = {"inference": "too_many_handshakes", "admin": "admin_too_many_handshakes"}
    with ExitStack() as silent:
        for name, bound in (("inference", 256), ("admin", 64)):
            where = getattr(server, name)
            for _ in range(bound + 8):
                silent.enter_context(socket.create_connection((where.hostname, where.port), timeout=30))

        def metrics():
            connection = http.client.HTTPSConnection(
                server.admin.hostname, server.admin.port, timeout=30, context=trusting()
            )
            try:
                connection.request("GET", "/metrics")
                return connection.getresponse().read().decode()
            except OSError:  # all places are taken by those who have just come
                return ""
            finally:
                connection.close()

        def are_counted():
            page = metrics()
            return all(f'sojourn_gateway_refusals_total{{code="{code}"}}' in page for code in told.values())

        wait_until(are_counted, "refused handshakes of both ports on /metrics")

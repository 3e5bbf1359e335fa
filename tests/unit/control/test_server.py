"""The admin port over real HTTP: every route, every refusal, start and close."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import uvloop
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from sojourn.errors import StartError
from sojourn.telemetry.log import EventLog

_SPEC = spec_from_file_location("overview", Path(__file__).with_name("overview.py"))
_MODULE = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
SmallOverview, admin_server = _MODULE.SmallOverview, _MODULE.admin_server


class Failing(SmallOverview):
    """An overview with a fault of its own."""

    def functions(self):
        raise RuntimeError("the view is broken")


def ask(port, path, method="GET", headers=None):
    """One real request; returns status, headers by lower-case name, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def served(*questions, overview=None, log=None, **options):
    """Answers of a real server on a uvloop to questions: tuples of arguments of `ask` after the port."""

    async def main():
        server = admin_server(overview, log, **options)
        host, port = await server.start("127.0.0.1", 0)
        assert host == "127.0.0.1"
        try:
            return [await asyncio.to_thread(ask, port, *question) for question in questions]
        finally:
            await server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def test_health():
    """The cheapest question: does the loop turn."""
    ((status, headers, body),) = served(("/healthz",))
    assert status == 200
    assert json.loads(body)["status"] == "ok"
    assert headers["content-type"] == "application/json"


def test_functions_are_listed_with_what_was_measured():
    """A row says who serves, how many wait and how the objective stands."""
    ((status, _, body),) = served(("/api/v1/functions",))
    digits, sums = json.loads(body)["functions"]
    assert status == 200
    assert (digits["name"], digits["revision"], digits["slo"]) == ("digits", "r1", "99% < 100ms")
    assert digits["replicas"] == {"ready": 1}
    assert digits["queue_depth"] == 3
    assert digits["requests"] == {"served": 4, "failed": 0, "shed": 0, "expired": 0, "cancelled": 0}
    assert digits["within_slo"] == 1.0
    assert digits["recent"]["arrival_rate_per_s"] == 0.4
    assert digits["recent"]["latency_s"]["p99"] == pytest.approx(0.05, rel=0.011)
    assert sums["within_slo"] is None


def test_one_function_in_full():
    """Settings, schemas, output and the last start failure come with the row."""
    ((status, _, body),) = served(("/api/v1/functions/digits",))
    detail = json.loads(body)
    assert status == 200
    assert detail["input_schema"] == {"type": "array"}
    assert detail["output_schema"] == {"type": "integer"}
    assert detail["settings"]["cpus"] == 1.0
    assert detail["output"] == ["loading <model>", "ready"]
    assert detail["start_failure"] == "no such file: model.bin"
    assert [(one["replica_id"], one["memory_bytes"]) for one in detail["replica_details"]] == [(1, 2**26)]


def test_output_lines():
    """As many lines as were asked for, oldest first."""
    answers = served(("/api/v1/functions/digits/logs",), ("/api/v1/functions/digits/logs?lines=1",))
    assert [json.loads(body)["lines"] for _, _, body in answers] == [["loading <model>", "ready"], ["ready"]]


@pytest.mark.parametrize("lines", ["0", "-1", "10001", "many", "", "9" * 5000, "%D9%A3"])
def test_a_number_of_lines_that_is_none_is_refused(lines):
    """The answer names the range; nothing else happens."""
    ((status, _, body),) = served((f"/api/v1/functions/digits/logs?lines={lines}",))
    assert status == 400
    assert json.loads(body)["error"].startswith("lines must be a whole number in [1, 10000]")


@pytest.mark.parametrize(
    ("accept", "read"), [("text/plain", read_text), ("application/openmetrics-text; version=1.0.0", read_openmetrics)]
)
def test_metrics_in_the_format_the_scraper_asks_for(accept, read):
    """Both formats are read back by the official parser, our families and the process's own."""
    ((status, headers, body),) = served(("/metrics", "GET", {"accept": accept}))
    assert status == 200
    assert headers["content-type"].startswith(accept.partition(";")[0])
    families = {family.name: family for family in read(body.decode())}
    served_count = [
        sample.value
        for sample in families["sojourn_requests"].samples
        if sample.labels == {"function": "digits", "revision": "r1", "outcome": "served"}
    ]
    assert served_count == [4]
    assert "process_resident_memory_bytes" in families


def test_index_links_to_what_is_served_and_carries_no_script():
    """The page for people is plain and leads on."""
    ((status, headers, body),) = served(("/",))
    page = body.decode()
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    for link in ("/metrics", "/api/v1/events", "/healthz", "/api/v1/functions/digits", "/api/v1/functions/sums/logs"):
        assert f'href="{link}"' in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/api/v1/functions/nobody", "GET", 404, "unknown_function"),
        ("/api/v1/functions/nobody/logs", "GET", 404, "unknown_function"),
        ("/api/v1/functions/" + "x" * 3000, "GET", 404, "unknown_function"),
        ("/api/v2", "GET", 404, "not_found"),
        ("/api/v1/functions/", "GET", 404, "not_found"),
        ("/api/v1/functions", "POST", 405, "method_not_allowed"),
        ("/metrics", "DELETE", 405, "method_not_allowed"),
        ("/", "PUT", 405, "method_not_allowed"),
    ],
)
def test_errors_have_the_shape_of_the_inference_port(path, method, status, code):
    """What, a stable code, and the request's id, which the header repeats; never longer than a page."""
    ((got, headers, body),) = served((path, method))
    error = json.loads(body)
    assert (got, error["code"]) == (status, code)
    assert set(error) == {"error", "code", "request_id"}
    assert error["request_id"] == headers["x-request-id"]
    assert len(body) < 1000
    if status == 405:
        assert "GET" in headers["allow"]


def test_unknown_function_names_the_known_ones():
    """The way out stands in the answer."""
    ((_, _, body),) = served(("/api/v1/functions/digit",))
    assert "digits, sums" in json.loads(body)["error"]


def test_a_harmless_request_id_is_kept_and_others_are_replaced():
    """The caller's id joins its logs with ours; one that could forge a header or a line does not."""
    answers = served(
        ("/healthz", "GET", {"x-request-id": "trace-1"}),
        ("/healthz", "GET", {"x-request-id": "a b"}),
        ("/healthz", "GET", {"x-request-id": "x" * 200}),
        ("/healthz",),
    )
    kept, *others = [headers["x-request-id"] for _, headers, _ in answers]
    assert kept == "trace-1"
    assert len(set(others)) == 3
    assert all(len(one) == 16 for one in others)


@pytest.mark.parametrize("path", ["/healthz", "/", "/nowhere"])
def test_safe_headers_on_every_answer(path):
    """No caching, no sniffing, no framing, whatever the status."""
    ((_, headers, _),) = served((path,))
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_a_foreign_host_is_refused_and_an_allowed_one_is_served():
    """A rebound name reads nothing; a name the operator allowed does."""
    foreign = ("/api/v1/functions", "GET", {"host": "evil.example:80"})
    ((status, _, body),) = served(foreign)
    assert (status, json.loads(body)["code"]) == (421, "host_not_allowed")
    assert b"digits" not in body
    assert served(foreign, allowed_hosts=["evil.example"])[0][0] == 200
    assert served(("/healthz", "GET", {"host": "localhost"}))[0][0] == 200


def test_a_fault_of_ours_is_a_500_with_an_id_and_a_log_line():
    """The client learns no internals, the log has the cause under the same id, and the next question is answered."""
    reading, writing = os.pipe()
    answers = served(
        ("/api/v1/functions", "GET", {"x-request-id": "mine"}),
        ("/healthz",),
        overview=Failing(),
        log=EventLog(writing, "json"),
    )
    os.close(writing)
    with os.fdopen(reading) as lines:
        event = json.loads(lines.readline())
    status, _, body = answers[0]
    assert (status, json.loads(body)["code"]) == (500, "internal_error")
    assert b"broken" not in body
    assert (event["event"], event["request_id"]) == ("admin.failed", "mine")
    assert "the view is broken" in event["error"]
    assert answers[1][0] == 200


def test_a_port_in_use_is_told_with_the_way_out():
    """Start fails before anything runs, and names the port and the flag."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def main():
            await admin_server().start("127.0.0.1", port)

        with pytest.raises(StartError, match=rf"127.0.0.1:{port} is in use.*--admin-port"):
            asyncio.run(main())


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_an_address_that_is_not_ours_is_told(host):
    """A name nobody resolves and an address of another machine both name the flag."""

    async def main():
        await admin_server().start(host, 0)

    with pytest.raises(StartError, match="--admin-host"):
        asyncio.run(main())


def test_signals_stay_with_the_server():
    """The web server inside must not take SIGTERM away from `sojourn serve`."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async def main():
        server = admin_server()
        await server.start("127.0.0.1", 0)
        during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        await server.close()
        return during

    # A loop run without asyncio.Runner, which has a SIGINT handler of its own.
    loop = uvloop.new_event_loop()
    try:
        assert loop.run_until_complete(main()) == before
    finally:
        loop.close()


def test_close_frees_the_port_and_ends_idle_connections():
    """A kept-alive connection does not hold the server up; closing twice does no harm."""

    async def main():
        server = admin_server()
        _, port = await server.start("127.0.0.1", 0)
        idle = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

        def use():
            idle.request("GET", "/healthz")
            idle.getresponse().read()

        await asyncio.to_thread(use)
        await server.close()
        await server.close()
        assert idle.sock.recv(1) == b""
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))

    asyncio.run(main())


def test_bytes_that_are_not_http_harm_nobody():
    """Rubbish is answered or cut off; the next client is served."""

    def rubbish(port):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
            connection.recv(4096)

    async def main():
        server = admin_server()
        _, port = await server.start("127.0.0.1", 0)
        await asyncio.to_thread(rubbish, port)
        status, _, _ = await asyncio.to_thread(ask, port, "/healthz")
        await server.close()
        return status

    assert asyncio.run(main()) == 200

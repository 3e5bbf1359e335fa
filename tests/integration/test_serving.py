"""The main job with real processes: right answers for everyone, whatever a few do wrong."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import PATIENCE_S, Answer, Server, children_of, is_alive, wait_until

APP = '''
"""Functions of all kinds, with handles for a test."""
import asyncio, os, sys, time
from typing import Annotated
import msgspec
import sojourn

class Pair(msgspec.Struct):
    a: int
    b: Annotated[int, msgspec.Meta(ge=0)]

@sojourn.function(slo="99% < 30s", max_batch_size=8)
class Add:
    def __call__(self, pairs: list[Pair]) -> list[int]:
        return [pair.a + pair.b for pair in pairs]

@sojourn.function(batchable=False, timeout_s=30)
def gate(path: str) -> str:
    """Announces itself by making `path`.in, and goes on when `path`.out exists."""
    open(path + ".in", "w").close()
    while not os.path.exists(path + ".out"):
        time.sleep(0.005)
    return "through"

@sojourn.function(max_batch_size=4)
def fragile(words: list[str]) -> list[str]:
    if "raise" in words:
        raise ValueError("secret detail")
    if "die" in words:
        os._exit(3)
    print("seen", *words)
    return [word.upper() for word in words]

@sojourn.function
async def wait_together(paths: list[str]) -> list[str]:
    return paths

@sojourn.function(batchable=False, concurrency=16)
async def meet(count: int) -> int:
    """Returns when `count` calls are inside at once."""
    global inside
    inside += 1
    while inside < count:
        await asyncio.sleep(0.002)
    return inside

inside = 0
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the tests that do not hurt it."""
    with Server(tmp_path_factory.mktemp("serving"), APP) as running:
        yield running


def test_an_item_gets_its_result(server):
    """The plain case: one item in, one result out, with the headers the contract names."""
    answer = server.call("add", {"a": 2, "b": 3}, x_request_id="mine-1")
    assert (answer.status, answer.body) == (200, 5)
    assert answer.headers["x-request-id"] == "mine-1"
    phases = dict(p.strip().split(";", 1) for p in answer.headers["server-timing"].split(","))
    assert list(phases) == ["queue", "dispatch", "decode", "service", "encode", "batch", "return"]
    assert phases["batch"] == 'desc="1"'
    assert all(float(value.removeprefix("dur=")) >= 0 for name, value in phases.items() if name != "batch")


def test_hundreds_of_clients_each_get_their_own_answer(server):
    """Concurrent requests are batched, and no answer goes to another's request."""

    def call(number: int) -> Answer:
        return server.call("add", {"a": number, "b": number})

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(call, range(600)))
    assert [(n, *answer) for n, answer in enumerate(answers) if answer.body != 2 * n] == []
    batches = server.function("add")["requests"]["served"]
    assert batches >= 600


def test_invalid_items_fail_alone_while_the_rest_of_the_traffic_is_served(server):
    """Wrong type, missing field, out of range and broken JSON, each among valid requests."""
    bad = [
        (b'{"a": 1, "b": "x"}', 422, "item_invalid", "$.b"),
        (b'{"a": 1}', 422, "item_invalid", "b"),
        (b'{"a": 1, "b": -1}', 422, "item_invalid", ">= 0"),
        (b'{"a": 1, ', 400, "malformed", ""),
        (b"", 400, "malformed", ""),
        (b"[1, 2", 400, "malformed", ""),
        (b'{"a": 1, "b": 2} tail', 400, "malformed", ""),
    ]

    def send(number: int):
        if number % 3:
            return number, server.call("add", {"a": number, "b": 1})
        return number, server.raw_call("POST", "/functions/add", bad[number // 3 % len(bad)][0])

    with ThreadPoolExecutor(16) as pool:
        for number, answer in pool.map(send, range(180)):
            if number % 3:
                assert (answer.status, answer.body) == (200, number + 1)
            else:
                _, status, code, words = bad[number // 3 % len(bad)]
                assert (answer.status, answer.body["code"]) == (status, code)
                assert words in answer.body["error"]
                assert answer.body["request_id"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("POST", "/functions/nobody", {}, 404, "not_found"),
        ("POST", "/elsewhere", {}, 404, None),
        ("GET", "/functions/add", {}, 405, None),
        ("POST", "/functions/add", {"content_type": "text/csv"}, 415, "unsupported_content_type"),
        ("POST", "/functions/add", {"x_request_timeout_seconds": "soon"}, 400, "bad_request"),
        ("POST", "/functions/add", {"x_priority": "urgent"}, 400, "bad_request"),
    ],
)
def test_requests_that_cannot_be_understood_are_told_why(server, method, path, headers, status, code):
    """Status, stable code and a sentence, for each fault of the caller."""
    answer = server.raw_call(method, path, b'{"a": 1, "b": 1}' if method == "POST" else None, **headers)
    assert answer.status == status
    assert set(answer.body) == {"error", "code", "request_id"}
    assert code is None or answer.body["code"] == code


def test_a_body_over_the_limit_is_refused_and_the_limit_named(tmp_path):
    """413 before the body is read, naming the setting; the next request is served."""
    with Server(tmp_path, APP, "--body-bytes", "1000") as server:
        answer = server.raw_call("POST", "/functions/add", b"x" * 1001)
        assert (answer.status, answer.body["code"]) == (413, "body_too_large")
        assert "body_bytes" in answer.body["error"]
        assert server.call("add", {"a": 1, "b": 1}).body == 2


def test_a_function_that_raises_is_told_without_its_secrets(server):
    """500 with the place of the fault; the text of the exception is in the function's own output."""
    answer = server.call("fragile", "raise")
    assert (answer.status, answer.body["code"]) == (500, "function_raised")
    assert "ValueError" in answer.body["error"]
    assert "app.py:" in answer.body["error"]
    assert "secret detail" not in answer.body["error"]
    assert str(server.directory) not in answer.body["error"]
    wait_until(lambda: any("secret detail" in line for line in server.function("fragile")["output"]), "the traceback")
    assert server.call("fragile", "fine").body == "FINE"


def test_what_a_function_prints_is_kept(server):
    """Standard output of a replica shows in the API and in the log."""
    server.call("fragile", "hello")
    wait_until(lambda: any("seen hello" in line for line in server.function("fragile")["output"]), "the output")
    server.wait_log("replica.output", function="fragile", stream="stdout", line="seen hello")


def test_an_async_function_runs_calls_together(server):
    """Sixteen calls that wait for each other all return: they were inside one replica at once."""
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: server.call("meet", 16), range(16)))
    assert all(answer.status == 200 for answer in answers)


def test_a_client_that_leaves_while_queued_never_runs(server, tmp_path):
    """The replica is held; a queued request whose client closes its connection is dropped, and counted."""
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    holder = threading.Thread(target=server.call, args=("gate", first))
    holder.start()
    wait_until(Path(first + ".in").exists, "the first call")
    body = json.dumps(second).encode()
    with socket.create_connection((server.inference.hostname, server.inference.port)) as client:
        client.sendall(
            b"POST /functions/gate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        wait_until(lambda: server.function("gate")["queue_depth"] == 1, "the request to be queued")
    wait_until(lambda: server.function("gate")["requests"]["cancelled"] == 1, "the cancellation")
    Path(first + ".out").touch()
    holder.join(PATIENCE_S)
    Path(second + ".out").touch()
    third = str(tmp_path / "third")
    Path(third + ".out").touch()
    assert server.call("gate", third).body == "through"
    assert not Path(second + ".in").exists()


def test_a_request_that_takes_too_long_gets_504_at_its_own_limit(server, tmp_path):
    """The client's own timeout holds although its call has begun; the late answer reaches nobody."""
    path = str(tmp_path / "slow")
    answer = server.call("gate", path, x_request_timeout_seconds="0.2")
    assert (answer.status, answer.body["code"]) == (504, "timeout")
    assert "x-request-timeout-seconds" in answer.body["error"]
    Path(path + ".out").touch()


def test_metrics_and_api_agree_with_what_happened(server):
    """The exposition counts each request once, by outcome; the API shows schema and settings."""
    before = server.function("add")["requests"]
    for number in range(7):
        server.call("add", {"a": number, "b": 0})
    server.raw_call("POST", "/functions/add", b"{")
    after = server.function("add")
    assert after["requests"]["served"] == before["served"] + 7
    assert after["requests"]["failed"] == before["failed"] + 1
    assert after["slo"] == "99% < 30s"
    assert "b" in json.dumps(after["input_schema"])
    assert after["output_schema"]["type"] == "integer"
    assert server.raw_call("GET", "/functions/add").status == 405
    assert server.raw_call("GET", "/functions/add").status == 405
    text = server.ask("/metrics").body.decode()
    assert 'sojourn_gateway_refusals_total{code="method_not_allowed"} ' in text
    assert f'sojourn_requests_total{{function="add",outcome="served",revision="{after["revision"]}"}} ' in text
    for name in ("request_duration_seconds", "queue_wait_seconds", "service_time_seconds", "batch_size", "replicas"):
        assert f"sojourn_{name}" in text
    names = {row["name"] for row in server.ask("/api/v1/functions").body["functions"]}
    assert names == {"add", "gate", "fragile", "wait-together", "meet"}


def test_a_killed_replica_is_replaced_and_its_request_answered(tmp_path):
    """SIGKILL in mid-call, synchronised by the call itself: the request runs again in the successor."""
    with Server(tmp_path, APP) as server:
        path = str(tmp_path / "held")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(server.call, "gate", path)
            wait_until(Path(path + ".in").exists, "the call to begin")
            pid = server.wait_log("replica.ready", function="gate")["pid"]
            Path(path + ".in").unlink()
            signal_process(pid, signal.SIGKILL)
            wait_until(Path(path + ".in").exists, "the call to begin again")
            Path(path + ".out").touch()
            assert answer.result(PATIENCE_S).body == "through"
        exited = server.wait_log("replica.exited", function="gate")
        assert "SIGKILL" in exited["cause"]
        assert not is_alive(pid)


def test_an_input_that_kills_replicas_is_quarantined_and_others_are_served(tmp_path):
    """Three replicas died with it: 422, and the same bytes kill no fourth; other calls go on."""
    with Server(tmp_path, APP) as server:
        answer = server.call("fragile", "die", x_request_timeout_seconds="50")
        assert (answer.status, answer.body["code"]) == (422, "poisoned")
        server.wait_log("replica.exited", 3, function="fragile", cause="exit status 3")
        again = server.call("fragile", "die")
        assert (again.status, again.body["code"]) == (422, "poisoned")
        assert server.call("add", {"a": 1, "b": 1}).body == 2
        assert server.call("fragile", "alive").body == "ALIVE"


def test_sigkill_of_the_server_leaves_no_replica(tmp_path):
    """Replicas end with their server, even in the middle of a call."""
    with Server(tmp_path, APP) as server:
        path = str(tmp_path / "held")
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(server.call, "gate", path)
            wait_until(Path(path + ".in").exists, "the call to begin")
            assert len(server.replica_pids()) == 5
            children = children_of(server.process.pid)
            server.process.kill()
            server.stopped_by_test = True
            server.process.wait()
            assert isinstance(call.exception(PATIENCE_S), OSError)
        wait_until(lambda: not any(is_alive(pid) for pid in children), "the replicas and their guard to end")


def refusal_of(server) -> str:
    """How a server that is ending turns a newcomer away: by its listener, or by a word if it was just let in."""
    try:
        answer = server.call("add", {"a": 1, "b": 1})
    except OSError:
        return "no connection"
    return answer.body["code"] if answer.status == 503 else f"answered: {answer}"


def test_sigterm_finishes_what_was_taken_in(tmp_path):
    """The drain waits for the running call, answers it, refuses newcomers, and exits 0."""
    with Server(tmp_path, APP) as server:
        path = str(tmp_path / "held")
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(server.call, "gate", path)
            wait_until(Path(path + ".in").exists, "the call to begin")
            server.process.send_signal(signal.SIGTERM)
            server.wait_log("server.draining")
            assert refusal_of(server) in {"no connection", "shutting_down"}
            Path(path + ".out").touch()
            assert call.result(PATIENCE_S).body == "through"
        assert server.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nowhere_to_be_found\n", ["nowhere_to_be_found", "app.py:1"]),
        ("x = 1\n", ["no function", "@sojourn.function"]),
        ("import sojourn\n@sojourn.function(slo='99% < 100')\ndef f(x: list[int]) -> list[int]: ...\n", ["^", "unit"]),
        (
            (
                "import sojourn\n@sojourn.function\nclass F:\n    def __init__(self):\n        raise OSError('no weights')\n"
                "    def __call__(self, x: list[int]) -> list[int]: ...\n"
            ),
            ["'f'", "OSError", "app.py:5"],
        ),
        ("def broken(:\n", ["SyntaxError", "app.py"]),
    ],
)
def test_an_app_that_cannot_be_served_ends_the_start_with_its_cause(tmp_path, source, words):
    """Exit 1 and a message that names the cause and the author's line; no traceback of ours."""
    (tmp_path / "app.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "sojourn.cli.main", "serve", "app.py", "--port", "0", "--admin-port", "0"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr
    assert "ready" not in done.stdout
    assert "src/sojourn/cli" not in done.stderr


def test_a_port_in_use_is_named(tmp_path):
    """Exit 1 at once with the port and what to do."""
    (tmp_path / "app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "sojourn.cli.main", "serve", "app.py", "--port", str(port), "--admin-port", "0"],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "--port" in done.stderr


def signal_process(pid: int, number: int) -> None:
    """Send a signal to one process of ours, by its pid."""
    import os  # noqa: PLC0415 - only here

    os.kill(pid, number)

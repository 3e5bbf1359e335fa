"""Replicas that die, hang, crawl or will not start, with real processes and kills synchronised by the calls themselves.

Rows of the fault matrix that are shown elsewhere: F5 and F7 in tests/unit/replica, F6 also in
tests/property/test_poison_properties.py, F10 in tests/unit/core/test_health.py, F13 and F15 in test_serving.py and
test_wire_*.py, F32 in tests/unit/wire and tests/unit/runtime.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import PATIENCE_S, Server, fetch, is_alive, wait_until

APP = '''
"""Does to itself what the item says."""
import ctypes, os, sys, time
import sojourn

HERE = os.path.dirname(os.path.abspath(__file__))

def at(name):
    return os.path.join(HERE, name)

def obey(item):
    what, _, argument = item.partition(":")
    if what == "hold":                     # announces itself, goes on when told
        open(at(argument + ".in"), "w").write(str(os.getpid()))
        while not os.path.exists(at(argument + ".out")):
            time.sleep(0.005)
    elif what == "raise":
        raise ValueError(argument)
    elif what == "memory":
        raise MemoryError
    elif what == "segfault":
        ctypes.string_at(0)
    elif what == "abort":
        os.abort()
    elif what == "exit":
        os._exit(7)
    elif what == "leave":
        sys.exit(3)
    elif what == "spin":
        while True:
            pass
    elif what == "sleep":
        time.sleep(1e6)
    elif what == "gil":                    # a C call that never gives the interpreter back
        ctypes.PyDLL(None).sleep(1_000_000)
    return item.upper()

def start():
    """What `start.sh` says, each time a replica starts."""
    if os.path.exists(at("fail")):
        raise RuntimeError("no weights today")

@sojourn.function(max_batch_size=16, timeout_s=30, start_timeout_s=2)
class Obey:
    def __init__(self):
        start()
    def __call__(self, items: list[str]) -> list[str]:
        return [obey(item) for item in items]

@sojourn.function(max_batch_size=4, retry=False, timeout_s=30)
def once(items: list[str]) -> list[str]:
    return [obey(item) for item in items]

@sojourn.function(max_batch_size=4, min_replicas=2, slo="99% < 5s", timeout_s=20)
def pair(items: list[str]) -> list[str]:
    return [obey(item) for item in items]

@sojourn.function(timeout_s=1, start_timeout_s=1, max_batch_size=4)
def short(items: list[str]) -> list[str]:
    return [obey(item) for item in items]
'''


def warm_up(server: Server, function: str, calls: int = 45) -> None:
    """Enough calls for the platform to know how long a call takes."""
    for number in range(calls):
        assert server.call(function, f"warm {number}").status == 200


def pid_in(server: Server, name: str) -> int:
    """The process that holds at `name`."""
    path = server.directory / f"{name}.in"
    wait_until(lambda: path.exists() and path.read_text().isdigit(), f"a call to hold at {name}")
    return int(path.read_text())


def release(server: Server, name: str) -> None:
    (server.directory / f"{name}.out").touch()


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path, APP) as running:
        yield running


def crash_loop_and_back(directory: Path) -> None:
    """What F11 asks for: most of it is waiting for backoffs."""
    with Server(directory, APP) as server:
        (directory / "fail").touch()
        os.kill(server.wait_log("replica.ready", function="obey")["pid"], signal.SIGKILL)
        assert server.call("short", "fine").body == "FINE"  # the others do not notice
        server.wait_log("function.crash_loop", function="obey")
        answer = server.call("obey", "fine")
        assert (answer.status, answer.body["code"]) == (503, "unavailable")
        assert "RuntimeError" in answer.body["error"]
        assert int(answer.headers["retry-after"]) >= 1
        assert fetch(server.inference, "GET", "/readyz", None, {}).status == 503
        (directory / "fail").unlink()
        server.wait_log("replica.ready", 2, function="obey")
        assert server.call("obey", "fine").body == "FINE"


@pytest.fixture(scope="module", autouse=True)
def crash_loop(request, tmp_path_factory):
    """Goes on in a server of its own while the other tests run; its end is awaited by the test that tells of it."""
    if not any(item.name.startswith("test_f11") for item in request.session.items):
        yield None
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(crash_loop_and_back, tmp_path_factory.mktemp("crash-loop"))


def test_f1_a_function_that_may_not_run_twice_gets_502(server):
    """SIGKILL in mid-call with retry=False: told that its replica died; the next call is served."""
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(server.call, "once", "hold:a")
        os.kill(pid_in(server, "a"), signal.SIGKILL)
        answer = call.result(PATIENCE_S)
    assert (answer.status, answer.body["code"]) == (502, "replica_lost")
    assert server.call("once", "fine").body == "FINE"


def test_f2_a_replica_killed_while_idle_is_replaced_before_anyone_asks(server):
    """The death of an idle replica is seen at once; the next call is served by its successor."""
    ready = server.wait_log("replica.ready", function="obey")
    os.kill(ready["pid"], signal.SIGKILL)
    server.wait_log("replica.ready", 2, function="obey")
    assert server.call("obey", "fine").body == "FINE"


def test_f1_replicas_killed_under_load_cost_no_retryable_client_an_error(server):
    """Two replicas, one is killed in mid-batch again and again: every answer is right."""
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(server.call, "pair", f"item {number}") for number in range(100)]
        for round_ in range(3):
            held = pool.submit(server.call, "pair", f"hold:k{round_}")
            pid = pid_in(server, f"k{round_}")
            calls += [pool.submit(server.call, "pair", f"more {round_} {number}") for number in range(30)]
            (server.directory / f"k{round_}.in").unlink()
            os.kill(pid, signal.SIGKILL)
            pid_in(server, f"k{round_}")  # it runs again, in the other replica
            release(server, f"k{round_}")
            assert held.result(PATIENCE_S).body == f"HOLD:K{round_}"
            server.wait_log("replica.ready", 3 + round_, function="pair")
        answers = [call.result(PATIENCE_S) for call in calls]
    assert [a.status for a in answers] == [200] * len(answers)


def test_f3_a_stopped_replica_is_replaced_and_its_late_answer_dropped(server):
    """SIGSTOP in mid-call: the call runs elsewhere and is answered once, also after SIGCONT."""
    warm_up(server, "pair", 100)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(server.call, "pair", "hold:s")
        stopped = pid_in(server, "s")
        (server.directory / "s.in").unlink()
        os.kill(stopped, signal.SIGSTOP)
        other = pid_in(server, "s")
        assert other != stopped
        release(server, "s")
        if is_alive(stopped):
            os.kill(stopped, signal.SIGCONT)
        assert call.result(PATIENCE_S).body == "HOLD:S"
    server.wait_log("replica.suspected", function="pair")
    wait_until(lambda: not is_alive(stopped), "the suspect to be ended")
    assert server.function("pair")["requests"]["served"] == 101


@pytest.mark.parametrize("how", ["spin", "sleep", "gil"])
def test_f4_a_call_that_never_ends_gets_504_and_its_replica_is_replaced(server, how):
    """An endless loop, an endless sleep, a C call that holds the GIL: the caller is told, the next one is served."""
    answer = server.call("short", how)
    assert (answer.status, answer.body["code"]) == (504, "timeout")
    server.wait_log("replica.suspected", function="short")
    server.wait_log("replica.ready", 2, function="short")
    assert server.call("short", "fine").body == "FINE"


@pytest.mark.parametrize("how", ["segfault", "abort", "exit"])
def test_f8_an_input_that_kills_its_process_is_quarantined(server, how):
    """Whatever ends the process: at most three replicas die of it, 422, and the others are served meanwhile."""
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(server.call, "obey", f"item {number}") for number in range(20)]
        answer = server.call("obey", how)
        assert (answer.status, answer.body["code"]) == (422, "poisoned")
        assert server.call("obey", how).body["code"] == "poisoned"
        assert all(call.result(PATIENCE_S).status == 200 for call in others)
    server.wait_log("replica.exited", 3)  # the process ends a moment after its connection did
    assert len(server.logged("replica.exited")) == 3


def test_f8_sys_exit_in_a_call_counts_as_an_exception(server):
    """SystemExit fails its item; the replica lives on."""
    assert server.call("obey", "leave:").body["code"] == "function_raised"
    assert server.call("obey", "fine").body == "FINE"
    assert "replica.exited" not in server.log_text()


def test_f6_poison_among_six_hundred_requests_fails_alone(server):
    """A tenth of the items raise, in batches with the others: each gets its own error, and nobody else does."""
    chance = random.Random(11)
    items = [f"raise:{number}" if chance.random() < 0.1 else f"item {number}" for number in range(600)]
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda item: server.call("obey", item), items))
    for item, answer in zip(items, answers, strict=True):
        if item.startswith("raise"):
            assert (answer.status, answer.body["code"]) == (500, "function_raised")
        else:
            assert (answer.status, answer.body) == (200, item.upper())


def test_f5_a_memory_error_is_an_error_of_its_item(server):
    """MemoryError fails the item; the replica stays."""
    assert server.call("obey", "memory").body["code"] == "function_raised"
    assert server.call("obey", "fine").body == "FINE"
    assert "replica.exited" not in server.log_text()


def test_f12_requests_wait_for_a_slow_start(tmp_path):
    """The replica dies and its successor takes a while: requests that arrive meanwhile are served, not refused."""
    slow = APP.replace(
        '    if os.path.exists(at("fail")):',
        '    while os.path.exists(at("wait")): time.sleep(0.01)\n    if os.path.exists(at("fail")):',
    )
    slow = slow.replace("start_timeout_s=2)", "start_timeout_s=50)")
    with Server(tmp_path, slow) as server:
        (tmp_path / "wait").touch()
        os.kill(server.wait_log("replica.ready", function="obey")["pid"], signal.SIGKILL)
        server.wait_log("replica.starting", 2, function="obey")
        assert fetch(server.inference, "GET", "/readyz", None, {}).status == 503
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(server.call, "obey", f"item {number}") for number in range(4)]
            wait_until(lambda: server.function("obey")["queue_depth"] == 4, "the requests to be queued")
            (tmp_path / "wait").unlink()
            assert sorted(call.result(PATIENCE_S).body for call in calls) == [f"ITEM {number}" for number in range(4)]


def test_f35_a_starved_processor_kills_no_replica(server):
    """Two busy loops on both cores: slower, but nobody is taken for dead."""
    warm_up(server, "obey")
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: server.call("obey", f"item {number}"), range(200)))
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert [answer.status for answer in answers] == [200] * 200
    assert "replica.suspected" not in server.log_text()
    assert "replica.exited" not in server.log_text()


def test_f38_a_retry_storm_ends_when_the_fault_does(server):
    """Clients that retry at once, three times, while the only replica is held: afterwards everyone is served."""
    warm_up(server, "pair")
    with ThreadPoolExecutor(32) as pool:
        holds = [
            pool.submit(server.call, "pair", f"hold:h{number}", x_request_timeout_seconds="15") for number in range(2)
        ]
        for number in range(2):
            pid_in(server, f"h{number}")

        def insist(number: int) -> list[int]:
            statuses = []
            for _ in range(3):
                statuses.append(server.call("pair", f"item {number}", x_request_timeout_seconds="0.2").status)
                if statuses[-1] == 200:
                    break
            return statuses

        storm = list(pool.map(insist, range(60)))
        for number in range(2):
            release(server, f"h{number}")
        assert all(hold.result(PATIENCE_S).status == 200 for hold in holds)
        assert {status for statuses in storm for status in statuses} <= {200, 429, 504}
        after = list(pool.map(lambda number: server.call("pair", f"after {number}"), range(100)))
    assert [answer.status for answer in after] == [200] * 100


def test_f11_a_function_that_will_not_start_any_more_is_refused_with_the_cause(crash_loop):
    """Its replica dies and five starts fail: 503 at once with the last cause; when starts work again, it serves."""
    crash_loop.result()

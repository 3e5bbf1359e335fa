"""Scaling when things go wrong: replicas killed in each state of their life, loads that fail, claims that do not fit."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import PATIENCE_S, Server, refused_start, wait_until
from test_scaling_live import Callers

APP = '''
"""A model whose start and whose calls are held, and fail, by files."""
import os, time
import sojourn

HERE = os.path.dirname(os.path.abspath(__file__))

def is_there(name):
    return os.path.exists(os.path.join(HERE, name))

def hold(name):
    with open(os.path.join(HERE, f"{name}.{os.getpid()}"), "w"):
        pass
    while not is_there("go"):
        time.sleep(0.005)

@sojourn.function(max_batch_size=1, max_replicas=2, OPTIONS)
class Model:
    def __init__(self):
        if is_there("hold-starts"):
            hold("starting")
        if is_there("fail-starts"):
            raise RuntimeError("no weights today")
        with open(os.path.join(HERE, "starts"), "a+") as starts:
            starts.write("x")
            starts.seek(0)
            if is_there("fail-every-second") and len(starts.read()) % 2 == 0:
                raise OSError("half of the weights are missing")
    def __call__(self, items: list[int]) -> list[int]:
        if items[0] < 0:
            hold(f"call{items[0]}")
        return [item + 1 for item in items]
'''


def app(options: str) -> str:
    """The model with these options."""
    return APP.replace("OPTIONS", options)


def pid_at(directory: Path, name: str) -> int:
    """The living process that holds at this place, once there is one."""
    wait_until(lambda: list(directory.glob(f"{name}.*")), f"a process to hold at {name}")
    (path,) = directory.glob(f"{name}.*")
    path.unlink()
    return int(path.suffix[1:])


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path, app('timeout_s=40, keepalive="fixed"')) as running:
        yield running


def test_a_replica_killed_while_it_starts(tmp_path):
    """The request that waits for the start is served by the next one; nothing of the first is left."""
    with Server(tmp_path, app("keepalive=sojourn.FixedKeepAlive(idle_s=0)")) as server, ThreadPoolExecutor(1) as pool:
        server.wait_log("function.scaled", after=0)
        server.wait_replicas("model", 0)
        (tmp_path / "hold-starts").touch()
        waiting = pool.submit(server.call, "model", 1)
        first = pid_at(tmp_path, "starting")
        os.kill(first, signal.SIGKILL)
        second = pid_at(tmp_path, "starting")
        assert server.replica_pids() == [second]
        (tmp_path / "go").touch()
        assert (waiting.result(PATIENCE_S).status, waiting.result().body) == (200, 2)


def test_a_replica_killed_while_it_is_idle(server):
    """It is replaced before anyone asks, and the next request is served."""
    (first,) = server.replica_pids()
    os.kill(first, signal.SIGKILL)
    server.wait_log("replica.ready", 2)
    assert server.call("model", 1).body == 2
    assert len(server.replica_pids()) == 1
    assert "SIGKILL" in server.wait_log("replica.exited", level="warning")["cause"]


def test_a_replica_killed_in_a_batch(server, tmp_path):
    """Its request and those queued behind it are served by the successor."""
    with ThreadPoolExecutor(4) as pool:
        held = pool.submit(server.call, "model", -1)
        first = pid_at(tmp_path, "call-1")
        queued = [pool.submit(server.call, "model", number) for number in (1, 2, 3)]
        wait_until(lambda: server.function("model")["queue_depth"] >= 1, "requests to be queued")
        os.kill(first, signal.SIGKILL)
        assert pid_at(tmp_path, "call-1") != first
        (tmp_path / "go").touch()
        assert (held.result(PATIENCE_S).status, held.result().body) == (200, 0)
        assert [call.result(PATIENCE_S).body for call in queued] == [2, 3, 4]
    assert first not in server.replica_pids()


def test_a_replica_killed_while_it_drains(server, tmp_path):
    """Its call runs again in the replica that stays; it is not replaced, for it was to go."""
    assert server.scale("model", min_replicas=2).status == 200
    server.wait_replicas("model", 2)
    with ThreadPoolExecutor(2) as pool:
        calls = {number: pool.submit(server.call, "model", number) for number in (-1, -2)}
        pids = {number: pid_at(tmp_path, f"call{number}") for number in calls}
        assert server.scale("model", min_replicas=1, max_replicas=1).status == 200
        leaving = server.wait_log("replica.draining")["replica"]
        pid = next(line["pid"] for line in server.logged("replica.ready", replica=leaving))
        assert pid in pids.values()
        os.kill(pid, signal.SIGKILL)
        server.wait_log("replica.exited", replica=leaving)
        (tmp_path / "go").touch()
        answers = {number: call.result(PATIENCE_S) for number, call in calls.items()}
    assert {number: (answer.status, answer.body) for number, answer in answers.items()} == {-1: (200, 0), -2: (200, -1)}
    server.wait_replicas("model", 1)
    assert len(server.logged("replica.starting")) == 2
    assert server.function("model")["start_failure"] is None
    assert len(server.replica_pids()) == 1


def test_a_model_that_fails_to_load_every_second_time_serves(tmp_path):
    """From zero again and again: each failed start is tried again while the request waits, and it is served."""
    (tmp_path / "fail-every-second").touch()
    with Server(tmp_path, app("keepalive=sojourn.FixedKeepAlive(idle_s=0)")) as server:
        for cycle in (1, 2):
            server.wait_log("function.scaled", cycle, after=0)
            server.wait_replicas("model", 0)
            assert server.call("model", cycle).body == cycle + 1
        assert len(server.logged("replica.fatal")) == 2
        assert "half of the weights" in server.logged("replica.fatal")[0]["cause"]


def test_a_crash_loop_answers_at_once_with_the_cause(server, tmp_path):
    """Four successors die and the fifth does not load: who waits and who comes is told 503 with the traceback's end."""
    for death in range(1, 5):
        pid = server.wait_log("replica.ready", death)["pid"]
        if death == 4:
            (tmp_path / "fail-starts").touch()
            (tmp_path / "hold-starts").touch()
        os.kill(pid, signal.SIGKILL)
    pid_at(tmp_path, "starting")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.call, "model", 1)
        wait_until(lambda: server.function("model")["queue_depth"] == 1, "a request to wait")
        (tmp_path / "go").touch()
        answers = [waiting.result(PATIENCE_S), server.call("model", 2)]
    for answer in answers:
        assert (answer.status, answer.body["code"]) == (503, "unavailable")
        assert "RuntimeError: no weights today" in answer.body["error"]
        assert int(answer.headers["retry-after"]) >= 1
    assert "no weights today" in server.function("model")["start_failure"]


def test_a_load_that_takes_longer_than_allowed_is_ended_and_tried_again(tmp_path):
    """The start is ended after start_timeout_s and says so; the request outlasts it and is served by the next start."""
    options = "start_timeout_s=1, timeout_s=40, keepalive=sojourn.FixedKeepAlive(idle_s=0)"
    with Server(tmp_path, app(options)) as server, ThreadPoolExecutor(1) as pool:
        server.wait_log("function.scaled", after=0)
        server.wait_replicas("model", 0)
        (tmp_path / "hold-starts").touch()
        waiting = pool.submit(server.call, "model", 1)
        pid_at(tmp_path, "starting")
        wait_until(lambda: server.function("model")["start_failure"], "the start to be ended")
        assert "not ready within 1 s; raise start_timeout_s" in server.function("model")["start_failure"]
        (tmp_path / "go").touch()
        assert waiting.result(PATIENCE_S).body == 2
        assert "not ready within 1 s" in server.wait_log("replica.exited", level="warning")["cause"]


PAIR = """
import time
import sojourn

@sojourn.function(FIRST)
def first(items: list[int]) -> list[int]:
    time.sleep(0.01)
    return [item + 1 for item in items]

@sojourn.function(SECOND)
def second(items: list[int]) -> list[int]:
    time.sleep(0.01)
    return [item + 1 for item in items]
"""


@pytest.mark.parametrize(
    ("first", "second", "options", "words"),
    [
        ("cpus=3", "cpus=1", ("--cpus", "2"), ["'first'", "cpus=3", "has 2"]),
        ("gpus=1", "cpus=1", ("--gpus", "0"), ["'first'", "gpus=1", "has 0"]),
        ("min_replicas=2, max_replicas=1", "", (), ["app.py:5: first: max_replicas", "min_replicas=2, not 1"]),
        (
            "min_replicas=2",
            "min_replicas=1, cpus=0.5",
            ("--cpus", "2"),
            ["cpus=2.5", "cpus=2", "first 2 x", "second 1 x"],
        ),
    ],
)
def test_what_can_never_fit_is_refused_at_the_start(tmp_path, first, second, options, words):
    """A claim above the pool, a floor above the ceiling, floors that exceed the pool together: names and numbers."""
    said = refused_start(tmp_path, PAIR.replace("FIRST", first).replace("SECOND", second), *options)
    for word in words:
        assert word in said, said
    assert "Traceback" not in said


def test_floors_that_would_not_fit_are_refused_while_it_runs(tmp_path):
    """A command beyond the pool: 400 with names and numbers, and nothing changes."""
    source = PAIR.replace("FIRST", "min_replicas=1").replace("SECOND", "cpus=0.5, min_replicas=1")
    with Server(tmp_path, source, "--cpus", "2") as server:
        answer = server.scale("first", min_replicas=2)
        assert (answer.status, answer.body["code"]) == (400, "limits_out_of_range")
        assert "first 2 x" in answer.body["error"]
        assert server.function("first")["limits"] == {"min_replicas": 1, "max_replicas": None}
        assert server.call("first", 1).body == 2


def test_two_functions_on_one_core_give_way_to_each_other(tmp_path):
    """Called in turn, the idle one gives its place to the other; never two replicas at once, every call served."""
    with Server(tmp_path, PAIR.replace("FIRST", "").replace("SECOND", ""), "--cpus", "1") as server:
        for cycle in range(4):
            for name in ("first", "second"):
                assert server.call(name, cycle).body == cycle + 1
                assert len(server.replica_pids()) == 1
        assert {line["level"] for line in server.logged("replica.exited")} == {"info"}


def test_two_functions_under_load_share_one_core(tmp_path):
    """Both called without a pause: both are served, and nobody is told anything but the answer or to come back."""
    source = PAIR.replace("FIRST", "timeout_s=30").replace("SECOND", "timeout_s=30")
    with (
        Server(tmp_path, source, "--cpus", "1") as server,
        Callers(server, "first", 2) as ones,
        Callers(server, "second", 2) as others,
    ):
        ones.more(50)
        others.more(50)
        ones.more(50)
        for callers in (ones, others):
            assert callers.errors == []
            assert {status for _, status, _ in callers.answers} <= {200, 429}
            assert all(body == item + 1 for item, status, body in callers.answers if status == 200)

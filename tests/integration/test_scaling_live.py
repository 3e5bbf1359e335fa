"""Replicas that come and go on a real server while requests arrive: to zero and back, up and down, and the end.

Who watches: callers that keep every answer they get. Who decides when: the server's own events.
"""

from __future__ import annotations

import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import PATIENCE_S, Server, Stream, children_of, is_alive, wait_until

BRIEF = """
import sojourn

@sojourn.function(keepalive=sojourn.FixedKeepAlive(idle_s={idle_s}))
def brief(items: list[int]) -> list[int]:
    return [item + 1 for item in items]
"""

STEADY = """
import os, time
import sojourn

HERE = os.path.dirname(os.path.abspath(__file__))

@sojourn.function(max_batch_size=1, min_replicas=1, max_replicas=3, timeout_s=30, retry=False)
def steady(items: list[int]) -> list[int]:
    if items[0] < 0:
        open(os.path.join(HERE, f"in{items[0]}"), "w").close()
        while not os.path.exists(os.path.join(HERE, "go")):
            time.sleep(0.005)
    time.sleep(0.004)
    return [item + 1 for item in items]
"""


class Callers:
    """Clients in threads that call one after the other until told to end; keeps number, status and body of all."""

    def __init__(self, server, function, count, **headers):
        self.answers = []
        self.errors = []  # what was no answer
        self._server, self._function, self._headers = server, function, headers
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(count)]

    def _call(self, number):
        while not self._is_over.is_set():
            number += 1000
            try:
                answer = self._server.call(self._function, number, **self._headers)
            except OSError as error:
                self.errors.append(error)
                return
            self.answers.append((number, answer.status, answer.body))

    def more(self, count):
        """Wait for this many more answers."""
        until = len(self.answers) + count
        wait_until(lambda: len(self.answers) >= until or self.errors, f"{count} more answers")

    def wrong(self):
        """Answers that are not 200 with the right result."""
        return [each for each in self.answers if each[1:] != (200, each[0] + 1)]

    def join(self):
        """Wait until each has ended by itself."""
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self._is_over.set()
        self.join()


def test_to_zero_and_back_loses_nothing_and_leaves_no_process(tmp_path):
    """1 -> 0 -> 1 -> 0 -> 1: a request at zero waits for the start and is served; at zero no replica is left."""
    with Server(tmp_path, BRIEF.format(idle_s=0.3)) as server:
        for cycle in range(1, 4):
            assert server.call("brief", cycle).body == cycle + 1
            server.wait_log("function.scaled", cycle, function="brief", after=0)
            server.wait_replicas("brief", 0)
            assert server.replica_pids() == []
            assert server.function("brief")["start_failure"] is None
        assert server.raw_call("GET", "/readyz").status == 200, "at rest it takes requests"
        state = server.function("brief")
        assert {outcome: count for outcome, count in state["requests"].items() if count} == {"served": 3}
        assert {line["level"] for line in server.logged("replica.exited")} == {"info"}


def test_each_change_is_told_with_its_reason(tmp_path):
    """Events and the list of functions: first start, keep-alive, request, command; each with the figures behind it."""
    with Server(tmp_path, BRIEF.format(idle_s=0.3)) as server:
        server.wait_log("function.scaled", after=0)
        assert server.call("brief", 1).status == 200
        server.wait_log("function.scaled", 2, after=0)
        server.wait_replicas("brief", 0)
        assert server.scale("brief", min_replicas=2).status == 200
        server.wait_replicas("brief", 2)
        events = server.ask("/api/v1/events?limit=1000").body["events"]
        told = [event["fields"] for event in events if event["event"] == "function.scaled"]
        changes = [(each["before"], each["after"], each["cause"]) for each in told]
        assert changes == [
            (0, 1, "start"),
            (1, 0, "keep_alive"),
            (0, 1, "request"),
            (1, 0, "keep_alive"),
            (0, 2, "scale_command"),
        ]
        assert "idle for 0.3" in told[1]["why"]
        assert "min_replicas=2" in told[4]["why"]
        assert all(each["why"] for each in told)
        (row,) = server.ask("/api/v1/functions").body["functions"]
        last = {name: row["last_scaling"][name] for name in ("before", "after", "cause", "why")}
        assert last == {name: told[-1][name] for name in last}


def test_a_request_that_meets_the_teardown_is_served(tmp_path):
    """Requests sent around the end of the keep-alive, from 20 ms before it until the replica is gone: each is served."""
    cycles, due = 40, threading.Event()
    with Server(tmp_path, BRIEF.format(idle_s=0.05)) as server, Stream(server, "follow=1&function=brief") as stream:
        for cycle in range(cycles):
            assert server.call("brief", cycle).body == cycle + 1
            if cycle % 2:
                due.wait(0.03 + cycle * 0.001)  # the next arrives this long after the last answer; it awaits nothing
            else:
                stream.until("replica.exited" if cycle % 4 else "replica.draining")
        server.wait_replicas("brief", 0)
        requests = server.function("brief")["requests"]
        assert {outcome: count for outcome, count in requests.items() if count} == {"served": cycles}
        assert server.replica_pids() == []


def test_up_and_down_under_load_costs_no_request(tmp_path):
    """1 -> 3 -> 1 -> 2 replicas by command while six clients call without a pause: every answer is right."""
    with Server(tmp_path, STEADY) as server:
        with Callers(server, "steady", 6) as callers:
            for count in (3, 1, 2):
                callers.more(60)
                assert server.scale("steady", min_replicas=count, max_replicas=count).status == 200
                server.wait_replicas("steady", count)
                callers.more(60)
                assert len(server.replica_pids()) == count
            wait_until(lambda: len(callers.answers) >= 400 or callers.errors, "400 answers")
        assert callers.errors == []
        assert callers.wrong() == []
        assert {line["level"] for line in server.logged("replica.exited")} == {"info"}
        requests = server.function("steady")["requests"]
        assert {outcome: count for outcome, count in requests.items() if count} == {"served": len(callers.answers)}


def call_until_refused(server):
    """Call until the listener is closed; who comes before is told 503."""
    while True:
        assert server.call("steady", 9).status == 503


def test_sigterm_under_load_answers_all_it_took_in(tmp_path):
    """Calls held in all three replicas, a queue behind them, then SIGTERM: all are answered, newcomers refused, exit 0."""
    with Server(tmp_path, STEADY, "--drain", "30s") as server, ThreadPoolExecutor(9) as pool:
        assert server.scale("steady", min_replicas=3).status == 200
        server.wait_replicas("steady", 3)
        held = [pool.submit(server.call, "steady", -number) for number in (1, 2, 3)]
        wait_until(lambda: len(list(tmp_path.glob("in-*"))) == 3, "three calls to be held")
        queued = [pool.submit(server.call, "steady", number) for number in range(6)]
        wait_until(lambda: server.function("steady")["queue_depth"] == 6, "six requests to be queued")
        server.process.send_signal(signal.SIGTERM)
        server.wait_log("server.draining")
        with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as the kernel likes
            call_until_refused(server)
        (tmp_path / "go").touch()
        assert [(call.result(PATIENCE_S).status, call.result().body) for call in held] == [
            (200, 0),
            (200, -1),
            (200, -2),
        ]
        assert [call.result(PATIENCE_S).body for call in queued] == [1, 2, 3, 4, 5, 6]
        assert server.process.wait(PATIENCE_S) == 0
        assert not server.logged("server.drain_incomplete")


def test_sigkill_of_the_server_takes_everything_with_it(tmp_path):
    """Busy, idle and starting replicas, fork servers, what the function's code started, the guard: gone within 5 s."""
    source = (
        STEADY
        + """
import subprocess
@sojourn.function(min_replicas=1, max_replicas=2)
class Parent:
    def __init__(self):
        self.child = subprocess.Popen(["sleep", "1000"])
        if os.path.exists(os.path.join(HERE, "slow")):
            open(os.path.join(HERE, "starting"), "w").close()
            time.sleep(1000)
    def __call__(self, items: list[int]) -> list[int]:
        return [self.child.pid for _ in items]
"""
    )
    with Server(tmp_path, source) as server, ThreadPoolExecutor(1) as pool:
        held = pool.submit(server.call, "steady", -1)
        (tmp_path / "slow").touch()
        assert server.scale("parent", min_replicas=2).status == 200
        wait_until((tmp_path / "starting").exists, "a replica to be held in its start")
        assert server.call("parent", 1).status == 200
        family = [server.process.pid]
        for pid in family:
            family += children_of(pid)
        # Replicas are two of Parent's and one of the other; each Parent has a child; two fork servers; the guard.
        assert len(server.replica_pids()) == 3
        assert len(family) == 1 + 3 + 2 + len(server.fork_server_pids()) + 1, family
        server.stopped_by_test = True
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in family), "all of them to be gone", patience_s=5.0)
        assert isinstance(held.exception(PATIENCE_S), OSError)
        with pytest.raises(ConnectionRefusedError):
            server.call("steady", 1)

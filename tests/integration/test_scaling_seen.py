"""What operators see of scaling on a real server: the live stream, the limits, and that no request pays for a change."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from server import PATIENCE_S, Server, Stream, wait_until

APP = """
import time
import sojourn

@sojourn.function(slo="99% < 2s", max_batch_size=1, min_replicas=1, max_replicas=3)
def slow(items: list[int]) -> list[int]:
    time.sleep(0.02)
    return [item + 1 for item in items]
"""


def test_the_stream_tells_a_replica_s_death_a_change_and_the_end(tmp_path):
    """Each as it happens, in one numbering without gaps, each also a line of the log; SIGTERM ends it in order."""
    with Server(tmp_path, APP) as server, Stream(server, "limit=1000&follow=1") as stream:
        assert stream.until("replica.ready")["function"] == "slow"
        os.kill(server.replica_pids()[0], signal.SIGKILL)
        died = stream.until("replica.exited")
        assert (died["level"], died["function"]) == ("warning", "slow")
        stream.until("replica.ready")
        answer = server.scale("slow", min_replicas=2)
        assert (answer.status, answer.body["limits"]) == (200, {"min_replicas": 2, "max_replicas": 3})
        scaled = stream.until("function.scaled")["fields"]
        assert (scaled["after"], scaled["cause"]) == (2, "scale_command")
        last = server.function("slow")["last_scaling"]
        assert (last["after"], last["why"]) == (2, scaled["why"])
        stream.until("replica.ready")
        server.process.send_signal(signal.SIGTERM)
        stream.until("server.draining")
        assert b"data: " not in stream.rest()
        assert server.process.wait(PATIENCE_S) == 0
        numbers = [event["seq"] for event in stream.read]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        logged = [json.loads(line)["event"] for line in server.log_text().splitlines()]
        for event in {event["event"] for event in stream.read}:
            assert logged.count(event) == [one["event"] for one in stream.read].count(event), event


def test_scaling_down_under_load_loses_nothing(tmp_path):
    """Replicas that are too many finish what they have: each call made meanwhile is answered, and no exit is a fault."""
    with Server(tmp_path, APP) as server, Stream(server, "follow=1") as stream:
        assert server.scale("slow", min_replicas=3).status == 200
        wait_until(lambda: server.function("slow")["replicas"]["ready"] == 3, "three replicas")
        is_over = threading.Event()
        answers = []

        def call():
            while not is_over.is_set():
                answers.append(server.call("slow", 1))

        callers = [threading.Thread(target=call) for _ in range(6)]
        for caller in callers:
            caller.start()
        try:
            wait_until(lambda: len(answers) > 20, "calls on three replicas")
            assert server.scale("slow", min_replicas=1, max_replicas=1).status == 200
            exits = [stream.until("replica.exited") for _ in range(2)]
            served = len(answers)
            wait_until(lambda: len(answers) > served + 20, "calls on one replica")
        finally:
            is_over.set()
            for caller in callers:
                caller.join()
        assert {(answer.status, answer.body) for answer in answers} == {(200, 2)}
        assert [event["level"] for event in exits] == ["info", "info"]
        state = server.function("slow")
        assert state["replicas"] == {"starting": 0, "ready": 1, "draining": 0}
        assert state["recent"]["batch_size_mean"] == 1.0
        page = server.ask("/metrics").body.decode()
        changed = [line for line in page.splitlines() if 'cause="scale_command",function="slow"' in line]
        assert [line.rpartition(" ")[2] for line in changed] == ["2.0"]


def test_an_idle_fork_server_goes_when_the_setting_says(tmp_path):
    """Some time after the last replica; the next request has its code imported anew."""
    source = (
        "import sojourn\n"
        '@sojourn.function(slo="99% < 500ms", keepalive=sojourn.FixedKeepAlive(idle_s=0.2), timeout_s=30)\n'
        "def echo(items: list[int]) -> list[int]:\n    return items\n"
    )
    with Server(tmp_path, source, "--fork-server-idle", "300ms") as server:
        assert server.call("echo", 1).status == 200
        wait_until(lambda: not server.fork_server_pids(), "the fork server to go")
        assert server.function("echo")["replicas"]["ready"] == 0
        assert server.call("echo", 2).status == 200

"""The journal of a real server in the simulator: the same core, shown the same events, decides the same."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))
from server import Server

from sojourn.cli.journal import journal as journal_command
from sojourn.sim.replay import arrivals_of, replay, service_of
from sojourn.telemetry.journal_file import read_journal

APP = """
import os, signal, time
import sojourn

@sojourn.function(slo="99% < 250ms", max_batch_size=8, timeout_s=30, min_replicas=1)
def naps(items: list[float]) -> list[float]:
    if any(item < 0 for item in items):
        raise ValueError("negative")
    if any(item == 99 for item in items):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.004 + 0.001 * len(items))
    return items
"""


def test_a_production_journal_is_played_again_step_by_step(tmp_path):
    """Batches that raise and a replica that dies included: each decision of the server is made again in the simulator."""
    path = tmp_path / "naps.journal"
    with Server(tmp_path, APP, "--journal-steps", "100000") as server:
        items = [-1.0 if number % 40 == 7 else 99.0 if number == 150 else 0.5 for number in range(300)]
        with ThreadPoolExecutor(12) as pool:
            statuses = [answer.status for answer in pool.map(lambda item: server.call("naps", item), items)]
        done = CliRunner().invoke(
            journal_command, ["naps", "--output", str(path), "--admin-url", server.admin.geturl()]
        )
        assert done.exit_code == 0, done.output
        missing = server.ask("/api/v1/functions/nobody/journal")
    assert missing.status == 404
    recorded = read_journal(path)
    assert (recorded.head.function, recorded.head.dropped) == ("naps", 0)
    played = replay(recorded)
    assert played.differs_at is None, f"expected {played.expected}, found {played.found}"
    assert played.steps == len(recorded.steps) > len(items)
    assert len(arrivals_of(recorded)) == len(statuses) == 300
    assert statuses.count(500) == 8
    assert 0.005 < service_of(recorded).mean_s(1) < 0.1


def test_a_journal_is_bounded_and_says_what_fell_out(tmp_path):
    """The last steps only; the head counts the others."""
    with Server(tmp_path, APP, "--journal-steps", "20") as server:
        for _ in range(30):
            server.call("naps", 0.5)
        answer = server.raw_call("GET", "/livez")
        assert answer.status == 200
        lines = CliRunner().invoke(journal_command, ["naps", "--admin-url", server.admin.geturl()]).output.splitlines()
    path = tmp_path / "tail.journal"
    path.write_text("\n".join(lines) + "\n")
    recorded = read_journal(path)
    assert len(recorded.steps) == 20
    assert recorded.head.dropped >= 40

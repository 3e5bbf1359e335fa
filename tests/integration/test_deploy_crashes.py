"""A server killed at each step of a deploy and of a rollout: what was acknowledged is there, what was not is whole or absent."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "crashing"))
from deploying import APP, sojourn_process, write_app
from server import Server, wait_until
from sitecustomize import STEPS

CRASHING = Path(__file__).parent / "crashing"
# By then its client has its answer; at earlier steps the kill may overtake it, though all is kept.
ACKNOWLEDGED = {"promote", "make_live", "retire"}
QUICK = {"after:add", "after:put_revision", "before:promote", "after:promote"}  # the others are in `make test-slow`
POINTS = [
    pytest.param(f"{when}:{step}", marks=() if f"{when}:{step}" in QUICK else pytest.mark.slow)
    for step in STEPS
    for when in ("before", "after")
]


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_step_of_a_deploy_leaves_a_state_that_serves(point, tmp_path, monkeypatch):
    """The second deploy of a function dies with its server; the next server answers, with one of the two, and takes a third."""
    kept = ("--state-dir", str(tmp_path / "kept"))
    trees = {answer: write_app(tmp_path / answer, APP.format(answer=answer)) for answer in ("one", "two", "three")}
    with monkeypatch.context() as crashing:
        crashing.setenv("PYTHONPATH", str(CRASHING))
        crashing.setenv("SOJOURN_CRASH_AT", point)
        crashing.setenv("SOJOURN_CRASH_ARMED", str(tmp_path / "armed"))
        with Server(tmp_path, None, *kept) as server:
            assert sojourn_process(server, "deploy", str(trees["one"])).returncode == 0
            (tmp_path / "armed").touch()
            hit = sojourn_process(server, "deploy", str(trees["two"]), "--no-wait")
            server.process.wait(60)
            assert server.process.returncode == -9
            server.stopped_by_test = True
    is_acknowledged = hit.returncode == 0
    assert is_acknowledged or point.split(":")[1] not in ACKNOWLEDGED
    with Server(tmp_path, None, *kept) as server:
        answer = server.call("version", 1)
        assert (answer.status, answer.body in {"one", "two"}) == (200, True)
        if is_acknowledged:
            wait_until(lambda: server.call("version", 1).body == "two", "what was acknowledged to take over")
        bundles = [path.name for path in (tmp_path / "kept" / "bundles").iterdir()]
        revisions = json.loads(sojourn_process(server, "history", "version", "--json").stdout)["revisions"]
        assert {row["bundle"] for row in revisions} <= set(bundles)
        assert not list((tmp_path / "kept" / "incoming").iterdir())
        last = sojourn_process(server, "deploy", str(trees["three"]))
        assert last.returncode == 0, last.stdout + last.stderr
        assert server.call("version", 1).body == "three"

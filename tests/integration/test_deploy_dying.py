"""A canary whose replicas die under its traffic: none of its requests is an error it answers, and yet it must go."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from deploying import APP, deployed, sojourn, write_app
from server import Server

DYING = APP.replace('return ["{answer}"] * len(items)', "import os; os._exit(1)")


def test_a_canary_whose_replicas_die_is_rolled_back(tmp_path):
    """After three, with that as its cause, and long before its step has ended."""
    with Server(tmp_path, None) as server:
        deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))
        two = write_app(tmp_path / "two", DYING)
        sojourn(server, "deploy", str(two), "--strategy", "canary", "--shares", "0.5", "--step", "60s", "--no-wait")
        for number in range(2000):
            server.call("version", number)
            told = server.ask("/api/v1/functions/version/rollout").body
            if told["state"] not in {"warming", "shifting"}:
                break
            time.sleep(0.01)
        assert told["state"] == "rolled_back"
        assert "replicas of the candidate failed" in told["cause"]

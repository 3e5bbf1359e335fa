"""A real server past its capacity, with each of the batching policies that learn: everyone is answered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import Server

from sojourn.domain.request import Outcome
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.record import OUTCOMES, Trouble
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import parse_target
from sojourn.workload.arrivals import constant

ACCELERATOR = (Path(__file__).parents[2] / "examples" / "accelerator.py").read_text()
REQUESTS_PER_S, SECONDS = 600, 1.0  # three times what 5 ms + 4.5 ms x b can do in batches of 4
POLICIES = ("slo", "window", "consolidate", "aimd", "mlproxy")


@pytest.mark.parametrize("policy", POLICIES)
def test_past_capacity_everyone_is_answered_and_the_server_goes_on(tmp_path, monkeypatch, policy):
    """Results or refusals, each under its own id and none without an answer; then the next one is served."""
    monkeypatch.setenv("SOJOURN_FN_ALPHA_S", "0.0045")
    monkeypatch.setenv("SOJOURN_FN_MAX_BATCH", "4")
    monkeypatch.setenv("SOJOURN_FN_SLO", "99% < 100ms")
    monkeypatch.setenv("SOJOURN_FN_BATCHING", policy)
    with Server(tmp_path, ACCELERATOR) as server:
        target = parse_target(f"{server.inference.geturl()}/functions/accelerator")
        run = run_load(
            target,
            constant(REQUESTS_PER_S, SECONDS),
            lambda index: b'{"id":%d}' % index,
            options=LoadOptions(timeout_s=30.0),
            check=lambda index, body: body == b'{"id":%d}' % index,
        )
        log = run.log
        assert set(log.statuses) <= {200, 429, 503, 504}
        assert sum(log.statuses.values()) == len(log) == REQUESTS_PER_S * SECONDS
        assert log.troubles == [0] * len(Trouble)
        assert log.mismatched == 0
        served = log.outcome.count(OUTCOMES.index(Outcome.SERVED))
        assert 0 < served < len(log), "it was not overloaded"
        after = run_load(target, [0.0], [b'{"id":1}'], options=LoadOptions(timeout_s=30.0)).log
        assert after.statuses == {200: 1}

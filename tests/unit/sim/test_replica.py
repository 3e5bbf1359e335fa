"""Modelled replicas: how long batches and starts take, and which starts fail."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.function import FunctionSettings
from sojourn.domain.request import Outcome
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService, ModelledStart


def run(service, arrivals, **options):
    settings = FunctionSettings(name="f", timeout_s=30.0, **options)
    dispatcher = Dispatcher(settings, batching_policy(settings.batching))
    return Simulation(dispatcher, Controller(Random(1)), service, Random(1)).run(arrivals)


def test_a_batch_takes_alpha_b_plus_beta_and_the_overhead():
    """Without noise to the digit; with noise that on average."""
    assert ModelledService(0.002, 0.010, overhead_s=0.001).duration_s(5, Random(1)) == pytest.approx(0.021)
    noisy, rng = ModelledService(0.002, 0.010, sigma=0.3), Random(1)
    mean_s = sum(noisy.duration_s(5, rng) for _ in range(20_000)) / 20_000
    assert mean_s == pytest.approx(0.020, rel=0.01)


def test_starts_are_told_by_their_number():
    """From one; without a hook all succeed after the cold start."""
    assert ModelledService(0, 1, cold_start_s=3).start(7) == ModelledStart(3)
    hooked = ModelledService(0, 1, starts=lambda number: ModelledStart(number * 2.0, "" if number > 1 else "no"))
    assert (hooked.start(1), hooked.start(2)) == (ModelledStart(2.0, "no"), ModelledStart(4.0))


def test_a_failed_start_exits_with_its_cause_and_is_tried_again():
    """The first fails after 0.5 s, the next begins about a second later and takes 2 s: the request waits for it."""
    service = ModelledService(
        0.0, 0.010, starts=lambda number: ModelledStart(0.5, "OSError") if number == 1 else ModelledStart(2.0)
    )
    result = run(service, [0.1])
    assert result.cold_starts == 2
    assert result.outcomes[Outcome.SERVED] == 1
    assert 3.2 <= result.latencies_s[0] <= 3.7


def test_a_slow_start_is_ended_at_its_limit():
    """Ten seconds where four are allowed: it never serves, the next one does."""
    service = ModelledService(0.0, 0.010, starts=lambda number: ModelledStart(10.0 if number == 1 else 1.0))
    result = run(service, [0.1, 30.0], start_timeout_s=4.0)
    assert result.cold_starts == 2
    assert result.outcomes[Outcome.SERVED] == 2
    assert 5.6 <= result.latencies_s[0] <= 6.2

"""Modelled replicas: how long batches and starts take, and which starts fail."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.event import ReplicaReady, ScaleRequested
from sojourn.domain.function import FunctionSettings
from sojourn.domain.policy import FixedReplicas
from sojourn.domain.request import Outcome
from sojourn.domain.resources import Resources
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.machines import Machines
from sojourn.sim.replica import ColdStart, ModelledService, ModelledStart


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


def test_a_start_that_fails_leaves_nothing_behind_on_its_machine():
    """Twenty replicas that were placed and ended before they were ready slow nobody down."""
    machines = Machines([Resources(2.0, 0.0, 2**30)])
    for number in range(20):
        assert machines.place(number, "f", Resources(1.0), 0.0) is not None
        machines.remove(number, 0.1)
        machines.check()
    assert machines.crowding(0) == 1.0


def test_a_second_start_waits_for_the_import_of_the_first():
    """Both are asked for at once; the second is forked when the code is there, and not before. A third finds it there."""
    phases = ColdStart(spawn_s=0.1, import_s=5.0, load_s=0.2)
    service = ModelledService(0.0, 0.01, start_phases=phases)
    settings = FunctionSettings(name="f", timeout_s=30.0, scaling=FixedReplicas(replicas=2))
    steps = []
    simulation = Simulation(
        Dispatcher(settings, batching_policy(settings.batching)),
        Controller(Random(1), Resources(8.0, 0.0, 2**30)),
        service,
        Random(1),
        lambda event, now_s, actions: steps.append((event, now_s)),
        machines=Machines([Resources(8.0, 0.0, 2**30)]),
    )
    simulation.at(20.0, ScaleRequested("f", 3, 3))
    simulation.run([1.0, 30.0])
    ready_s = [now_s for event, now_s in steps if isinstance(event, ReplicaReady)]
    assert ready_s == [pytest.approx(5.3), pytest.approx(5.4), pytest.approx(20.3)]


def test_accelerators_are_whole_on_each_machine():
    """Three shares of 0.6 do not fit on two accelerators, though their sum does."""
    machines = Machines([Resources(8.0, 2.0, 2**30)])
    claim = Resources(1.0, 0.6)
    assert [machines.place(number, "f", claim, 0.0) is not None for number in range(3)] == [True, True, False]

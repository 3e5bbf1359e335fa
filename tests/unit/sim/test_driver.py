"""The simulator: right by hand-made examples, by theory, and the same every time."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.admission import QueueBounds
from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.domain.request import Outcome
from sojourn.domain.resources import Resources
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.workload.arrivals import poisson


def simulation(service, *, batching="slo", seed=1, observe=None, predicts=True, **options) -> Simulation:
    settings = FunctionSettings(
        **{"name": "f", "slo": SLO(0.1), "max_batch_size": 8, "batching": BATCHING_BY_NAME[batching], **options},
        max_replicas=max(options.get("min_replicas", 1), 1),
    )
    dispatcher = Dispatcher(settings, batching_policy(settings.batching), QueueBounds(predicts=predicts))
    return Simulation(dispatcher, Controller(Random(seed)), service, Random(seed), observe)


def test_one_request_takes_its_service_time():
    """An idle replica: latency is alpha + beta, to the digit."""
    result = simulation(ModelledService(0.002, 0.010)).run([1.0])
    assert list(result.latencies_s) == [pytest.approx(0.012)]
    assert result.outcomes[Outcome.SERVED] == result.within_slo == 1


def test_a_cold_start_is_waited_for():
    """The first request waits until the replica is ready, and its late answer counts as a miss."""
    result = simulation(ModelledService(0.002, 0.010, cold_start_s=3.0)).run([1.0])
    assert list(result.latencies_s) == [pytest.approx(2.012)]
    assert result.within_slo == 0


def test_a_killed_replica_is_replaced_and_its_request_runs_again():
    """The batch under way when the replica dies comes back through its successor."""
    run = simulation(ModelledService(0.0, 0.050, cold_start_s=1.0), slo=SLO(10.0))
    run.kill(1.020, replica_id=1)
    result = run.run([1.0])
    assert list(result.latencies_s) == [pytest.approx(0.020 + 1.0 + 0.050)]


@pytest.mark.parametrize("batching", ["slo", "latency", "window"])
def test_the_same_seed_gives_the_same_run(batching):
    """All steps of two runs are equal, noise included; another seed differs."""

    def trace(seed):
        steps = []
        run = simulation(
            ModelledService(0.001, 0.004, sigma=0.2),
            batching=batching,
            seed=seed,
            observe=lambda event, now_s, actions: steps.append((event, now_s, actions)),
        )
        run.run(poisson(400.0, 5.0, Random(seed)))
        return steps

    assert trace(3) == trace(3)
    assert trace(3) != trace(4)


def test_past_saturation_the_default_does_not_collapse():
    """Twice the capacity of one replica: goodput stays near capacity, with admission and without.

    Eager batching without admission falls to nothing.
    """
    service = ModelledService(0.0005, 0.005)
    capacity = service.capacity_per_s(32)
    goodput = {}
    for batching, predicts in (("slo", True), ("slo", False), ("latency", False)):
        run = simulation(service, batching=batching, predicts=predicts, slo=SLO(0.05), max_batch_size=32)
        result = run.run(poisson(2 * capacity, 8.0, Random(5)), transient_s=3.0)
        goodput[batching, predicts] = result.goodput_per_s / capacity
        assert sum(result.outcomes.values()) == result.sent
    assert goodput["slo", True] > 0.95
    assert goodput["slo", False] > 0.95
    assert goodput["latency", False] < 0.2


def test_functions_share_a_pool_and_each_has_its_own_result():
    """Two cores for two functions: what is wanted of both is told, and neither gets the other's requests."""
    dispatchers = [
        Dispatcher(settings, batching_policy(settings.batching))
        for settings in (FunctionSettings(name=name, slo=SLO(0.5), max_batch_size=4) for name in ("a", "b"))
    ]
    controller = Controller(Random(1), Resources(cpus=2))
    run = Simulation(dispatchers[0], controller, ModelledService(0.0, 0.010, cold_start_s=1.0), Random(1))
    run.add(dispatchers[1], ModelledService(0.0, 0.030, cold_start_s=2.0))
    results = run.run_all({"a": [3.0, 4.0, 5.0], "b": [3.0, 3.5]})
    assert [results[name].sent for name in ("a", "b")] == [3, 2]
    assert list(results["a"].latencies_s) == [pytest.approx(0.010)] * 3
    assert list(results["b"].latencies_s) == [pytest.approx(0.030)] * 2
    assert run.result is results["a"]
    assert controller.held == Resources(cpus=2)


def test_decisions_and_replica_counts_are_kept_with_their_instants():
    """The first start, and what came of it; the replica-seconds end with the last arrival."""
    result = simulation(ModelledService(0.0, 0.010, cold_start_s=1.0)).run([1.5, 4.0])
    assert [(at_s, decision.after) for at_s, decision in result.decisions] == [(0.0, 1)]
    assert result.replicas == [(0.0, 1)]
    assert (result.cold_starts, result.replicas_max) == (1, 1)
    assert result.replica_seconds == pytest.approx(4.0)


def test_replica_time_is_that_until_the_last_arrival_or_as_long_as_asked():
    """Replicas that die by themselves included: what lives past the end does not count, what has gone before does."""
    service = ModelledService(0.0, 1.0, lifetime_s=5.0)
    result = simulation(service, slo=SLO(30.0)).run([at / 5 for at in range(1, 150)])
    assert result.replica_seconds == pytest.approx(result.replica_seconds_until(149 / 5))
    assert result.replica_seconds <= 149 / 5 + 1e-9
    run = simulation(ModelledService(0.0, 0.010))
    longer = run.run_all({"f": [1.0]}, until_s=100.0)["f"]
    assert longer.replica_seconds == pytest.approx(100.0)
    assert longer.duration_s == pytest.approx(100.0)

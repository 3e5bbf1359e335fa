"""What holds for every fleet, whatever its traffic, its pool and its failures."""

from __future__ import annotations

import sys
from itertools import pairwise
from math import sqrt
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from platform_world import Platform

from sojourn.core.controller import Controller
from sojourn.domain.action import DrainReplica, LeaseReplica, StartReplica
from sojourn.domain.demand import DemandReport, ServiceTimes
from sojourn.domain.event import DemandReported, FunctionDeployed, ReplicaReady, ScaleRequested
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import FixedKeepAlive
from sojourn.domain.request import Outcome
from sojourn.domain.resources import Resources
from sojourn.sim.replica import ModelledService, ModelledStart
from sojourn.workload.arrivals import steps

pieces = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 5.0, 40.0]), st.sampled_from([0.5, 3.0, 12.0])), min_size=1, max_size=5
)
seeds = st.integers(0, 10_000)


def starts_that_fail(seed: int, share: float, cold_start_s: float):
    """Each start fails by this chance, drawn from its number, and takes between half and twice its time."""

    def start(number: int) -> ModelledStart:
        rng = Random(f"{seed}/{number}")
        is_failure = rng.random() < share
        return ModelledStart(cold_start_s * (0.5 + 1.5 * rng.random()), "OSError: no weights" if is_failure else "")

    return start


@st.composite
def platforms(draw) -> tuple[Platform, dict[str, list[float]]]:
    """One to three functions, a small pool, kills, scale commands, failing starts, and their arrivals."""
    seed = draw(seeds)
    functions, arrivals = [], {}
    for name in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        floor = draw(st.sampled_from([0, 0, 1, 2]))
        function = FunctionSettings(
            name=name,
            slo=draw(st.sampled_from([SLO(0.1), SLO(0.5), None])),
            max_batch_size=4,
            min_replicas=floor,
            max_replicas=draw(st.sampled_from([None, max(floor, 1), 3 + floor])),
            cpus=draw(st.sampled_from([0.5, 1.0])),
            weight=draw(st.sampled_from([1.0, 3.0])),
            keepalive=FixedKeepAlive(draw(st.sampled_from([0.0, 1.0, 8.0]))),
            timeout_s=5.0,
            start_timeout_s=draw(st.sampled_from([2.0, 20.0])),
        )
        failing = starts_that_fail(seed, draw(st.sampled_from([0.0, 0.0, 0.5, 1.0])), 1.0)
        functions.append((function, ModelledService(0.01, 0.03, sigma=0.2, starts=failing)))
        arrivals[name] = list(steps(draw(pieces), Random(seed)))
    kills = draw(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 12)), max_size=4))
    commands = st.builds(
        ScaleRequested,
        st.sampled_from(list(arrivals)),
        st.sampled_from([None, 0, 2, 50]),
        st.sampled_from([None, 1, 9]),
    )
    scalings = draw(st.lists(st.tuples(st.floats(0, 20), commands), max_size=3))
    platform = Platform(Resources(draw(st.sampled_from([1.5, 3.0, 6.0])), 0.0, 2**40), functions, kills, scalings, seed)
    return platform, arrivals


@given(platforms())
@settings(max_examples=60, deadline=None)
def test_pool_limits_starts_and_requests_are_accounted_for_at_every_step(drawn):
    """Never above the pool or a ceiling, never below a floor but in a backoff; one outcome, one fate, all seconds."""
    platform, arrivals = drawn
    platform.run(arrivals).check_books()


@given(platforms())
@settings(max_examples=15, deadline=None)
def test_the_same_inputs_give_the_same_actions(drawn):
    """Every step of two runs is equal."""
    platform, arrivals = drawn
    first = platform.run(arrivals).trace
    assert platform.run(arrivals).trace == first


@given(
    gaps_s=st.lists(st.sampled_from([0.0, 0.01, 0.26, 0.9, 1.0, 1.01, 2.0, 11.0]), min_size=2, max_size=25),
    keep_s=st.sampled_from([0.0, 0.25, 1.0]),
    cold_start_s=st.sampled_from([0.0, 0.3, 2.0]),
    cpus=st.sampled_from([1.0, 4.0]),
)
@settings(max_examples=60, deadline=None)
def test_no_request_is_lost_to_a_scale_down(gaps_s, keep_s, cold_start_s, cpus):
    """To zero and back as often as may be, arrivals in the very instants of the teardown: all are served."""
    function = FunctionSettings(
        name="a", max_batch_size=4, keepalive=FixedKeepAlive(keep_s), timeout_s=1.0, start_timeout_s=60.0
    )
    instants, now_s = [], 5.0
    for gap_s in gaps_s:
        now_s += gap_s
        instants.append(now_s)
    platform = Platform(
        Resources(cpus, 0.0, 2**40), [(function, ModelledService(0.0, 0.02, cold_start_s=cold_start_s))]
    ).run({"a": instants})
    platform.check_books()
    assert platform.results["a"].outcomes[Outcome.SERVED] == len(instants)
    waited_s = max(platform.results["a"].latencies_s)
    assert waited_s <= cold_start_s + 0.02 * len(instants) + 0.5, "a start was late"


def test_those_queued_when_the_last_replica_is_taken_wait_for_the_next_start():
    """Five arrive 10 ms before the keep-alive ends, before a report tells of them: they outlive the cold start."""
    function = FunctionSettings(
        name="a", max_batch_size=2, keepalive=FixedKeepAlive(1.0), timeout_s=1.0, start_timeout_s=60.0
    )

    def run(instants):
        platform = Platform(Resources(4, 0.0, 2**40), [(function, ModelledService(0.0, 0.03, cold_start_s=2.0))])
        return platform.run({"a": instants})

    drained_at_s = next(
        now_s
        for now_s, _, actions in run([5.0, 20.0]).trace
        if now_s > 5.0 and any(isinstance(action, DrainReplica) for action in actions)
    )
    platform = run([5.0, *[drained_at_s - 0.01] * 5, 20.0])
    platform.check_books()
    assert platform.results["a"].outcomes[Outcome.SERVED] == 7
    assert sum(latency_s > 1.0 for latency_s in platform.results["a"].latencies_s) >= 3, "it was not that moment"


def poisson_count(mean: float, rng: Random) -> int:
    """A Poisson count; for large means by its normal limit."""
    if mean > 60.0:
        return max(round(rng.gauss(mean, sqrt(mean))), 0)
    count, left = 0, rng.expovariate(1.0)
    while left < mean:
        count += 1
        left += rng.expovariate(1.0)
    return count


def targets_under_constant_load(per_s: float, service: ServiceTimes, seed: int, cold_start_s: float) -> list[int]:
    """The target after each report of seven minutes of Poisson traffic at one rate."""
    rng, controller = Random(seed), Controller(Random(seed))
    controller.step(FunctionDeployed(FunctionSettings(name="f", slo=SLO(0.1), max_replicas=200)), 0.0)
    events: list[tuple[float, int]] = [(cold_start_s, 1)]
    arrivals, targets = 0, []
    for quarter in range(1, 4 * 420 + 1):
        now_s = quarter / 4
        orders = []
        for due_s, replica_id in [event for event in events if event[0] <= now_s]:
            events.remove((due_s, replica_id))
            orders += controller.step(ReplicaReady(replica_id), now_s)
        arrivals += poisson_count(per_s / 4, rng)
        ready = sum(member.ready_at_s is not None for member in controller.members("f"))
        report = DemandReport(
            function="f", arrivals=arrivals, ongoing=1 + poisson_count(per_s / 50, rng), replicas=ready, service=service
        )
        orders += controller.step(DemandReported(report), now_s)
        controller.check(now_s)
        events += [(now_s + cold_start_s, order.replica_id) for order in orders if isinstance(order, StartReplica)]
        assert all(order.replica_id for order in orders if isinstance(order, LeaseReplica))
        targets.append(controller.target("f"))
    return targets


def times(alpha_s: float, beta_s: float, largest: int) -> ServiceTimes:
    mean_s = (0.0, *(alpha_s * size + beta_s for size in range(1, largest + 1)))
    return ServiceTimes(1, mean_s, tuple(1.2 * value for value in mean_s), largest, 1000)


@pytest.mark.parametrize("service", [times(0.0005, 0.005, 8), times(0.005, 0.01, 8), times(0.001, 0.02, 32)])
@given(per_s=st.floats(5.0, 3000.0), seed=seeds, cold_start_s=st.sampled_from([0.5, 3.0, 8.0]))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_constant_load_does_not_make_the_fleet_oscillate(service, per_s, seed, cold_start_s):
    """After two minutes of Poisson traffic the target changes at most once in the five that follow."""
    settled = targets_under_constant_load(per_s, service, seed, cold_start_s)[4 * 120 :]
    changes = sum(before != after for before, after in pairwise(settled))
    assert changes <= 1

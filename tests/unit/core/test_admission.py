"""Who is let in under overload, and who is told at once that it is no use."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.admission import QueueBounds
from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import Finish
from sojourn.domain.event import RequestAnnounced, RequestArrived
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.domain.request import Fault, Outcome, Priority
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.workload.arrivals import poisson, steps

SERVICE = ModelledService(alpha_s=0.0005, beta_s=0.005)
CAPACITY_PER_S = SERVICE.capacity_per_s(32)


def build(observe=None, **options) -> tuple[Dispatcher, Simulation]:
    settings = FunctionSettings(**{"name": "f", "slo": SLO(0.05), "max_batch_size": 32, "max_replicas": 1, **options})
    dispatcher = Dispatcher(settings, batching_policy(settings.batching), QueueBounds())
    return dispatcher, Simulation(dispatcher, Controller(Random(1)), SERVICE, Random(1), observe)


@pytest.mark.parametrize("overload", ["late", "shed"])
@pytest.mark.parametrize("factor", [1.5, 2.0, 10.0])
def test_overload_is_refused_at_once_and_goodput_stands(overload: str, factor: float):
    """At 1.5, 2 and 10 times capacity: goodput near capacity, the rest refused, hardly anyone left to time out."""
    _, run = build(overload=overload)
    result = run.run(poisson(factor * CAPACITY_PER_S, 10.0, Random(3)), transient_s=3.0)
    assert result.goodput_per_s > 0.95 * CAPACITY_PER_S
    assert result.outcomes[Outcome.EXPIRED] <= 0.01 * result.sent
    assert result.outcomes[Outcome.SHED] >= (1 - 1 / factor - 0.05) * result.sent


def test_a_short_burst_is_served_late_rather_than_refused():
    """Three times capacity for a tenth of a second, with the default overload="late": all are answered."""
    _, run = build()
    rates = [(0.3 * CAPACITY_PER_S, 5.0), (3 * CAPACITY_PER_S, 0.1), (0.3 * CAPACITY_PER_S, 2.0)]
    result = run.run(steps(rates, Random(4)))
    assert result.outcomes[Outcome.SERVED] == result.sent


def test_within_capacity_nobody_is_refused():
    """At nine tenths of capacity admission stays out of the way."""
    _, run = build()
    result = run.run(poisson(0.9 * CAPACITY_PER_S, 20.0, Random(5)), transient_s=2.0)
    assert result.outcomes[Outcome.SHED] == 0
    assert result.within_share > 0.99


def test_normal_again_within_a_second_after_tenfold_overload():
    """Ten times capacity for five seconds, then half: from one second later on everyone is in time."""
    finished: list[tuple[float, float]] = []
    arrivals = list(
        steps([(0.5 * CAPACITY_PER_S, 3.0), (10 * CAPACITY_PER_S, 5.0), (0.5 * CAPACITY_PER_S, 5.0)], Random(6))
    )

    def note(event, now_s, actions) -> None:
        ends = [a for a in actions if isinstance(a, Finish) and a.outcome is Outcome.SERVED]
        finished.extend((now_s - end.latency_s, end.latency_s) for end in ends)

    _, run = build(observe=note)
    run.run(arrivals)
    after = [latency_s for arrived_s, latency_s in finished if arrived_s > 9.0]
    assert len(after) > 2000
    assert sum(latency_s <= 0.05 for latency_s in after) >= 0.999 * len(after)


def test_an_announced_request_is_refused_before_its_body_or_leaves_no_trace():
    """While overloaded it ends at its headers, counted; while there is room nothing is kept until it arrives."""
    in_order = BATCHING_BY_NAME["need"]  # the default lets the newest in, and others give way
    dispatcher, run = build(batching=in_order)
    run.run(poisson(3 * CAPACITY_PER_S, 5.0, Random(7)), limit_s=4.0)
    shed = dispatcher.ledger.ended[Outcome.SHED]
    (end,) = dispatcher.step(RequestAnnounced(10**9), 4.0)
    assert (end.request_id, end.outcome, end.fault) == (10**9, Outcome.SHED, Fault.OVERLOADED)
    assert end.retry_after_s >= 1.0
    assert dispatcher.ledger.ended[Outcome.SHED] == shed + 1
    dispatcher.check(4.0)

    idle, run = build()
    run.run(poisson(0.1 * CAPACITY_PER_S, 1.0, Random(7)))
    accepted = idle.ledger.accepted
    assert idle.step(RequestAnnounced(10**9), 2.0) == []
    assert (idle.ledger.accepted, idle.in_flight) == (accepted, 0)
    idle.check(2.0)


SPELLS = {
    "longer than the objective": (0.0002, 0.02, 0.1, 64, 3.0, 2.0),
    "a stall": (0.0005, 0.005, 0.05, 32, 20.0, 0.3),
    "a noisy neighbour": (0.00005, 0.0012, 0.15, 128, 3.0, 2.0),
}


@pytest.mark.parametrize("overload", ["late", "shed"])
@pytest.mark.parametrize("load", [0.5, 0.9])
@pytest.mark.parametrize("spell", SPELLS)
def test_a_slow_spell_is_forgotten(spell: str, load: float, overload: str):
    """Batches take many times as long for a while; four seconds after that everyone is in time again."""
    alpha_s, beta_s, sigma, largest, factor, length_s = SPELLS[spell]

    class Slow(ModelledService):
        def duration_s(self, size, rng):
            return super().duration_s(size, rng) * (factor if 3.0 <= now_s < 3.0 + length_s else 1.0)

    now_s = 0.0
    counts = {"all": 0, "in time": 0}

    def note(event, at_s, actions) -> None:
        nonlocal now_s
        now_s = at_s
        if at_s > 7.0 + length_s:
            ends = [a for a in actions if isinstance(a, Finish)]
            counts["all"] += len(ends)
            counts["in time"] += sum(e.outcome is Outcome.SERVED and e.latency_s <= 0.1 for e in ends)

    settings = FunctionSettings(name="f", slo=SLO(0.1), max_batch_size=largest, max_replicas=1, overload=overload)
    dispatcher = Dispatcher(settings, batching_policy(settings.batching))
    service = Slow(alpha_s, beta_s, sigma)
    run = Simulation(dispatcher, Controller(Random(1)), service, Random(1), note)
    run.run(poisson(load * service.capacity_per_s(largest), 11.0 + length_s, Random(2)))
    assert counts["all"] > 1000
    assert counts["in time"] >= 0.99 * counts["all"]


def test_an_objective_that_cannot_be_met_is_no_reason_to_idle():
    """One item alone takes three objectives: large batches are answered late, at nearly the replica's capacity."""
    settings = FunctionSettings(name="f", slo=SLO(0.1), max_batch_size=32, max_replicas=1, timeout_s=2.0)
    dispatcher = Dispatcher(settings, batching_policy(settings.batching))
    service = ModelledService(alpha_s=0.001, beta_s=0.3)
    result = Simulation(dispatcher, Controller(Random(1)), service, Random(1)).run(poisson(70.0, 20.0, Random(2)))
    assert dispatcher.infeasible_s is not None
    assert result.outcomes[Outcome.SERVED] >= 0.9 * result.sent


@pytest.mark.parametrize("batching", ["need", "slo"])
def test_lower_classes_are_refused_first(batching: str):
    """In overload by default requests a critical one is always let in, and best effort no more often than default."""
    refused = dict.fromkeys(Priority, 0)

    def ask(event, now_s, actions) -> None:
        if isinstance(event, RequestArrived) and now_s > 3.0:
            for priority in Priority:
                refused[priority] += bool(dispatcher.step(RequestAnnounced(10**9, priority=priority), now_s))

    dispatcher, run = build(observe=ask, batching=BATCHING_BY_NAME[batching])
    run.run(poisson(3 * CAPACITY_PER_S, 5.0, Random(8)))
    assert refused[Priority.CRITICAL] == 0
    assert refused[Priority.BEST_EFFORT] >= refused[Priority.DEFAULT]
    assert refused[Priority.BEST_EFFORT] > 1000

"""Who is let in under overload, and who is told at once that it is no use."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.admission import QueueBounds
from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import Finish
from sojourn.domain.event import RequestArrived
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.request import Fault, Outcome, Priority
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.workload.arrivals import poisson, steps

SERVICE = ModelledService(alpha_s=0.0005, beta_s=0.005)
CAPACITY_PER_S = SERVICE.capacity_per_s(32)


def build(observe=None, **options) -> tuple[Dispatcher, Simulation]:
    settings = FunctionSettings(**{"name": "f", "slo": SLO(0.05), "max_batch_size": 32, **options})
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


def test_asking_before_the_body_changes_nothing():
    """`refusal` is a question: the same dispatcher answers the same, and its books are untouched."""
    dispatcher, run = build()
    run.run(poisson(3 * CAPACITY_PER_S, 5.0, Random(7)), limit_s=4.0)
    accepted = dispatcher.ledger.accepted
    verdicts = {dispatcher.refusal(RequestArrived(10**9), 4.0) for _ in range(3)}
    assert len(verdicts) == 1
    assert dispatcher.ledger.accepted == accepted
    dispatcher.check(4.0)


def test_lower_classes_are_refused_first():
    """In overload by default requests a critical one is always let in, and best effort no more often than default."""
    refused = dict.fromkeys(Priority, 0)

    def ask(event, now_s, actions) -> None:
        if isinstance(event, RequestArrived) and now_s > 3.0:
            for priority in Priority:
                question = RequestArrived(10**9, priority=priority)
                refused[priority] += dispatcher.refusal(question, now_s) is Fault.OVERLOADED

    dispatcher, run = build(observe=ask)
    run.run(poisson(3 * CAPACITY_PER_S, 5.0, Random(8)))
    assert refused[Priority.CRITICAL] == 0
    assert refused[Priority.DEFAULT] > 1000
    assert refused[Priority.BEST_EFFORT] >= refused[Priority.DEFAULT]

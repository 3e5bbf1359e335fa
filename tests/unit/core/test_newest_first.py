"""Past saturation the newest are served: who came first gives way, where that serves more."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import DispatchBatch, Finish
from sojourn.domain.event import BatchCompleted, ReplicaLeased, RequestArrived
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.request import Fault, Outcome
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.need import NeedPolicy
from sojourn.policy.batching.port import BatchingPolicy
from sojourn.policy.batching.slo import SLOPolicy
from sojourn.sim.arrival import Arrival
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.workload.arrivals import poisson

ALPHA_S, BETA_S = 0.001, 0.020
RATE_PER_S = 1500.0  # two and a half times what batches of 30 within half the objective carry


def accelerator(policy: BatchingPolicy, overload: str = "late") -> Dispatcher:
    """A function on an accelerator whose times are known."""
    model = ServiceTimeModel(64)
    for index in range(200):
        size = index % 64 + 1
        model.observe(size, ALPHA_S * size + BETA_S, index * 0.01)
    settings = FunctionSettings(name="f", slo=SLO(0.1), max_batch_size=64, max_replicas=1, overload=overload)
    return Dispatcher(settings, policy, model=model)


class Overloaded:
    """One replica that runs a batch, and arrivals far past what it can do, for two seconds; what became of whom."""

    def __init__(self, policy: BatchingPolicy, *, overload: str = "late", priority_of=lambda number: 1) -> None:
        self.dispatcher = accelerator(policy, overload)
        self.refused: dict[int, float] = {}  # by id: how old
        self.last_batch: list[int] = []
        arrived_s: dict[int, float] = {}
        now_s, ends_s = 10.0, None
        self.dispatcher.step(ReplicaLeased(1, 1), now_s)
        for number in range(int(2 * RATE_PER_S)):
            now_s = 10.0 + number / RATE_PER_S
            while ends_s is not None and ends_s[0] <= now_s:
                ends_s = self._take(self.dispatcher.step(BatchCompleted(1, ends_s[1]), ends_s[0]), ends_s[0], arrived_s)
            arrived_s[number] = now_s
            event = RequestArrived(request_id=number, body_bytes=1, priority=priority_of(number))
            ends_s = self._take(self.dispatcher.step(event, now_s), now_s, arrived_s) or ends_s
            self.dispatcher.check(now_s)

    def _take(self, actions, now_s, arrived_s):
        running = None
        for action in actions:
            if isinstance(action, DispatchBatch):
                self.last_batch = list(action.request_ids)
                running = (now_s + ALPHA_S * len(action.request_ids) + BETA_S, action.batch_id)
            elif isinstance(action, Finish) and action.fault is Fault.OVERLOADED:
                self.refused[action.request_id] = now_s - arrived_s[action.request_id]
        return running


@pytest.mark.parametrize("overload", ["late", "shed"])
def test_the_oldest_give_way_to_the_newest(overload):
    """Refused are those who waited, after no longer than it takes two batches to arrive; the batch is larger."""
    newest, in_order = Overloaded(SLOPolicy(), overload=overload), Overloaded(NeedPolicy(), overload=overload)
    assert len(in_order.refused) > 1000
    after_the_start = [age_s for number, age_s in newest.refused.items() if number > 0.5 * RATE_PER_S]
    assert 0.02 < max(after_the_start) < 0.07
    assert len(newest.last_batch) > 1.2 * len(in_order.last_batch)


def simulated(policy: BatchingPolicy, replicas: int, load_per_s: float, overload: str = "late"):
    """Ten seconds of noisy accelerators."""
    settings = FunctionSettings(
        name="f", slo=SLO(0.1), max_batch_size=64, min_replicas=replicas, max_replicas=replicas, overload=overload
    )
    service = ModelledService(ALPHA_S, BETA_S, sigma=0.2)
    simulation = Simulation(Dispatcher(settings, policy), Controller(Random(1)), service, Random(1))
    return simulation.run(poisson(load_per_s, 10.0, Random(2)), transient_s=3.0)


@pytest.mark.parametrize(("replicas", "load_per_s", "gain"), [(1, 1200.0, 1.1), (2, 2700.0, 1.07), (4, 6000.0, 1.03)])
def test_it_serves_more_in_time(replicas: int, load_per_s: float, gain: float):
    """Noisy accelerators at twice their capacity: up to a tenth more requests in time than in the order of arrival."""
    newest, in_order = (simulated(policy, replicas, load_per_s) for policy in (SLOPolicy(), NeedPolicy()))
    assert newest.within_slo > gain * in_order.within_slo


@pytest.mark.parametrize("overload", ["late", "shed"])
def test_who_was_passed_over_is_told_by_the_deadline(overload: str):
    """A tenth more than can be served: hardly anybody of 10,500 is left to time out after ten objectives."""
    result = simulated(SLOPolicy(), 2, 1500.0, overload)
    assert result.outcomes[Outcome.EXPIRED] < (1 if overload == "shed" else 50)
    assert result.outcomes[Outcome.SHED] > 500


@pytest.mark.parametrize(("replicas", "noise"), [(1, 0.0), (4, 0.0), (4, 0.2)])
@pytest.mark.parametrize(("load", "least"), [(0.3, 0.98), (0.7, 0.95), (1.2, 0.65)])
def test_an_objective_that_cannot_be_met_stops_nobody_from_being_served(replicas, noise, load, least):
    """A call takes 1.1 s and more for an objective of one: late answers by ever larger batches, not few lucky ones in time."""
    settings = FunctionSettings(name="f", slo=SLO(1.0), max_batch_size=32, min_replicas=replicas, max_replicas=replicas)
    service = ModelledService(0.010, 1.1, sigma=noise)
    simulation = Simulation(Dispatcher(settings, SLOPolicy()), Controller(Random(1)), service, Random(1))
    result = simulation.run(poisson(load * service.capacity_per_s(32, replicas), 120.0, Random(2)))
    assert result.outcomes[Outcome.SERVED] > least * result.sent


@pytest.mark.parametrize("load", [0.9, 1.5, 3.0])
def test_past_the_capacity_as_many_are_served_late_as_it_carries(load: float):
    """Any batch takes 0.2 s for an objective of 50 ms and a timeout of 1 s: nobody runs into the timeout behind others."""
    settings = FunctionSettings(
        name="f", slo=SLO(0.05), max_batch_size=8, min_replicas=1, max_replicas=1, timeout_s=1.0
    )
    simulation = Simulation(
        Dispatcher(settings, SLOPolicy()), Controller(Random(1)), ModelledService(0.00001, 0.2), Random(1)
    )
    result = simulation.run(poisson(load * 40.0, 60.0, Random(2)), transient_s=3.0)
    assert result.outcomes[Outcome.SERVED] > 0.95 * min(load, 1.0) * 40.0 * 57.0
    assert result.outcomes[Outcome.EXPIRED] < 0.01 * result.sent


def test_nobody_gives_way_to_another_class():
    """With two classes of priority places are given in order, as the lower class must not push out the higher."""
    mixed = Overloaded(SLOPolicy(), priority_of=lambda number: number % 2)
    assert max(mixed.refused.values()) == pytest.approx(0.0)


def slow_items(policy: BatchingPolicy) -> Dispatcher:
    """A function of which one item takes most of the objective, known to."""
    model = ServiceTimeModel(8)
    for index in range(40):
        model.observe(index % 2 + 1, 0.070 * (index % 2 + 1) + 0.010, index * 0.1)
    settings = FunctionSettings(name="f", slo=SLO(0.1), max_batch_size=8, min_replicas=1, max_replicas=1)
    return Dispatcher(settings, policy, model=model)


def test_a_replica_stays_free_for_the_next_rather_than_serve_the_hopeless():
    """Items of four fifths of the objective, thrice as many as can be served: who is too old for it takes no replica."""
    newest, in_order = (
        Simulation(slow_items(policy), Controller(Random(1)), ModelledService(0.070, 0.010), Random(1)).run(
            poisson(37.5, 100.0, Random(2)), transient_s=3.0
        )
        for policy in (SLOPolicy(), NeedPolicy())
    )
    assert newest.within_slo > 0.97 * in_order.within_slo


def test_an_idle_replica_tries_one_who_is_believed_hopeless():
    """Clients with too short a deadline are not all refused: otherwise nobody would learn that items became quicker."""
    dispatcher = slow_items(SLOPolicy())
    dispatcher.step(ReplicaLeased(1, 1), 10.0)
    running = set()
    for number in range(200):
        now_s = 10.0 + number * 0.02
        events = [BatchCompleted(1, batch_id) for batch_id in running if number % 10 == 5]
        events.append(RequestArrived(request_id=number, body_bytes=1, client_timeout_s=0.05))
        for event in events:
            actions = dispatcher.step(event, now_s)
            running = running if isinstance(event, RequestArrived) else set()
            running |= {action.batch_id for action in actions if isinstance(action, DispatchBatch)}
            dispatcher.check(now_s)
    assert dispatcher.model.samples > 50


def test_two_classes_are_served_in_order_all_the_time():
    """One of ten requests of a higher class: nothing is lost by changing between the newest and order with each of them."""
    settings = FunctionSettings(name="f", slo=SLO(0.1), max_batch_size=64, min_replicas=4, max_replicas=4)
    served = []
    for policy in (SLOPolicy(), NeedPolicy()):
        chance = Random(2)
        arrivals = [Arrival(at_s, priority=chance.random() >= 0.1) for at_s in poisson(4000.0, 8.0, chance)]
        service = ModelledService(ALPHA_S, BETA_S, sigma=0.1)
        simulation = Simulation(Dispatcher(settings, policy), Controller(Random(1)), service, Random(1))
        served.append(simulation.run(arrivals, transient_s=3.0).within_slo)
    assert served[0] > served[1]

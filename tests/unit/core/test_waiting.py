"""A policy that waits is asked again only when there is something to decide."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.admission import QueueBounds
from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import DispatchBatch, Finish
from sojourn.domain.event import ClientGone, ReplicaLeased, RequestAnnounced, RequestArrived
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME, Fixed
from sojourn.domain.request import Fault
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.policy.batching.port import BatchingView, Send, Wait
from sojourn.policy.batching.slo import SLOPolicy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.workload.arrivals import poisson


class Counted(SLOPolicy):
    """The default, with a count of its answers; told that it is not patient, it asks to be asked at every arrival."""

    def __init__(self, *, is_patient: bool) -> None:
        super().__init__()
        self.asked = 0
        self._is_patient = is_patient

    def decide(self, view: BatchingView) -> Send | Wait:
        self.asked += 1
        answer = super().decide(view)
        if isinstance(answer, Wait) and not self._is_patient:
            return Wait(answer.until_s, answer.sacrifice)
        return answer


def batches_of(policy: Counted, load_per_s: float) -> list[tuple[float, int]]:
    """When batches of which size went to four modelled accelerators."""
    settings = FunctionSettings(name="f", slo=SLO(0.1), max_batch_size=64, min_replicas=4, max_replicas=4)
    sent: list[tuple[float, int]] = []

    def see(event: object, now_s: float, actions: list[object]) -> None:
        sent.extend((now_s, len(action.request_ids)) for action in actions if hasattr(action, "request_ids"))

    simulation = Simulation(
        Dispatcher(settings, policy),
        Controller(Random(1)),
        ModelledService(0.001, 0.020, sigma=0.2),
        Random(1),
        see,
    )
    simulation.run(poisson(load_per_s, 3.0, Random(2)))
    return sent


@pytest.mark.parametrize("load_per_s", [1200.0, 2400.0])
def test_what_is_not_asked_would_not_have_been_answered_otherwise(load_per_s):
    """The same batches at the same instants as when every arrival asks, for fewer questions."""
    patient, eager = Counted(is_patient=True), Counted(is_patient=False)
    assert batches_of(patient, load_per_s) == batches_of(eager, load_per_s)
    assert patient.asked < 0.6 * eager.asked


@pytest.mark.parametrize("load", [0.9, 2.0])
@pytest.mark.parametrize("name", sorted(BATCHING_BY_NAME))
def test_a_full_queue_waits_for_nobody(name: str, load: float):
    """With room for thirty, less than the batches that would be best: nobody is refused while a replica is free."""
    spec = BATCHING_BY_NAME[name]
    settings = FunctionSettings(
        name="f", slo=SLO(0.1), max_batch_size=64, min_replicas=4, max_replicas=4, batching=spec
    )
    dispatcher = Dispatcher(settings, batching_policy(spec), QueueBounds(requests=30))
    free: list[int] = []

    def see(event: object, now_s: float, actions: list[object]) -> None:
        free.extend(
            dispatcher._leases.free_slots for action in actions if getattr(action, "fault", 0) is Fault.QUEUE_FULL
        )

    service = ModelledService(0.001, 0.020, sigma=0.1)
    simulation = Simulation(dispatcher, Controller(Random(1)), service, Random(1), see)
    result = simulation.run(poisson(load * 2780.0, 3.0, Random(2)))
    assert len(free) > 0.1 * result.sent
    assert not any(free)


@pytest.mark.parametrize("event", [RequestArrived, RequestAnnounced])
@pytest.mark.parametrize(("body_bytes", "sent"), [(95, [[1]]), (101, [])])
def test_nobody_is_hurried_by_a_body_too_large_for_an_empty_queue(event, body_bytes: int, sent: list[list[int]]):
    """One of ten bytes waits for three more, with room for a hundred: 95 need its place, 101 will never be let in."""
    settings = FunctionSettings(name="f", slo=SLO(1.0), max_batch_size=8, batching=Fixed(size=4, wait_s=0.02))
    dispatcher = Dispatcher(settings, batching_policy(settings.batching), QueueBounds(bytes=100), known())
    dispatcher.step(ReplicaLeased(1, 1), 1.0)
    dispatcher.step(RequestArrived(request_id=1, body_bytes=10), 1.0)
    actions = dispatcher.step(event(request_id=2, body_bytes=body_bytes), 1.01)
    assert [action.request_ids for action in actions if isinstance(action, DispatchBatch)] == sent
    assert [action.fault for action in actions if isinstance(action, Finish)] == [Fault.QUEUE_FULL]
    dispatcher.check(1.01)


def test_a_wait_that_was_overslept_ends_with_whatever_happens_next():
    """The process stood still past the end of the wait; the first it hears of is no news to the queue."""
    settings = FunctionSettings(name="f", slo=SLO(1.0), max_batch_size=8, batching=Fixed(size=4, wait_s=0.02))
    dispatcher = Dispatcher(settings, batching_policy(settings.batching), model=known())
    dispatcher.step(ReplicaLeased(1, 1), 1.0)
    assert dispatcher.step(RequestArrived(request_id=1, body_bytes=1), 1.0) == []
    assert dispatcher.next_wake_at_s == pytest.approx(1.02)
    actions = dispatcher.step(ClientGone(request_id=77), 1.5)
    assert [action.request_ids for action in actions] == [[1]]
    dispatcher.check(1.5)


def known() -> ServiceTimeModel:
    """Service times of ten milliseconds, whatever the size."""
    model = ServiceTimeModel(8)
    for index in range(60):
        model.observe(index % 8 + 1, 0.01, index * 0.01)
    return model

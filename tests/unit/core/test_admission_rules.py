"""One arrival at a time against hand-made queues: bounds, promises of clients, the late lane, doubt, tolerance."""

from __future__ import annotations

from math import inf

import pytest

from sojourn.core.admission import Admission, QueueBounds
from sojourn.core.backlog import Backlog
from sojourn.core.lease import Batch, Leases
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.request import Fault, Request
from sojourn.estimate.rate import EventRate
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.port import QueueEntry
from sojourn.policy.batching.simple import NonePolicy

NOW_S = 100.0


class Desk:
    """Admission of a function that serves one at a time in 10 ms, all its replicas busy since `since_s`.

    Args:
        durations_s: What the batches took that the model has seen.
        replicas: How many replicas there are.
        since_s: When they began what they run.
        latency_s: The objective.
        bounds: Of the queue.
        overload: What becomes of those who would be late.
        room: How many the batching policy lets stay queued while it serves the newest; 0: it does not.
    """

    def __init__(
        self,
        durations_s=(0.01,) * 40,
        *,
        replicas: int = 1,
        since_s: float = NOW_S,
        latency_s: float = 0.1,
        bounds: QueueBounds | None = None,
        overload: str = "late",
        room: int = 0,
    ) -> None:
        self.latency_s = latency_s
        self.backlog = Backlog(heeds_deadlines=True)
        self.leases = Leases()
        self.model = ServiceTimeModel(1)
        for index, duration_s in enumerate(durations_s):
            self.model.observe(1, duration_s, index * 0.5)
        self.rate = EventRate(2.0, cells=20)
        for replica_id in range(1, replicas + 1):
            self.leases.add(replica_id, 1)
            running = Batch(replica_id, replica_id, [self.request()], since_s, inf, inf, 1)
            self.leases.begin(self.leases.by_id[replica_id], running)
        settings = FunctionSettings(name="f", slo=SLO(latency_s), max_batch_size=1, timeout_s=1.0, overload=overload)
        policy = NonePolicy()
        policy.room = room
        parts = (self.backlog, self.leases, self.model, self.rate, policy)
        self.admission = Admission(settings, bounds or QueueBounds(), *parts)

    def request(self, body_bytes: int = 10, client_s: float = inf, priority: int = 1) -> Request:
        number = len(self.backlog.requests) + 1
        deadline_s, give_up_s = min(self.latency_s, client_s), min(1.0, client_s)
        return Request(number, NOW_S, NOW_S + deadline_s, NOW_S + give_up_s, NOW_S + 60.0, priority, body_bytes)

    def queue(self, count: int, *, late: bool = False, priority: int = 1) -> None:
        for _ in range(count):
            self.backlog.admit(self.request(priority=priority))
        if late:
            self.set_aside(count)

    def set_aside(self, count: int) -> list[QueueEntry]:
        """Put so many into the late lane; who they are."""
        entries = self.backlog.on_time.take(count)
        self.backlog.set_aside(entries)
        return entries

    def verdict(self, **options) -> Fault | None:
        return self.admission.refusal(self.request(**options), NOW_S)


def test_the_last_byte_that_fits_is_taken_and_the_next_is_not():
    """A bound of 100 bytes with 60 held: 40 more fit, 41 do not."""
    desk = Desk(bounds=QueueBounds(bytes=100))
    desk.backlog.admit(desk.request(60))
    assert desk.verdict(body_bytes=40) is None
    assert desk.verdict(body_bytes=41) is Fault.QUEUE_FULL


def test_a_client_in_more_hurry_than_the_function_is_judged_by_its_own_time():
    """The replica is free again in 10 ms: who gives up in 15 ms cannot be served, who asks for 25 ms can."""
    desk = Desk()
    assert desk.verdict(client_s=0.015) is Fault.OVERLOADED
    assert desk.verdict(client_s=0.025) is None
    assert desk.verdict() is None


def test_who_would_be_late_waits_only_while_the_late_lane_drains_in_time():
    """Behind twelve in time it is late by 40 ms; behind a hundred late ones as well it would outlive its timeout."""
    desk = Desk()
    desk.queue(12)
    assert desk.verdict() is None
    desk.queue(100, late=True)
    assert desk.verdict() is Fault.OVERLOADED


@pytest.mark.parametrize(
    ("arrivals", "overload", "surplus"), [(0, "late", 10), (75, "late", 55), (225, "late", 100), (0, "shed", 100)]
)
def test_the_late_lane_keeps_whom_the_capacity_left_over_serves_before_they_give_up(arrivals, overload, surplus):
    """A hundred are late for another 0.9 s at most; of 100 a second the arrivals of the last 1.5 s leave 100, 50, none."""
    desk = Desk(overload=overload)
    desk.queue(100, late=True)
    desk.rate.record(NOW_S - 1.5, arrivals)
    assert desk.admission.late_surplus(NOW_S) == surplus


@pytest.mark.parametrize("arrivals", [75, 225])
def test_where_nobody_can_be_in_time_all_capacity_is_the_late_lane_s(arrivals):
    """One alone takes twice the objective: a hundred a second for a second less two batches, whatever else arrives."""
    desk = Desk(latency_s=0.005)
    desk.queue(100, late=True)
    desk.rate.record(NOW_S - 1.5, arrivals)
    assert desk.admission.late_surplus(NOW_S) == pytest.approx(100 - 98, abs=1)


@pytest.mark.parametrize(
    ("classes", "arrivals", "gone"),
    [
        ((2, 0), 0, [1, 89]),  # two too many: the one of the lowest class, then of the next class who came first
        ((1, 1), 0, [90, 91]),  # all of one class: of those who came now the first two
        ((2, 0), 225, [90, 91, 92]),  # under overload all who came now
    ],
)
def test_the_late_lane_does_not_get_to_the_lowest_classes(classes: tuple[int, int], arrivals: int, gone: list[int]):
    """It gets to ninety: 88 of the class between are in it and one of the lowest class, when a critical one and two more come."""
    desk = Desk()
    desk.queue(88, late=True)
    desk.queue(1, late=True, priority=classes[0])
    desk.queue(1, priority=classes[1])
    desk.queue(2)
    desk.rate.record(NOW_S - 1.5, arrivals)
    entries = desk.set_aside(3)
    assert sorted(entry[3] for entry in desk.admission.not_got_to(entries, NOW_S)) == gone


def test_what_is_safe_with_four_replicas_is_not_with_one():
    """Three replicas are lost between two arrivals: the second is judged by the one that is left."""
    desk = Desk(replicas=4, overload="shed")
    desk.queue(20)
    assert desk.verdict() is None
    for replica_id in (2, 3, 4):
        desk.leases.remove(desk.leases.by_id[replica_id])
    assert desk.verdict() is Fault.OVERLOADED


def test_what_is_safe_follows_the_model():
    """Batches become five times slower: the queue that was fine is too long now."""
    desk = Desk(overload="shed")
    desk.queue(7)
    assert desk.verdict() is None
    for index in range(40):
        desk.model.observe(1, 0.05, 30.0 + index * 0.5)
    assert desk.verdict() is Fault.OVERLOADED


def test_past_capacity_who_might_be_late_gives_way():
    """Predicted a millisecond before the deadline, with 5 ms of doubt: let in with capacity to spare, refused without."""
    desk = Desk(([0.01] * 9 + [0.02]) * 8, since_s=NOW_S - 0.009, latency_s=0.097)
    desk.queue(8)
    assert desk.verdict() is None
    for _ in range(300):
        desk.rate.record(NOW_S)
    assert desk.verdict() is Fault.OVERLOADED


@pytest.mark.parametrize(("since_s", "verdict"), [(0.007, None), (0.0, Fault.OVERLOADED)])
def test_shedding_forgives_a_twentieth_of_the_objective(since_s: float, verdict: Fault | None):
    """Predicted 3 ms after the deadline of 100 ms: let in. 10 ms after it: not."""
    desk = Desk(since_s=NOW_S - since_s, overload="shed")
    desk.queue(9)
    assert desk.verdict() is verdict


def test_while_the_newest_are_served_all_of_their_class_are_let_in_and_nobody_pushes_out_another_class():
    """A hundred queued, ten are in time: one more of their class is let in, with room for three; others are judged."""
    desk = Desk(room=3)
    desk.queue(100)
    assert desk.verdict() is None
    assert desk.admission.room == 3
    assert desk.verdict(priority=2) is Fault.OVERLOADED
    assert desk.admission.room == QueueBounds().requests
    assert desk.verdict(priority=0) is None
    assert desk.admission.room == QueueBounds().requests

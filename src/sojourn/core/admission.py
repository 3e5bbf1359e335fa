"""Who is let in: the bounds of a queue, and when a refused client should come back."""

from __future__ import annotations

from math import inf

import msgspec

from sojourn.core.backlog import Backlog
from sojourn.core.lease import Leases
from sojourn.domain.function import FunctionSettings
from sojourn.domain.request import Fault, Request
from sojourn.estimate.capacity import capacity_per_s, largest_useful_batch
from sojourn.estimate.rate import EventRate
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.port import BatchingPolicy, QueueEntry

_SHED_TOLERANCE = 0.05
_DOUBT = 0.5


class QueueBounds(msgspec.Struct, frozen=True):
    """How much one function may hold that has not been dispatched.

    Args:
        requests: Most queued requests, >= 1.
        bytes: Most body bytes held for requests in flight, >= 1.
        batch_bytes: Most body bytes of one batch (a single larger body goes alone), >= 1.
        predicts: Whether requests that cannot be served in time are refused on arrival (off for studies of batching alone).
    """

    requests: int = 10_000
    bytes: int = 256 * 1024 * 1024
    batch_bytes: int = 64 * 1024 * 1024
    predicts: bool = True


class Admission:
    """Lets a request in if it can be served: within the bounds, and by the predicted completion in time.

    A request predicted to be on time is always let in (within the bounds). One that would be late is
    let in for the late lane while that lane is expected to drain before the request gives up; under
    sustained overload it is not, and clients learn so at once instead of by a timeout. Where not even
    one item alone can be on time, whoever can be served before giving up is let in. With
    `overload="shed"` nothing is let in that would be late by more than a twentieth of the objective.
    While the batching policy serves the newest, everybody is let in and the oldest give way: `room`
    tells how many stay.

    Args:
        settings: The function's options.
        bounds: Limits of the queue.
        backlog: What waits.
        leases: Replicas and what they run.
        model: Learnt service times.
        rate: Arrivals.
        policy: The batching policy, which tells whether it serves the newest.

    Source:
        ALGORITHMS 3, "Admission at arrival".
    """

    __slots__ = (
        "_backlog",
        "_bounds",
        "_is_shedding",
        "_late_s",
        "_latency_s",
        "_leases",
        "_model",
        "_objective_s",
        "_policy",
        "_rate",
        "_safe_ahead",
        "_safe_slots",
        "_safe_version",
        "is_draining",
        "is_suspended",
        "room",
    )

    def __init__(
        self,
        settings: FunctionSettings,
        bounds: QueueBounds,
        backlog: Backlog,
        leases: Leases,
        model: ServiceTimeModel,
        rate: EventRate,
        policy: BatchingPolicy,
    ) -> None:
        self.is_draining = False
        self.is_suspended = False
        self._objective_s = settings.slo.latency_s if settings.slo else inf
        self._latency_s = min(self._objective_s, settings.effective_timeout_s)
        self._late_s = settings.effective_timeout_s - self._latency_s
        self._is_shedding = settings.overload == "shed"
        self._bounds = bounds
        self._backlog = backlog
        self._leases = leases
        self._model = model
        self._rate = rate
        self._safe_version, self._safe_slots = -1, 0  # the model's version and the slots that it was computed for:
        self._safe_ahead = 0
        self._policy = policy
        self.room = bounds.requests  # queued on-time requests; past it the heads give way to the last to be let in

    def refusal(self, request: Request, now_s: float) -> Fault | None:
        """Why this request is not let in, or None."""
        leases = self._leases
        self.room = self._bounds.requests
        if self.is_draining:
            return Fault.SHUTTING_DOWN
        if self.is_suspended and not leases.slots:
            return Fault.UNAVAILABLE
        bounds, backlog = self._bounds, self._backlog
        has_places = len(backlog.requests) < bounds.requests or backlog.waiting < bounds.requests
        if not has_places or backlog.held_bytes + request.body_bytes > bounds.bytes:
            return Fault.QUEUE_FULL
        model, slots = self._model, leases.slots
        if leases.free_slots or not slots or not model.is_known or not bounds.predicts:
            return None  # it goes at once, waits for a start, or nothing can be predicted yet
        if self._policy.room and self._is_of_the_only_class(request):
            self.room = self._policy.room
            return None
        if self._safe_version != model.version or self._safe_slots != slots:
            self._find_safe_ahead()
        ahead = backlog.on_time.ahead_of(request.priority)
        is_safe = ahead < self._safe_ahead and request.deadline_at_s - now_s >= 0.999 * self._latency_s
        return None if is_safe else self._overload(request, ahead, now_s)

    def could_hold(self, request: Request) -> bool:
        """Whether it could be let in if nobody else were there; nobody is hurried for the sake of one who could not."""
        return request.body_bytes <= self._bounds.bytes

    def _find_safe_ahead(self) -> None:
        """With fewer than this many ahead a request is in time even if every replica has just begun a batch."""
        model, slots = self._model, self._leases.slots
        self._safe_version, self._safe_slots = model.version, slots
        useful = largest_useful_batch(model.mean_by_size_s, self._objective_s, slots, model.size_cap)
        round_s, last_s = model.mean_by_size_s[useful], model.middle_by_size_s[useful]
        spare_s = self._latency_s - round_s - last_s
        self._safe_ahead = useful * (int(spare_s * slots / round_s) + 1) if spare_s > 0.0 and round_s > 0.0 else 0

    def _overload(self, request: Request, ahead: int, now_s: float) -> Fault | None:
        model, slots = self._model, self._leases.slots
        useful = self._useful()
        spare_per_s = self._spare_per_s(useful, now_s)
        due_at_s = request.give_up_at_s if self.is_hopeless else request.deadline_at_s
        rounds, place = divmod(ahead, useful)
        start_at_s = self._leases.next_free_at_s(now_s, model) + rounds * model.mean_by_size_s[useful] / slots
        done_at_s = start_at_s + model.middle_by_size_s[useful if rounds else place + 1]
        if self._is_shedding:
            tolerance_s = _SHED_TOLERANCE * (request.deadline_at_s - now_s)
            return Fault.OVERLOADED if done_at_s > request.deadline_at_s + tolerance_s else None
        if spare_per_s <= 0.0:
            # Others stand in line for the place: who might be late gives way now rather than after waiting.
            doubt_s = _DOUBT * (model.p95_by_size_s[useful] - model.mean_by_size_s[useful])
            return Fault.OVERLOADED if done_at_s > due_at_s - doubt_s else None
        if done_at_s <= due_at_s:
            return None
        late_at_s = done_at_s + len(self._backlog.late) / spare_per_s
        return Fault.OVERLOADED if late_at_s > request.give_up_at_s else None

    def _is_of_the_only_class(self, request: Request) -> bool:
        """Whether nobody of another class is queued, so that heads who give way do it for their own."""
        entries = self._backlog.on_time.entries
        return not entries or entries[0][0] == entries[-1][0] == request.priority

    @property
    def infeasible_s(self) -> float | None:
        """p95 of the time one item takes alone if that is more than the objective allows, else None [s]."""
        alone_s = self._model.p95_by_size_s[1]
        has_objective = self._objective_s < inf
        return alone_s if has_objective and self._model.is_known and alone_s > self._latency_s else None

    def not_got_to(self, entries: list[QueueEntry], now_s: float) -> list[QueueEntry]:
        """Whom nobody will come to in the late lane now that `entries` came into it: no more than those.

        Under overload it is them; with capacity left over those of the lowest classes, of one class who came first of them.
        """
        surplus, late = self.late_surplus(now_s), self._backlog.late
        if surplus >= len(late) or late.entries[0][0] == late.entries[-1][0]:
            return entries[:surplus]
        return late.lowest(min(surplus, len(entries)))

    def late_surplus(self, now_s: float) -> int:
        """How many in the late lane are more than the capacity left over serves before they give up; under overload all.

        Where nobody can be in time all capacity is left over.
        """
        late = len(self._backlog.late)
        if self._is_shedding:
            return late
        if not self._bounds.predicts or not self._leases.slots or not self._model.is_known:
            return 0
        useful = self._useful()
        if self.is_hopeless:
            # They come as soon as they arrive; before the last of them ends, somebody's batch and its own have to.
            last_s = self._model.mean_by_size_s[useful] * (1.0 + 1.0 / self._leases.slots)
            served = self._capacity_per_s(useful) * max(self._late_s + self._latency_s - last_s, 0.0)
        else:
            served = max(self._spare_per_s(useful, now_s), 0.0) * self._late_s
        return max(late - int(served), 0)

    @property
    def is_hopeless(self) -> bool:
        """Whether not even one item alone can be on time, as far as we know."""
        return self._model.mean_by_size_s[1] > self._latency_s

    def _useful(self) -> int:
        """Batch size to count with; if nothing can be on time the largest serves the most."""
        model = self._model
        if self.is_hopeless:
            return model.size_cap
        return largest_useful_batch(model.mean_by_size_s, self._objective_s, self._leases.slots, model.size_cap)

    def _spare_per_s(self, useful: int, now_s: float) -> float:
        """Capacity less the arrival rate of the last seconds."""
        return self._capacity_per_s(useful) - self._rate.per_s(now_s)

    def _capacity_per_s(self, useful: int) -> float:
        return capacity_per_s(self._model.mean_by_size_s, useful, self._leases.slots)

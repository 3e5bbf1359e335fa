"""How requests end: each gets its one outcome here, and the books are kept."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from sojourn.core.backlog import Backlog
from sojourn.core.cold_clock import ColdClock
from sojourn.core.lease import Batch, Leases
from sojourn.domain.action import CancelBatch, DispatcherAction, Finish
from sojourn.domain.request import BLAME_OF_FAULT, OUTCOME_OF_FAULT, Blame, Fault, Outcome, Place, Request
from sojourn.estimate.capacity import drain_time_s
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.port import QueueEntry


class Ledger:
    """Counts that balance at every instant: accepted = sum of outcomes + in flight.

    Args:
        backlog: The requests in flight.
        leases: Replicas, for the advice when to come back.
        model: Learnt service times, for the same.
        latency_s: The objective's latency, or infinity without an objective.
        cold_clock: How long there was no replica.
    """

    __slots__ = ("_backlog", "_cold_clock", "_latency_s", "_leases", "_model", "accepted", "ended", "misses")

    def __init__(
        self, backlog: Backlog, leases: Leases, model: ServiceTimeModel, latency_s: float, cold_clock: ColdClock
    ) -> None:
        self.accepted = 0
        self.misses = 0  # of the objective, clients' own faults left out
        self._latency_s = latency_s
        self.ended: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self._backlog = backlog
        self._leases = leases
        self._model = model
        self._cold_clock = cold_clock

    def refuse(self, request_id: int, fault: Fault, actions: list[DispatcherAction]) -> None:
        """End a request that was never admitted."""
        outcome = OUTCOME_OF_FAULT[fault]
        self.ended[outcome] += 1
        self.misses += BLAME_OF_FAULT[fault] is not Blame.CLIENT
        actions.append(Finish(request_id, outcome, fault, retry_after_s=self.retry_after_s()))

    def end(self, request: Request, fault: Fault, now_s: float, actions: list[DispatcherAction]) -> None:
        """End a request that waits (or left its queue just now) without an answer."""
        self._backlog.forget(request)
        cold_s, loss_s = self._cold_clock.readings_s(now_s)
        cold_wait_s, loss_wait_s = cold_s - request.cold_clock_s, loss_s - request.loss_clock_s
        self._finish(request, fault, now_s, actions, -1, now_s - request.arrival_at_s, cold_wait_s, loss_wait_s)

    def end_waiting(self, fault: Fault, now_s: float, actions: list[DispatcherAction]) -> None:
        """End all who wait."""
        for request in self._backlog.withdraw_all():
            self.end(request, fault, now_s, actions)

    def turn_away(self, late: Sequence[QueueEntry], now_s: float, actions: list[DispatcherAction]) -> None:
        """End those in the late lane to whom nobody will come; who waits for a start stays."""
        for entry in late:
            request = self._backlog.requests[entry[3]]
            if not request.is_cold:
                self._backlog.withdraw(request)
                self.end(request, Fault.OVERLOADED, now_s, actions)

    def end_in_batch(
        self,
        batch: Batch,
        position: int,
        fault: Fault,
        now_s: float,
        actions: list[DispatcherAction],
        *,
        is_answered: bool = False,
    ) -> None:
        """End a request of a batch with a fault; `is_answered`: the replica said so."""
        request = batch.requests[position]
        self._backlog.forget(request)
        queue_wait_s = batch.dispatched_at_s - request.arrival_at_s
        cold_wait_s = batch.cold_clock_s - request.cold_clock_s
        loss_wait_s = batch.loss_clock_s - request.loss_clock_s
        place = position if is_answered else -1
        self._finish(request, fault, now_s, actions, place, queue_wait_s, cold_wait_s, loss_wait_s)

    def leave(self, batch: Batch, position: int, fault: Fault, now_s: float, actions: list[DispatcherAction]) -> None:
        """End a request whose batch is still running; when nobody waits for it any more, it may be stopped."""
        self.end_in_batch(batch, position, fault, now_s, actions)
        batch.waiting -= 1
        if batch.waiting == 0:
            actions.append(CancelBatch(batch.replica_id, batch.id))

    def end_running(
        self, batch: Batch, fault: Fault, until_s: float, now_s: float, actions: list[DispatcherAction]
    ) -> None:
        """End those in a running batch who give up by `until_s`; the others wait on."""
        batch.give_up_at_s = inf
        for position, request in enumerate(batch.requests):
            if request.place is not Place.BATCH or request.batch_id != batch.id:
                continue
            if request.give_up_at_s <= until_s:
                self.leave(batch, position, fault, now_s, actions)
            else:
                batch.give_up_at_s = min(batch.give_up_at_s, request.give_up_at_s)

    def serve(
        self, batch: Batch, faults: dict[int, Fault] | None, now_s: float, actions: list[DispatcherAction]
    ) -> None:
        """End all who still wait for a batch that was answered."""
        requests, served, latency_s = self._backlog.requests, 0, self._latency_s
        dispatched_at_s, cold_clock_s, loss_clock_s = batch.dispatched_at_s, batch.cold_clock_s, batch.loss_clock_s
        for position, request in enumerate(batch.requests):
            if request.place is not Place.BATCH or request.batch_id != batch.id:
                continue
            if faults is not None and position in faults:
                self.end_in_batch(batch, position, faults[position], now_s, actions, is_answered=True)
                continue
            served += 1
            request.place = Place.ENDED
            del requests[request.id]
            self._backlog.held_bytes -= request.body_bytes
            arrival_at_s = request.arrival_at_s
            if now_s - arrival_at_s > latency_s:
                self.misses += 1
            actions.append(
                Finish(
                    request.id,
                    Outcome.SERVED,
                    None,
                    position,
                    dispatched_at_s - arrival_at_s,
                    now_s - arrival_at_s,
                    cold_clock_s - request.cold_clock_s,
                    request.retry_s,
                    request.losses,
                    0.0,
                    loss_clock_s - request.loss_clock_s,
                )
            )
        self.ended[Outcome.SERVED] += served

    def retry_after_s(self) -> float:
        """When a refused client should come back [s]."""
        return drain_time_s(self._backlog.waiting, self._leases.slots, self._model)

    def _finish(
        self,
        request: Request,
        fault: Fault,
        now_s: float,
        actions: list[DispatcherAction],
        position: int,
        queue_wait_s: float,
        cold_wait_s: float,
        loss_wait_s: float,
    ) -> None:
        outcome = OUTCOME_OF_FAULT[fault]
        self.ended[outcome] += 1
        self.misses += BLAME_OF_FAULT[fault] is not Blame.CLIENT
        retry_after_s = self.retry_after_s() if outcome is Outcome.SHED else 0.0
        latency_s = now_s - request.arrival_at_s
        actions.append(
            Finish(
                request.id,
                outcome,
                fault,
                position,
                queue_wait_s,
                latency_s,
                cold_wait_s,
                request.retry_s,
                request.losses,
                retry_after_s,
                loss_wait_s,
            )
        )

"""What runs again: batches lost with their replica, and batches whose call raised."""

from __future__ import annotations

from sojourn.core.backlog import Backlog
from sojourn.core.lease import Batch
from sojourn.core.ledger import Ledger
from sojourn.domain.action import DispatcherAction
from sojourn.domain.request import Fault, Place, Request
from sojourn.estimate.rate import EventRate

_ALONE_AFTER_LOSSES = 2  # replicas that died with it; then it runs alone
_POISONED_AFTER_LOSSES = 3
_BUDGET_WINDOW_S = 10.0
_BUDGET_SHARE = 0.1  # of the requests admitted in the window


class Recovery:
    """Decides who runs again and who is told that it cannot.

    Requests of a lost replica are queued again; who was in two lost replicas runs alone, and who
    kills a third is poisoned. Together these reruns stay within a tenth of what was admitted in the
    last ten seconds (but two full batches are always allowed), so that they cannot feed an outage.
    A batch whose call raised is halved until the guilty items stand alone: `k` bad of `n` cost at most
    `2 k ceil(log2 n)` calls. A function with `retry=False` runs nothing twice.

    Args:
        backlog: Where reruns wait.
        ledger: Where the others end.
        largest_batch: Most items of one call.
        is_retryable: Whether the function allows a second run.
    """

    __slots__ = ("_admitted", "_backlog", "_is_retryable", "_largest_batch", "_ledger", "_reruns")

    def __init__(self, backlog: Backlog, ledger: Ledger, *, largest_batch: int, is_retryable: bool) -> None:
        self._backlog = backlog
        self._ledger = ledger
        self._largest_batch = largest_batch
        self._is_retryable = is_retryable
        self._admitted = EventRate(_BUDGET_WINDOW_S, cells=10)
        self._reruns = EventRate(_BUDGET_WINDOW_S, cells=10)

    def dispatched(self, members: list[Request], now_s: float) -> None:
        """Requests left the queue: the budget grows with those that run for the first time."""
        self._admitted.record(now_s, sum([request.losses == 0 for request in members]))

    def lost(self, batch: Batch, now_s: float, actions: list[DispatcherAction]) -> None:
        """The replica of this batch is gone."""
        alone = []
        for position, request in enumerate(batch.requests):
            if request.place is not Place.BATCH or request.batch_id != batch.id:
                continue
            request.losses += 1
            request.retry_s += now_s - batch.dispatched_at_s
            fault = self._verdict(request, now_s)
            if fault is not None:
                self._ledger.end_in_batch(batch, position, fault, now_s, actions)
                continue
            self._reruns.record(now_s)
            if request.losses >= _ALONE_AFTER_LOSSES:
                alone.append(request)
            else:
                self._backlog.readmit(request, now_s)
        for request in reversed(alone):  # what is added last runs first
            self._backlog.add_group([request])

    def _verdict(self, request: Request, now_s: float) -> Fault | None:
        """Why a request of a lost replica may not run again, or None if it may."""
        if request.losses >= _POISONED_AFTER_LOSSES:
            return Fault.POISONED
        if not self._is_retryable or request.give_up_at_s <= now_s:
            return Fault.REPLICA_LOST
        allowed = max(_BUDGET_SHARE * self._admitted.count(now_s), 2.0 * self._largest_batch)
        return Fault.REPLICA_LOST if self._reruns.count(now_s) + 1 > allowed else None

    def split(self, batch: Batch, faults: dict[int, Fault], now_s: float) -> dict[int, Fault]:
        """Halve those whose common call raised, to be run again; the faults that stand.

        Args:
            batch: The batch just answered.
            faults: Faults by position.
            now_s: The instant.
        """
        raised = [p for p, fault in faults.items() if fault is Fault.FUNCTION_RAISED]
        if len(raised) < 2 or not self._is_retryable:
            return faults
        again = [
            request
            for request in (batch.requests[position] for position in sorted(raised))
            if request.place is Place.BATCH and request.batch_id == batch.id and request.give_up_at_s > now_s
        ]
        for request in again:
            request.retry_s += now_s - batch.dispatched_at_s
        half = (len(again) + 1) // 2
        for part in (again[half:], again[:half]):  # as above: the first half runs first
            if part:
                self._backlog.add_group(part)
        rerun = {request.id for request in again}
        return {position: fault for position, fault in faults.items() if batch.requests[position].id not in rerun}

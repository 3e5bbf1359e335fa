"""The dispatcher of one function: which request goes when, where and with whom.

A pure state machine: `step(event, now_s)` returns actions, `next_wake_at_s` says when to step again
if nothing happens before. It reads no clock, draws no chance and awaits nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from sojourn.core.admission import Admission, QueueBounds
from sojourn.core.backlog import Backlog
from sojourn.core.cold_clock import ColdClock
from sojourn.core.health import Health
from sojourn.core.lease import Batch, Lease, Leases
from sojourn.core.ledger import Ledger
from sojourn.core.promise import Promises
from sojourn.core.recovery import Recovery
from sojourn.core.reporting import Reporter
from sojourn.domain.action import DispatchBatch, DispatcherAction, ReturnLease, SuspectReplica
from sojourn.domain.event import (
    BatchCompleted,
    ClientGone,
    DispatcherEvent,
    DrainBegan,
    DrainEnded,
    ReplicaLeased,
    ReplicaLost,
    ReplicaRevoked,
    RequestAnnounced,
    RequestArrived,
    StartsResumed,
    StartsSuspended,
    Tick,
)
from sojourn.domain.function import FunctionSettings
from sojourn.domain.request import Fault, Place, Request
from sojourn.estimate.rate import EventRate
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.port import BatchingPolicy, BatchingView, Send

_RATE_KEPT_S = 2.0
_RATE_CELLS = 80  # fine enough for windows of a tenth of a second
_LATE_WAKE_S = 0.05  # woken later than this, the server itself was stalled, not the replica
_ROUNDS_MAX = 10_000  # of one dispatch; more means that a policy makes no progress


class Dispatcher:
    """Queue, batching and leased replicas of one function.

    Args:
        settings: The function's options.
        policy: Its batching policy.
        bounds: Limits of the queue.
        model: Service times known from before, or None to learn from nothing.
        key: What its reports call it by; empty for the function's name.
    """

    def __init__(
        self,
        settings: FunctionSettings,
        policy: BatchingPolicy,
        bounds: QueueBounds | None = None,
        model: ServiceTimeModel | None = None,
        key: str = "",
    ) -> None:
        self.settings = settings
        self.model = model or ServiceTimeModel(settings.largest_batch)
        self._policy = policy
        self._promises = Promises(settings)
        self._rate = EventRate(_RATE_KEPT_S, _RATE_CELLS)
        self._backlog = Backlog(heeds_deadlines=policy.heeds_deadlines)
        self._leases = Leases()
        self._cold_clock = ColdClock()
        self._health = Health(settings, self.model, self._leases)
        objective_s = settings.slo.latency_s if settings.slo else inf
        self.ledger = Ledger(self._backlog, self._leases, self.model, objective_s, self._cold_clock)
        self.reporter = Reporter(key or settings.name, self._backlog, self._leases, self.ledger, self.model)
        bounds = bounds or QueueBounds()
        self._batch_bytes = bounds.batch_bytes
        self._admission = Admission(settings, bounds, self._backlog, self._leases, self.model, self._rate, policy)
        self._recovery = Recovery(
            self._backlog, self.ledger, largest_batch=settings.largest_batch, is_retryable=settings.retry
        )
        self._batch_id = 0
        self._policy_wake_at_s = inf
        self._policy_until_size = 0
        self._wake_at_s = inf
        self._view = BatchingView(
            now_s=0.0,
            queue=self._backlog.on_time.entries,
            late=self._backlog.late.entries,
            replicas=1,
            arrivals=self._rate,
            model=self.model,
            latency_s=objective_s,
            largest_batch=settings.largest_batch,
        )
        self._on: dict[type, Callable[[Any, float, list[DispatcherAction]], object]] = {
            RequestAnnounced: self._request_announced,
            RequestArrived: self._request_arrived,
            BatchCompleted: self._batch_completed,
            ClientGone: self._client_gone,
            ReplicaLeased: self._replica_leased,
            ReplicaRevoked: self._replica_revoked,
            ReplicaLost: self._replica_lost,
            StartsSuspended: self._starts_suspended,
            StartsResumed: self._starts_resumed,
            DrainBegan: self._drain_began,
            DrainEnded: self._drain_ended,
            Tick: self._tick,
        }

    # What the outside may ask.

    @property
    def queue_depth(self) -> int:
        """Requests that can still be on time and are not dispatched."""
        return len(self._backlog.on_time)

    @property
    def late_depth(self) -> int:
        """Requests past saving that wait in the late lane."""
        return len(self._backlog.late)

    @property
    def replicas_ready(self) -> int:
        """Leased replicas that take new work."""
        return self._leases.open

    @property
    def in_flight(self) -> int:
        """Requests admitted and not ended."""
        return len(self._backlog.requests)

    def overdue(self, now_s: float) -> int:
        """Requests in flight past the latency objective: bad, whatever becomes of them; 0 without an objective."""
        return self._backlog.arrived_by(now_s - self._view.latency_s)

    @property
    def infeasible_s(self) -> float | None:
        """p95 of the time one item takes alone if that is more than the objective allows, else None [s]."""
        return self._admission.infeasible_s

    @property
    def next_wake_at_s(self) -> float | None:
        """When to step with a `Tick` if nothing happens before; None when nothing is pending."""
        return None if self._wake_at_s == inf else self._wake_at_s

    def step(self, event: DispatcherEvent, now_s: float) -> list[DispatcherAction]:
        """Take in what happened at `now_s` (never less than before); what to do about it, in order."""
        actions: list[DispatcherAction] = []
        if now_s >= self._wake_at_s:
            self._end_overdue(now_s, actions)
        elif type(event) is RequestArrived and not self._leases.free_slots:
            # The most frequent step of a busy function: it can only bring the next wake-up forward.
            self._wake_at_s = min(self._wake_at_s, self._request_arrived(event, now_s, actions))
            return actions
        self._on[type(event)](event, now_s, actions)
        if self._policy_wake_at_s <= now_s:
            self._dispatch(now_s, actions)  # the end of a wait was overslept, and the event itself was no news
        if (self._leases.slots > 0) is not self._cold_clock.is_warm:
            self._cold_clock.turn(now_s)
        self._wake_at_s = min(self._policy_wake_at_s, self._backlog.next_due_at_s(), self._leases.next_due_at_s())
        return actions

    # Requests.

    def _request_arrived(self, event: RequestArrived, now_s: float, actions: list[DispatcherAction]) -> float:
        """Admit or refuse; when the request is due if it waits, else infinity."""
        self._rate.record(now_s)
        self.ledger.accepted += 1
        if self.reporter.due_at_s == inf:
            self.reporter.wake(now_s)
        request = self._promises.request(event, now_s, is_warm=self._leases.slots > 0)
        fault = self._admission.refusal(request, now_s)
        if fault is Fault.QUEUE_FULL and self._leases.free_slots:
            fault = self._refusal_once_sent(request, now_s, actions)
        if fault is not None:
            self.ledger.refuse(request.id, fault, actions)
            return inf
        request.cold_clock_s, request.loss_clock_s = self._cold_clock.readings_s(now_s)
        due_at_s = self._backlog.admit(request)
        entries, room = self._backlog.on_time.entries, self._admission.room
        if self._leases.free_slots:
            # The policy that waits for more than are queued has nothing to decide because this one came, too.
            if len(entries) >= self._policy_until_size or entries[0][3] == request.id:
                self._dispatch(now_s, actions)
        elif len(entries) > room:
            self._give_up(len(entries) - room, now_s, actions)
        return due_at_s

    def _refusal_once_sent(self, request: Request, now_s: float, actions: list[DispatcherAction]) -> Fault | None:
        """Why a full queue does not let a request in after all, or None: it waits for nobody while a replica is free."""
        if self._admission.could_hold(request):
            self._view.is_full = True
            self._dispatch(now_s, actions)
            self._view.is_full = False
        return self._admission.refusal(request, now_s)

    def _request_announced(self, event: RequestAnnounced, now_s: float, actions: list[DispatcherAction]) -> None:
        """Refuse now what would be refused anyway, before its body is received; else wait for its arrival."""
        request = self._promises.request(event, now_s, is_warm=self._leases.slots > 0)
        fault = self._admission.refusal(request, now_s)
        if fault is Fault.QUEUE_FULL and self._leases.free_slots:
            fault = self._refusal_once_sent(request, now_s, actions)
        if fault is not None:
            self._rate.record(now_s)
            self.ledger.accepted += 1
            self.reporter.wake(now_s)
            self.ledger.refuse(event.request_id, fault, actions)

    def _client_gone(self, event: ClientGone, now_s: float, actions: list[DispatcherAction]) -> None:
        request = self._backlog.requests.get(event.request_id)
        if request is None:
            return  # its answer and the client's leaving crossed
        if request.place is Place.BATCH:
            batch = self._leases.batch_of(request)
            self.ledger.leave(batch, batch.requests.index(request), Fault.CLIENT_GONE, now_s, actions)
        else:
            self._backlog.withdraw(request)
            self.ledger.end(request, Fault.CLIENT_GONE, now_s, actions)
        self._dispatch(now_s, actions)

    # Batches.

    def _batch_completed(self, event: BatchCompleted, now_s: float, actions: list[DispatcherAction]) -> None:
        lease = self._leases.by_id.get(event.replica_id)
        if lease is None or event.batch_id not in lease.batches:
            return  # its replica was written off before
        batch = self._leases.end(lease, event.batch_id)
        busy_s = now_s - batch.dispatched_at_s
        self.reporter.batch_ended(busy_s)
        self._health.note(lease, len(batch.requests), busy_s, now_s, event.own_s)
        faults = dict(event.faults) if event.faults else None
        if faults is not None:
            faults = self._recovery.split(batch, faults, now_s)
        if self._health.is_straggler(lease) and not lease.is_revoked:
            self._leases.revoke(lease)
            actions.append(SuspectReplica(lease.replica_id, "much slower than the others", is_hung=False))
        # The replica gets its next batch before anyone gets an answer: it must not wait for our writing.
        self._dispatch(now_s, actions)
        self.ledger.serve(batch, faults, now_s, actions)
        self._return_if_empty(lease, actions)

    def _dispatch(self, now_s: float, actions: list[DispatcherAction]) -> None:
        """Let the policy fill free replicas until it waits or nothing is left."""
        self._policy_wake_at_s, self._policy_until_size = inf, 0
        backlog, leases = self._backlog, self._leases
        on_time, late = backlog.on_time, backlog.late
        while backlog.groups and leases.free_slots:
            self._send(backlog.take_group(self._batch_id + 1), now_s, actions)
        for _ in range(_ROUNDS_MAX):
            if not leases.free_slots or not (on_time.entries or late.entries):
                return
            view = self._view
            view.now_s = now_s
            view.replicas = leases.slots
            answer = self._policy.decide(view)
            if answer.sacrifice:
                self._give_up(answer.sacrifice, now_s, actions)
            if isinstance(answer, Send):
                members = backlog.take(answer.size, answer.late, self._batch_id + 1, self._batch_bytes, answer.skip)
                self._recovery.dispatched(members, now_s)
                self._send(members, now_s, actions)
            elif on_time.entries or not late.entries:
                self._policy_wake_at_s = max(answer.until_s, now_s + 1e-6)
                self._policy_until_size = answer.until_size
                return
        raise AssertionError("the batching policy makes no progress")

    def _give_up(self, count: int, now_s: float, actions: list[DispatcherAction]) -> None:
        """Heads that cannot be on time: into the late lane, or away with those that it does not get to.

        If nobody else is left for the free replica, one stays: an idle replica refuses no work, and times believed to be
        hopeless can only be found to be better by a batch. Not so where the newest are served: who comes next will be in
        time, unless the replica is busy. Who waited for a start stays: the first to be ready says little of what will be.
        """
        entries = self._backlog.on_time.take(count)
        self._backlog.set_aside(entries)
        gone = self._admission.not_got_to(entries, now_s)
        if gone:
            are_too_old = self._policy.room and entries[-1][2] < now_s
            is_one_kept = len(gone) == count and not self._backlog.on_time.entries and not are_too_old
            self.ledger.turn_away(gone[:-1] if is_one_kept else gone, now_s, actions)

    def _send(self, members: list[Request], now_s: float, actions: list[DispatcherAction]) -> None:
        size = len(members)
        assert 1 <= size <= self.settings.largest_batch, "a policy must send between one and largest_batch"
        self._batch_id = batch_id = self._batch_id + 1
        lease = self._leases.pick()
        give_up_at_s = inf
        ids = []
        for request in members:
            if request.give_up_at_s < give_up_at_s:  # noqa: PLR1730 - faster than min(), once per request
                give_up_at_s = request.give_up_at_s
            ids.append(request.id)
        suspect_at_s = now_s + self._health.patience_s(lease, size)
        cold_s, loss_s = self._cold_clock.readings_s(now_s)
        batch = Batch(batch_id, lease.replica_id, members, now_s, give_up_at_s, suspect_at_s, size, cold_s, loss_s)
        self._leases.begin(lease, batch)
        actions.append(DispatchBatch(lease.replica_id, batch_id, ids))

    # Time.

    def _end_overdue(self, now_s: float, actions: list[DispatcherAction]) -> None:
        """Move what passed its deadline to the late lane, where the newest are served as many as it gets to; end who gives up."""
        overdue, given_up = self._backlog.take_overdue(now_s)
        self._backlog.set_aside(overdue)
        if overdue and (self._policy.room or self._admission.is_hopeless):
            self.ledger.turn_away(self._admission.not_got_to(overdue, now_s), now_s, actions)
        for request in given_up:
            self.ledger.end(request, Fault.TIMEOUT, now_s, actions)
        for lease in list(self._leases.by_id.values()):
            for batch in list(lease.batches.values()):
                if batch.give_up_at_s <= now_s:
                    self.ledger.end_running(batch, Fault.TIMEOUT, now_s, now_s, actions)
                if batch.suspect_at_s <= now_s:
                    self._suspect(lease, batch, now_s, actions)

    def _tick(self, event: Tick, now_s: float, actions: list[DispatcherAction]) -> None:  # noqa: ARG002
        self._dispatch(now_s, actions)

    def _suspect(self, lease: Lease, batch: Batch, now_s: float, actions: list[DispatcherAction]) -> None:
        """A batch takes far too long: write its replica off, and let its requests run elsewhere."""
        if now_s > batch.suspect_at_s + _LATE_WAKE_S:
            batch.suspect_at_s = now_s + _LATE_WAKE_S  # we were not there to hear; the answer may lie waiting
            return
        silent_s = now_s - batch.dispatched_at_s
        actions.append(SuspectReplica(lease.replica_id, f"no answer to a batch for {silent_s:.3g} s", is_hung=True))
        self._write_off(lease, now_s, actions)

    # Replicas.

    def _replica_leased(self, event: ReplicaLeased, now_s: float, actions: list[DispatcherAction]) -> None:
        self._leases.add(event.replica_id, event.slots)
        self._dispatch(now_s, actions)

    def _replica_revoked(self, event: ReplicaRevoked, now_s: float, actions: list[DispatcherAction]) -> None:  # noqa: ARG002
        lease = self._leases.by_id.get(event.replica_id)
        if lease is not None:
            self._leases.revoke(lease)
            if not self._leases.slots:
                self._backlog.allow_for_cold_start()
            self._return_if_empty(lease, actions)

    def _return_if_empty(self, lease: Lease, actions: list[DispatcherAction]) -> None:
        if lease.is_revoked and not lease.batches and lease.replica_id in self._leases.by_id:
            self._leases.remove(lease)
            actions.append(ReturnLease(lease.replica_id))

    def _replica_lost(self, event: ReplicaLost, now_s: float, actions: list[DispatcherAction]) -> None:
        lease = self._leases.by_id.get(event.replica_id)
        if lease is not None:
            self._write_off(lease, now_s, actions)
            self._dispatch(now_s, actions)

    def _write_off(self, lease: Lease, now_s: float, actions: list[DispatcherAction]) -> None:
        """Forget a replica; what it had runs again where that is allowed."""
        self._leases.remove(lease)
        for batch in lease.batches.values():
            self._recovery.lost(batch, now_s, actions)
        if not self._leases.slots:
            self._cold_clock.lost()
            self._backlog.allow_for_cold_start()
            if self._admission.is_suspended:
                self.ledger.end_waiting(Fault.UNAVAILABLE, now_s, actions)

    # The state of the platform around this function.

    def _starts_suspended(self, event: StartsSuspended, now_s: float, actions: list[DispatcherAction]) -> None:  # noqa: ARG002
        self._admission.is_suspended = True
        if not self._leases.slots:
            self.ledger.end_waiting(Fault.UNAVAILABLE, now_s, actions)

    def _starts_resumed(self, event: StartsResumed, now_s: float, actions: list[DispatcherAction]) -> None:  # noqa: ARG002
        self._admission.is_suspended = False
        self._dispatch(now_s, actions)

    def _drain_began(self, event: DrainBegan, now_s: float, actions: list[DispatcherAction]) -> None:  # noqa: ARG002
        self._admission.is_draining = True
        self._dispatch(now_s, actions)

    def _drain_ended(self, event: DrainEnded, now_s: float, actions: list[DispatcherAction]) -> None:  # noqa: ARG002
        self._admission.is_draining = True
        self.ledger.end_waiting(Fault.SHUTTING_DOWN, now_s, actions)
        for lease in self._leases.by_id.values():
            for batch in list(lease.batches.values()):
                self.ledger.end_running(batch, Fault.SHUTTING_DOWN, inf, now_s, actions)

    def check(self, now_s: float) -> None:
        """Assert the cross-links of all collections; tests call it after each step."""
        self._backlog.check(now_s)
        requests = self._backlog.requests
        in_batches = self._leases.check(self.settings.largest_batch)
        assert in_batches == {r.id for r in requests.values() if r.place is Place.BATCH}
        assert self.ledger.accepted == sum(self.ledger.ended.values()) + len(requests)
        assert self._wake_at_s > now_s, "the next wake-up must lie ahead"

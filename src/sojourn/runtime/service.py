"""One function, live: drives its dispatcher with requests, replica messages and timers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic

from sojourn.core.admission import QueueBounds
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import CancelBatch, DispatchBatch, DispatcherAction, Finish, SuspectReplica
from sojourn.domain.deployment import deployment_key
from sojourn.domain.event import (
    BatchCompleted,
    ClientGone,
    DispatcherEvent,
    DrainBegan,
    ReplicaLost,
    RequestAnnounced,
    RequestArrived,
    Tick,
)
from sojourn.domain.function import FunctionManifest
from sojourn.domain.request import Fault, Outcome
from sojourn.estimate.service_time import Resumption, ServiceTimeModel
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.runtime.accounts import Accounts
from sojourn.runtime.faults import explain, retired_text
from sojourn.runtime.outbox import Outbox
from sojourn.runtime.ports import Caller, ServiceOwner
from sojourn.runtime.quarantine import Quarantine
from sojourn.runtime.replica_link import ReplicaLink
from sojourn.runtime.run import Call, Run, timing_of_refusal
from sojourn.slo.judgement import counts_as_bad
from sojourn.telemetry.journal import Journal
from sojourn.telemetry.meter import FunctionMeter
from sojourn.telemetry.trace_store import TraceStore
from sojourn.wire.message import Cancel, ContentKind, Done

_NO_RUN = Run(0, 0, [], 0.0, 0.0, 0.0)
_NO_FAULT = ("", 0)
_KINDS = tuple(ContentKind)
_JSON = ContentKind.JSON
_SERVED = Outcome.SERVED
# What a replica may say of an item; all else is for the platform to judge.
_FAULT_CODES = frozenset(
    fault.value
    for fault in (
        Fault.MALFORMED,
        Fault.ITEM_INVALID,
        Fault.UNSUPPORTED_CONTENT_TYPE,
        Fault.FUNCTION_RAISED,
        Fault.BAD_RESULT,
        Fault.ITEM_ERROR,
        Fault.CLIENT_GONE,
    )
)
_TIMER_TICK_S = 0.0005  # timers have a resolution of a millisecond
_JUDGED_FROM_SAMPLES = 30


class FunctionService:
    """What the gateway calls and replicas answer to, for one revision of a function; all on one loop.

    Args:
        manifest: The function.
        meter: Where requests and batches are counted.
        bounds: Limits of the queue.
        journal: Where steps of the dispatcher are recorded.
        owner: Told of what concerns replicas and objectives.
        traces: Where finished requests worth a look are kept; None keeps none.
        clock: Monotonic seconds.
        resumed: Service times that are known already; None: all is to be learnt.

    Attributes:
        key: What the controller and its reports call it by: `name@revision`.
        is_retiring: Whether its end has begun: it is routed to no more, and finishes what it has.
        is_closed: Whether it takes nothing any more.
        has_been_ready: Whether a replica has been ready since it was launched.
        last_failed: The number of its last replica that did not end as planned; 0 if there was none.
        failures: How many have not; `last_cause` is why the last one did not.
    """

    def __init__(
        self,
        manifest: FunctionManifest,
        meter: FunctionMeter,
        bounds: QueueBounds,
        journal: Journal,
        owner: ServiceOwner,
        traces: TraceStore | None = None,
        clock: Callable[[], float] = monotonic,
        resumed: Resumption | None = None,
    ) -> None:
        settings = manifest.settings
        self.resumed = resumed
        self.manifest = manifest
        self.name = manifest.name
        self.revision = manifest.revision
        self.key = deployment_key(manifest.name, manifest.revision)
        self.is_retiring = False
        self.is_closed = False
        self.has_been_ready = False
        self.last_failed = 0
        self.failures = 0
        self.last_cause = ""
        self.meter = meter
        self.journal = journal
        self.links: dict[int, ReplicaLink] = {}
        policy = batching_policy(settings.batching)
        model = None
        if resumed is not None:
            model = ServiceTimeModel.resumed(resumed.fit, settings.largest_batch, resumed.now_s, resumed.away_s)
        self.dispatcher = Dispatcher(settings, policy, bounds, model, self.key)
        self._latency_s = settings.slo.latency_s if settings.slo else None
        self.on_idle: Callable[[], None] | None = None  # called when nothing is in flight any more
        self._owner = owner
        self._is_judged = self._latency_s is None  # whether the objective was found feasible or not
        self._clock = clock
        self._accounts = Accounts(meter, traces, self._latency_s, sets_aside=policy.heeds_deadlines)
        self._outbox = Outbox(clock)
        self._calls: dict[int, Call] = {}
        self._running: dict[int, Run] = {}  # by batch
        self._free_at_s: dict[int, float] = {}  # when each replica became free, by number
        self._quarantine = Quarantine()
        self._number = 0
        self._run = _NO_RUN  # whose answer is being dealt with
        self._done_faults: dict[int, tuple[str, int]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = 0.0

    # The gateway's side.

    def submit(
        self, caller: Caller, body: bytes, kind: ContentKind, priority: int, client_timeout_s: float | None
    ) -> int:
        """Take a request in; the caller is answered or refused later, or refused before this returns."""
        self._number = number = self._number + 1
        now_s = self._clock()
        if self._quarantine and self._quarantine.holds(body, now_s):
            message = explain(Fault.POISONED, self.manifest.settings)
            self.refused_at_the_door(Fault.POISONED, caller, message)
            caller.refuse(Fault.POISONED, message, 0, 0.0)
            return number
        calls = self._calls
        calls[number] = call = Call(caller, body, kind, len(calls))
        self.meter.arrived(now_s)
        self._step(RequestArrived(number, len(body), priority, client_timeout_s), now_s)
        call.admitted_at_s = self._clock()
        return number

    def announce(
        self, caller: Caller, priority: int, client_timeout_s: float | None, body_bytes: int
    ) -> FunctionService:
        """The headers of a request are here: the caller is refused now, and counted, if its body is not wanted.

        If the caller was not refused, nothing is kept of it; its request is submitted to what this returns when its
        body is here, unless that is closed by then.
        """
        self._number = number = self._number + 1
        now_s = self._clock()
        self._calls[number] = Call(caller, b"", ContentKind.JSON, len(self._calls))
        self._step(RequestAnnounced(number, body_bytes, priority, client_timeout_s), now_s)
        if self._calls.pop(number, None) is None:
            self.meter.arrived(now_s)
        return self

    def cancel(self, request_number: int) -> None:
        """The client is gone: the request is neither answered nor refused any more."""
        if request_number in self._calls:
            self._step(ClientGone(request_number), self._clock())

    def refused_at_the_door(self, fault: Fault, caller: Caller, message: str) -> None:
        """Count and keep a request that was refused after routing, before the core saw it, and told `message`."""
        now_s, dispatcher = self._clock(), self.dispatcher
        self.meter.arrived(now_s)
        call = Call(caller, b"", ContentKind.JSON, dispatcher.in_flight)
        self._accounts.turned_away(fault, call, now_s, replicas=dispatcher.replicas_ready, message=message)

    # The replicas' side.

    def batch_done(self, link: ReplicaLink, done: Done) -> None:
        """A replica answered a batch."""
        now_s = self._clock()
        run = self._running.get(done.batch_id)
        if run is None or run.replica_id != link.replica_id:
            return  # the replica was written off meanwhile, or speaks of another's batch
        del self._running[done.batch_id]
        size = len(run.members)
        wrong = _disagreement(done, size)
        if wrong:
            link.drop(wrong)
            return
        self.meter.batch_done(size, done.called_at_s - done.decoded_at_s, now_s)
        self._free_at_s[run.replica_id] = now_s
        run.answered(done, now_s)
        self._run = run
        faults: tuple[tuple[int, Fault], ...] = ()
        if done.faults:
            faults = tuple((fault.position, Fault(fault.code)) for fault in done.faults)
            self._done_faults = {fault.position: (fault.message, fault.status) for fault in done.faults}
        own_s = max(done.encoded_at_s - done.received_at_s, 0.0)
        self._step(BatchCompleted(link.replica_id, done.batch_id, faults, own_s), now_s)
        self._accounts.settle(self._clock())
        self._run = _NO_RUN
        self._done_faults = {}
        if not self._is_judged and self.dispatcher.model.samples >= _JUDGED_FROM_SAMPLES:
            self._is_judged = True
            if self.infeasible is not None:
                self._owner.objective_infeasible(self.name, self.infeasible)

    def replica_lost(self, replica_id: int) -> None:
        """A replica's link is gone, and with it what it held."""
        self.links.pop(replica_id, None)
        self._step(ReplicaLost(replica_id), self._clock())
        self._forget_replica(replica_id)  # only now: who ends with it was in one of its batches

    def _forget_replica(self, replica_id: int) -> None:
        self.links.pop(replica_id, None)
        self._free_at_s.pop(replica_id, None)
        self._running = {batch: run for batch, run in self._running.items() if run.replica_id != replica_id}

    @property
    def infeasible(self) -> str | None:
        """Why the objective cannot be met even by one item alone, or None; also while too few batches show it."""
        alone_s = self.dispatcher.infeasible_s
        is_shown = self.dispatcher.model.samples >= _JUDGED_FROM_SAMPLES  # one slow answer among ten shows nothing
        if alone_s is None or self._latency_s is None or not is_shown:
            return None
        return f"one item alone takes {alone_s * 1e3:.3g} ms at p95; the objective is {self._latency_s * 1e3:.3g} ms"

    def happened(self, event: DispatcherEvent) -> None:
        """Show the dispatcher an event that concerns its leases or the platform."""
        self._step(event, self._clock())

    # The driver.

    def _step(self, event: DispatcherEvent, now_s: float) -> None:
        actions = self.dispatcher.step(event, now_s)
        self.journal.append(now_s, event, actions)
        for action in actions:
            if type(action) is Finish:
                self._finish(action, now_s)
            elif type(action) is DispatchBatch:
                self._dispatch(action, now_s)
            else:
                self._other(action)
        if self.on_idle is not None and not self.dispatcher.in_flight:
            self.on_idle()
        wake_at_s = self._wake_at_s()
        # A timer that is armed for an earlier instant is left alone: it fires, finds nothing, and re-arms.
        if wake_at_s != inf and (self._timer is None or wake_at_s < self._timer_at_s):
            self._arm(wake_at_s, now_s)

    def _wake_at_s(self) -> float:
        """When the dispatcher wants to be stepped or to report; infinity if neither."""
        wake_at_s, report_at_s = self.dispatcher.next_wake_at_s, self.dispatcher.reporter.due_at_s
        return report_at_s if wake_at_s is None or report_at_s < wake_at_s else wake_at_s

    def _arm(self, wake_at_s: float, now_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = wake_at_s
        self._timer = asyncio.get_running_loop().call_later(max(wake_at_s - now_s, 0.0), self._wake)

    def _wake(self) -> None:
        self._timer = None
        now_s = self._clock()
        reporter = self.dispatcher.reporter
        if reporter.due_at_s <= now_s + _TIMER_TICK_S:
            report = reporter.report(max(now_s, reporter.due_at_s))
            if not self.is_closed:  # else another revision may go by the same key by now
                self._owner.demand_reported(report)
        wake_at_s = self.dispatcher.next_wake_at_s
        if wake_at_s is not None and wake_at_s <= now_s + _TIMER_TICK_S:
            self._step(Tick(), max(now_s, wake_at_s))
        elif self._timer is None and self._wake_at_s() != inf:
            self._arm(self._wake_at_s(), now_s)

    def _dispatch(self, action: DispatchBatch, now_s: float) -> None:
        calls, replica_id = self._calls, action.replica_id
        members = [calls[number] for number in action.request_ids]
        expected_s = self.dispatcher.model.mean_by_size_s[len(members)] if self.dispatcher.model.is_known else 0.0
        free_at_s = self._free_at_s.get(replica_id, now_s)
        self._running[action.batch_id] = Run(action.batch_id, replica_id, members, now_s, free_at_s, expected_s)
        kinds = bytes([call.kind for call in members])
        self.links[replica_id].run(action.batch_id, [call.body for call in members], b"" if not any(kinds) else kinds)

    def _finish(self, action: Finish, now_s: float) -> None:
        call = self._calls.pop(action.request_id, None)
        if action.outcome is not _SERVED or call is None:
            self._refuse(action, call, now_s)
            return
        # Handing the answer over ends the latency of the request.
        run, position, caller = self._run, action.position, call.caller
        done = run.done
        handed_at_s = self._clock()
        latency_s = action.latency_s + (handed_at_s - now_s)
        if self._accounts.served(latency_s, action.queue_wait_s, handed_at_s):
            self._look_at(action, latency_s, call, handed_at_s)
        timing = run.server_timing(action, call.admitted_at_s, now_s, handed_at_s - now_s)
        caller.answer(done.bodies[position], _KINDS[done.kinds[position]] if done.kinds else _JSON, timing)

    def _look_at(self, action: Finish, latency_s: float, call: Call, handed_at_s: float) -> None:
        """Count an answer that is late or the next sample, and keep it."""
        run, accounts = self._run, self._accounts
        cause, is_kept = accounts.served_apart(action, latency_s, run, handed_at_s)
        if not is_kept:
            return
        replicas = self.dispatcher.replicas_ready
        kept = accounts.keep(action, latency_s, call, run, handed_at_s, cause=cause, replicas=replicas)
        is_unsent = call.caller.outbox()
        if is_unsent is not None:
            self._outbox.watch(kept, is_unsent, handed_at_s)

    def _refuse(self, action: Finish, call: Call | None, now_s: float) -> None:
        fault = action.fault
        assert fault is not None, "only served requests end without a fault"
        run = self._run_of(action, call)
        is_told = call is not None and fault is not Fault.CLIENT_GONE
        message, status = self._explained(action, fault) if is_told else ("", 0)
        self._accounts.ended(
            action,
            call,
            run,
            now_s,
            counts=counts_as_bad(action, self._latency_s, self._done_faults.get(action.position, _NO_FAULT)[1]),
            alone_s=self.dispatcher.infeasible_s or 0.0,
            replicas=self.dispatcher.replicas_ready,
            message=message,
        )
        if call is None or not is_told:
            return
        if fault is Fault.POISONED:
            self._quarantine.add(call.body, now_s)
        timing = timing_of_refusal(action, call.admitted_at_s, run, now_s)
        call.caller.refuse(fault, message, status, action.retry_after_s, timing)

    def _explained(self, action: Finish, fault: Fault) -> tuple[str, int]:
        """What to tell the client of a failed request, and the status the function chose (0: none)."""
        told = self._done_faults.get(action.position)
        if told is not None:
            return told
        if fault is Fault.SHUTTING_DOWN and self.is_retiring:
            return retired_text(self.name, self.revision), 0
        cause = self._owner.cause_of(self.key)
        return explain(fault, self.manifest.settings, latency_s=action.latency_s, cause=cause), 0

    def _run_of(self, action: Finish, call: Call | None) -> Run | None:
        """The batch in which a request ended without being served; None if it ended in the queue."""
        if action.position >= 0:
            return self._run
        if call is None or action.latency_s <= action.queue_wait_s:
            return None
        return next((run for run in (self._run, *self._running.values()) if call in run.members), None)

    def _other(self, action: DispatcherAction) -> None:
        if isinstance(action, CancelBatch):
            link = self.links.get(action.replica_id)
            if link is not None:
                link.send(Cancel(action.batch_id))
        elif isinstance(action, SuspectReplica):
            if action.is_hung:
                self._forget_replica(action.replica_id)
            self._owner.replica_suspected(action)
        elif not isinstance(action, Finish | DispatchBatch):
            self._owner.lease_returned(action.replica_id)

    def retire(self) -> None:
        """Take nothing any more: all it had has ended; what comes all the same is told to come again."""
        self.is_retiring = self.is_closed = True
        self.happened(DrainBegan())

    def close(self) -> None:
        """Disarm the timer; nothing may be submitted afterwards."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._outbox.close()


def _disagreement(done: Done, size: int) -> str:
    """What is wrong with an answer to a batch of `size` items; empty if nothing is."""
    if len(done.bodies) != size:
        return f"it answered {len(done.bodies)} items to a batch of {size}"
    if done.kinds and (len(done.kinds) != size or max(done.kinds) >= len(_KINDS)):
        return "its content kinds do not fit its batch"
    for fault in done.faults:
        if fault.code not in _FAULT_CODES or not 0 <= fault.position < size:
            return f"it reported fault {fault.code!r} at position {fault.position} of {size}"
    return ""

"""Books how each request ended: counts it, finds what a bad one owes that to, and keeps those worth a look."""

from __future__ import annotations

from math import inf
from typing import Final

from sojourn.domain.action import Finish
from sojourn.domain.request import OUTCOME_OF_FAULT, Fault, Outcome
from sojourn.runtime.run import Call, Run
from sojourn.slo.cause import CAUSE_OF_FAULT, Cause, RunTimes, cause_of_finish
from sojourn.telemetry.meter import FunctionMeter
from sojourn.telemetry.request_trace import TraceKind
from sojourn.telemetry.trace_store import KIND_OF_OUTCOME, SAMPLE_EVERY_S, KeptBatch, KeptRequest, TraceStore

_MESSAGE_CHARACTERS_MAX: Final = 300


class Accounts:
    """The books of one function.

    Args:
        meter: Counts.
        traces: Where requests worth a look are kept; None keeps none.
        objective_s: The latency objective in seconds, or None.
        sets_aside: Whether those whose deadline has passed let others go first (`BatchingPolicy.heeds_deadlines`).
    """

    __slots__ = (
        "_kept_objective_s", "_latencies_s", "_meter", "_objective_s", "_queue_waits_s", "_sample_at_s", "_sets_aside", "_traces",
    )  # fmt: skip

    def __init__(
        self, meter: FunctionMeter, traces: TraceStore | None, objective_s: float | None, *, sets_aside: bool = False
    ) -> None:
        self._meter = meter
        self._traces = traces
        self._kept_objective_s = objective_s
        self._sets_aside = sets_aside
        self._objective_s = inf if objective_s is None else objective_s
        self._sample_at_s = inf if traces is None else -inf
        # Of those served in time and not counted yet.
        self._latencies_s: list[float] = []
        self._queue_waits_s: list[float] = []

    def served(self, latency_s: float, queue_wait_s: float, now_s: float) -> bool:
        """A request is answered at `now_s`, `latency_s` after it came; whether it is one to look at (`served_apart`).

        The others are counted together, with the next `settle`: this is the hot path.
        """
        if latency_s > self._objective_s or now_s >= self._sample_at_s:
            return True
        self._latencies_s.append(latency_s)
        self._queue_waits_s.append(queue_wait_s)
        return False

    def settle(self, now_s: float) -> None:
        """Count those that `served` has put aside; to be called in the turn of the loop in which they were answered."""
        latencies_s, queue_waits_s = self._latencies_s, self._queue_waits_s
        if latencies_s:
            self._meter.served_in_time(latencies_s, queue_waits_s, now_s)
            latencies_s.clear()
            queue_waits_s.clear()

    def served_apart(self, action: Finish, latency_s: float, run: Run, now_s: float) -> tuple[Cause | None, bool]:
        """Count one request that is answered at `now_s`; what made it late, and whether it is to be kept."""
        if latency_s <= self._objective_s:
            self._meter.served(latency_s, action.queue_wait_s, now_s)
            return None, now_s >= self._sample_at_s
        cause = cause_of_finish(action, self._times(latency_s, run, 0.0))
        self._meter.served(latency_s, action.queue_wait_s, now_s, cause)
        return cause, self._traces is not None

    def ended(
        self,
        action: Finish,
        call: Call | None,
        run: Run | None,
        now_s: float,
        *,
        counts: bool,
        alone_s: float = 0.0,
        replicas: int = 0,
        message: str = "",
    ) -> None:
        """Count a request that ended without being served, and keep it.

        Args:
            action: How it ended.
            call: Who waited for it; None if it never was in the queue or its client is gone.
            run: The batch it was in, if it was in one.
            now_s: When it ended.
            counts: Whether it counts against the objective.
            alone_s: What one item takes alone if that is known to be more than was promised, in seconds; else 0.
            replicas: Replicas that are ready.
            message: What its client is told.
        """
        cause: Cause | None = None
        if counts:
            cause = cause_of_finish(action, self._times(action.latency_s, run, alone_s))
        self._meter.ended(action.outcome, now_s, cause)
        if self._traces is not None and call is not None:
            kind = _kind(action.outcome, is_clients=not counts)
            self.keep(
                action, action.latency_s, call, run, now_s, cause=cause, replicas=replicas, kind=kind, message=message
            )

    def turned_away(self, fault: Fault, call: Call, now_s: float, *, replicas: int = 0, message: str = "") -> None:
        """Count and keep a request that the core never saw: its latency, which begins with its last byte, is none."""
        action = Finish(0, OUTCOME_OF_FAULT[fault], fault)
        cause = CAUSE_OF_FAULT.get(fault)
        self._meter.ended(action.outcome, now_s, cause)
        if self._traces is not None:
            kind = _kind(action.outcome, is_clients=cause is None)
            self.keep(action, 0.0, call, None, now_s, cause=cause, replicas=replicas, kind=kind, message=message)

    def _times(self, latency_s: float, run: Run | None, alone_s: float) -> RunTimes:
        if run is None:
            return RunTimes(latency_s, self._objective_s, alone_s)
        return RunTimes(latency_s, self._objective_s, run.expected_s, run.model_s)

    def keep(
        self,
        action: Finish,
        latency_s: float,
        call: Call,
        run: Run | None,
        now_s: float,
        *,
        cause: Cause | None,
        replicas: int,
        kind: TraceKind | None = None,
        message: str = "",
    ) -> KeptRequest:
        """Keep a finished request for a look; what is kept may still be told how long its answer took to write."""
        assert self._traces is not None, "asked for by served() only where requests are kept"
        meter, is_served = self._meter, action.outcome is Outcome.SERVED
        if kind is None:
            kind = TraceKind.SAMPLE if cause is None else TraceKind.SLOW
        if kind is TraceKind.SAMPLE:
            self._sample_at_s = now_s + SAMPLE_EVERY_S
        has_objective = self._kept_objective_s is not None
        arrived_at_s = now_s - latency_s
        batch: KeptBatch | None = run.kept() if run is not None else None
        admitted_at_s = call.admitted_at_s
        kept = KeptRequest(
            call.caller.name() or f"unnamed-{action.request_id}",
            meter.function,
            meter.revision,
            call.caller.trace,
            kind,
            action.outcome,
            action.fault,
            cause if has_objective else None,
            (cause is None if is_served or cause is not None else None) if has_objective else None,
            self._kept_objective_s,
            arrived_at_s,
            max(admitted_at_s - arrived_at_s, 0.0) if admitted_at_s else 0.0,
            action.queue_wait_s,
            action.cold_wait_s,
            action.retry_s,
            latency_s,
            action.losses,
            call.ahead,
            replicas,
            batch,
            action.loss_wait_s,
            message[:_MESSAGE_CHARACTERS_MAX],
            # Of those that ran in vain the halves of a batch come first, whatever their deadlines.
            was_set_aside=self._sets_aside and not action.retry_s and action.queue_wait_s > self._objective_s,
        )
        self._traces.keep(kept)
        if is_served:
            meter.exemplify(latency_s, kept.request_id, kept.trace, now_s)
        return kept


def _kind(outcome: Outcome, *, is_clients: bool) -> TraceKind:
    """Where a request that was not served is kept; faults of clients by themselves, so that they hide no others."""
    return TraceKind.REJECTED if outcome is Outcome.FAILED and is_clients else KIND_OF_OUTCOME[outcome]

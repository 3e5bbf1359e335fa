"""Books how each request ended: counts it, finds what a bad one owes that to, and keeps those worth a look."""

from __future__ import annotations

from math import inf
from typing import Final

from sojourn.domain.action import Finish
from sojourn.domain.request import OUTCOME_OF_FAULT, Fault, Outcome
from sojourn.runtime.run import Call, Run
from sojourn.slo.cause import CAUSE_OF_FAULT, Cause, Delays, cause_of_delay
from sojourn.telemetry.meter import FunctionMeter
from sojourn.telemetry.request_trace import TraceKind
from sojourn.telemetry.trace_store import KIND_OF_OUTCOME, SAMPLE_EVERY_S, KeptBatch, KeptRequest, TraceStore

_BLAMED_ON_TIME: Final = frozenset({Fault.TIMEOUT, Fault.CLIENT_GONE})


class Accounts:
    """The books of one function.

    Args:
        meter: Counts.
        traces: Where requests worth a look are kept; None keeps none.
        objective_s: The latency objective in seconds, or None.
    """

    __slots__ = ("_kept_objective_s", "_meter", "_objective_s", "_sample_at_s", "_traces")

    def __init__(self, meter: FunctionMeter, traces: TraceStore | None, objective_s: float | None) -> None:
        self._meter = meter
        self._traces = traces
        self._kept_objective_s = objective_s
        self._objective_s = inf if objective_s is None else objective_s
        self._sample_at_s = inf if traces is None else -inf

    def served(self, action: Finish, latency_s: float, run: Run, now_s: float) -> tuple[Cause | None, bool]:
        """Count a request whose answer is handed over now; what made it late, and whether it is to be kept."""
        if latency_s <= self._objective_s:
            self._meter.served(latency_s, action.queue_wait_s, now_s)
            return None, now_s >= self._sample_at_s
        cause = _cause(action, latency_s, run)
        self._meter.served(latency_s, action.queue_wait_s, now_s, cause)
        return cause, self._traces is not None

    def ended(self, action: Finish, call: Call | None, run: Run | None, now_s: float, *, counts: bool) -> None:
        """Count a request that ended without being served, and keep it.

        Args:
            action: How it ended.
            call: Who waited for it; None if it never was in the queue or its client is gone.
            run: The batch it was in, if it was in one.
            now_s: When it ended.
            counts: Whether it counts against the objective.
        """
        fault = action.fault
        assert fault is not None, "only served requests end without a fault"
        cause: Cause | None = None
        if counts:
            cause = _cause(action, action.latency_s, run) if fault in _BLAMED_ON_TIME else CAUSE_OF_FAULT[fault]
        self._meter.ended(action.outcome, now_s, cause)
        if self._traces is not None and call is not None:
            self.keep(action, action.latency_s, call, run, now_s, cause=cause, replicas=0)

    def turned_away(self, fault: Fault, call: Call, now_s: float) -> None:
        """Count and keep a request that the core never saw: its latency, which begins with its last byte, is none."""
        action = Finish(0, OUTCOME_OF_FAULT[fault], fault)
        cause = CAUSE_OF_FAULT.get(fault)
        self._meter.ended(action.outcome, now_s, cause)
        if self._traces is not None:
            self.keep(action, 0.0, call, None, now_s, cause=cause, replicas=0)

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
    ) -> KeptRequest:
        """Keep a finished request for a look; what is kept may still be told how long its answer took to write."""
        assert self._traces is not None, "asked for by served() only where requests are kept"
        meter, is_served = self._meter, action.outcome is Outcome.SERVED
        kind = TraceKind.SAMPLE if is_served and cause is None else KIND_OF_OUTCOME[action.outcome]
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
        )
        self._traces.keep(kept)
        if is_served:
            meter.exemplify(latency_s, kept.request_id, kept.trace, now_s)
        return kept


def _cause(action: Finish, latency_s: float, run: Run | None) -> Cause:
    """What a request that came too late, or was given up waiting for, owes that to."""
    waited_s = action.queue_wait_s
    return cause_of_delay(
        Delays(
            cold_wait_s=action.cold_wait_s,
            queue_s=max(waited_s - action.cold_wait_s - action.retry_s, 0.0),
            retry_s=action.retry_s,
            service_s=latency_s - waited_s,
            expected_s=run.expected_s if run is not None else 0.0,
            losses=action.losses,
        )
    )

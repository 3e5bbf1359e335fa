"""Tells a kept request: its phases in order, and in words where its time went and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from sojourn.domain.request import Fault, Outcome
from sojourn.slo.cause import Cause
from sojourn.telemetry.events import PlatformEvent
from sojourn.telemetry.request_trace import BatchTrace, Phase, RequestTrace, TraceSummary
from sojourn.telemetry.trace_store import MATE_CHARACTERS, KeptBatch, KeptRequest

PHASES: Final = (
    "admission", "cold_wait", "retry", "queue", "dispatch", "decode", "service", "encode", "return", "write",
)  # fmt: skip
_WORTH_SAYING_SHARE = 0.1  # of the latency
_EVENTS_TOLD = 3


def phases_of(kept: KeptRequest) -> list[Phase]:
    """The phases, one after the other; those up to "return" add up to the latency.

    A request that waited for its dispatch more than once has its waits for a start together, its runs in vain together,
    and its time in the queue last; a run that was lost with its replica comes before the wait for another one. Of a
    run without an answer all is "service".
    """
    waited_s = kept.waited_s
    retry_s = min(kept.retry_s, waited_s)
    cold_s = min(kept.cold_wait_s, waited_s - retry_s)
    admission_s = min(kept.admission_s, waited_s - retry_s - cold_s)
    lengths_s = [admission_s, cold_s, retry_s, waited_s - retry_s - cold_s - admission_s]
    names = list(PHASES)
    if kept.losses and kept.loss_wait_s:
        names[1:3], lengths_s[1:3] = ("retry", "cold_wait"), (retry_s, cold_s)
    batch, run_s = kept.batch, kept.latency_s - waited_s
    if batch is not None or run_s > 0:
        if batch is not None and batch.encoded_at_s:
            stamps = (batch.received_at_s, batch.decoded_at_s, batch.called_at_s, batch.encoded_at_s)
            parts = [max(end_s - begin_s, 0.0) for begin_s, end_s in pairwise((batch.dispatched_at_s, *stamps))]
            lengths_s += [*parts, max(run_s - sum(parts), 0.0)]
        else:
            lengths_s += [0.0, 0.0, run_s, 0.0, 0.0]
    if kept.write_s is not None:
        lengths_s += [0.0] * (len(PHASES) - 1 - len(lengths_s))
        lengths_s.append(kept.write_s)
    phases, begins_s = [], 0.0
    for name, length_s in zip(names, lengths_s, strict=False):
        if length_s > 0:
            phases.append(Phase(name=name, begins_s=begins_s, duration_s=length_s))
            begins_s += length_s
    return phases


def trace_of(
    kept: KeptRequest, *, trace_id: str, span_id: str, arrived_at: str, events: Sequence[PlatformEvent]
) -> RequestTrace:
    """All there is to tell of a kept request.

    Args:
        kept: The request.
        trace_id: Its W3C trace id.
        span_id: The span it was in.
        arrived_at: When it came, UTC text.
        events: What happened on the platform between its arrival and its end, oldest first.
    """
    phases = phases_of(kept)
    return RequestTrace(
        request_id=kept.request_id,
        function=kept.function,
        revision=kept.revision,
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=kept.trace.parent_id if kept.trace else None,
        kind=kept.kind,
        outcome=kept.outcome,
        code=kept.fault.value if kept.fault else None,
        arrived_at=arrived_at,
        latency_s=kept.latency_s,
        objective_s=kept.objective_s,
        within_slo=kept.within_slo,
        cause=kept.cause,
        ahead=kept.ahead,
        replicas=kept.replicas,
        losses=kept.losses,
        phases=phases,
        batch=_batch_of(kept, kept.batch) if kept.batch else None,
        events=list(events),
        message=kept.message,
        sentences=_sentences(kept, phases, events),
    )


def summary_of(kept: KeptRequest, arrived_at: str) -> TraceSummary:
    """One line of a list."""
    return TraceSummary(
        request_id=kept.request_id,
        function=kept.function,
        kind=kept.kind,
        outcome=kept.outcome,
        code=kept.fault.value if kept.fault else None,
        arrived_at=arrived_at,
        latency_s=kept.latency_s,
        cause=kept.cause,
    )


def _batch_of(kept: KeptRequest, batch: KeptBatch) -> BatchTrace:
    return BatchTrace(
        batch_id=batch.batch_id,
        replica_id=batch.replica_id,
        size=batch.size,
        held_s=_held_s(kept, batch),
        mates=[mate for mate in batch.mates.split() if mate != kept.request_id[:MATE_CHARACTERS]],
        expected_s=batch.expected_s,
    )


def _held_s(kept: KeptRequest, batch: KeptBatch) -> float:
    """How long the request waited although its replica was free."""
    return max(batch.dispatched_at_s - max(batch.free_at_s, kept.arrived_at_s), 0.0) if not kept.cold_wait_s else 0.0


def _sentences(kept: KeptRequest, phases: Sequence[Phase], events: Sequence[PlatformEvent]) -> list[str]:
    said = [_verdict(kept), *_left_out(kept)]
    length_s = {phase.name: phase.duration_s for phase in phases}
    worth_s = kept.latency_s * _WORTH_SAYING_SHARE
    if length_s.get("cold_wait", 0.0) > worth_s:
        why = ": the last one had died" if kept.loss_wait_s > length_s["cold_wait"] / 2 else ""
        said.append(f"No replica was ready for {_text(length_s['cold_wait'])} of that{why}.")
    if kept.losses or length_s.get("retry", 0.0) > worth_s:
        why = f"{_counted(kept.losses, 'replica')} died with it" if kept.losses else "its batch failed and was split"
        said.append(f"{_text(length_s.get('retry', 0.0))} went into runs that came to nothing: {why}.")
    if length_s.get("queue", 0.0) > worth_s:
        said.append(_queue_sentence(kept, length_s["queue"]))
    if kept.cause in {Cause.SERVICE_TIME, Cause.OVERHEAD} and kept.batch is not None:
        said.append(_run_sentence(kept, kept.batch, length_s.get("service", 0.0)))
    if kept.message:
        said.append(f"Its client was told: {kept.message}")
    decided = [event for event in events if event.event == "function.scaled"]
    for event in decided[-_EVENTS_TOLD:]:
        fields = event.fields
        said.append(f"Meanwhile: scaled {fields.get('before')} -> {fields.get('after')}, {fields.get('why')}.")
    return said


def _verdict(kept: KeptRequest) -> str:
    took = _text(kept.latency_s)
    if kept.outcome is Outcome.SERVED:
        if kept.objective_s is None:
            return f"Served in {took}; the function has no objective."
        within = "within" if kept.within_slo else "past"
        return f"Served in {took}, {within} the objective of {_text(kept.objective_s)}."
    code = kept.fault.value if kept.fault else kept.outcome.value
    if kept.fault is Fault.CLIENT_GONE and kept.within_slo is False and kept.objective_s is not None:
        return f"Its client left after {took}, past the objective of {_text(kept.objective_s)}: that counts as bad."
    if kept.latency_s <= 0:
        return f"Ended as {kept.outcome.value} ({code}) before it was taken in."
    return f"Ended as {kept.outcome.value} ({code}) after {took}."


def _left_out(kept: KeptRequest) -> Iterator[str]:
    """Why a request does not count against the objective, if it does not."""
    if kept.objective_s is None or kept.within_slo is not None:
        return
    objective = f"the objective of {_text(kept.objective_s)}"
    if kept.outcome is Outcome.EXPIRED:
        yield f"Its client had asked for an answer in less than {objective}: so it is left out."
    elif kept.outcome is Outcome.CANCELLED:
        yield f"Its client left within {objective}: so it is left out."
    else:
        yield f"That is a fault of the client's: it is left out of {objective}."


def _run_sentence(kept: KeptRequest, batch: KeptBatch, model_s: float) -> str:
    """What its run took and was expected to take, and where that went."""
    run_s = max(kept.latency_s - kept.waited_s, 0.0)
    said = f"Its run, in a batch of {batch.size}, took {_text(run_s)}"
    if batch.encoded_at_s:
        said += f", {_text(model_s)} of it in the model"
    if not batch.expected_s:
        return f"{said}."
    said += f"; {_text(batch.expected_s)} was expected"
    if kept.objective_s is not None and batch.expected_s > kept.objective_s:
        return f"{said}, more than the objective of {_text(kept.objective_s)} allows."
    return f"{said}."


def _queue_sentence(kept: KeptRequest, queued_s: float) -> str:
    said = f"It waited {_text(queued_s)} in the queue"
    came = f"{_were(kept.ahead, 'request')} in flight when it came"
    if kept.batch is None:
        return f"{said}{_aside(kept)}; {came}, {_were(kept.replicas, 'replica')} ready when it ended."
    held_s = _held_s(kept, kept.batch)
    if held_s > queued_s / 2:
        return f"{said}; its replica was free, and the batch was held {_text(held_s)} for more items."
    return f"{said} for a busy replica{_aside(kept)}; {came}."


def _aside(kept: KeptRequest) -> str:
    return ": once it could not be in time any more, requests that could went first" if kept.was_set_aside else ""


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def _were(count: int, noun: str) -> str:
    return f"{_counted(count, noun)} {'was' if count == 1 else 'were'}"


def _text(value_s: float) -> str:
    return f"{value_s:.3g} s" if value_s >= 1 else f"{value_s * 1e3:.3g} ms"

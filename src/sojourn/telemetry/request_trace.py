"""One request told in full: its phases, its batch, and what the platform did meanwhile; as plain data."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from sojourn.domain.request import Outcome
from sojourn.slo.cause import Cause
from sojourn.telemetry.events import PlatformEvent


class TraceKind(StrEnum):
    """Why a request was kept."""

    SLOW = "slow"  # served, but later than the objective
    FAILED = "failed"  # by the function's or the platform's making
    REJECTED = "rejected"  # failed by the client's making
    SHED = "shed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SAMPLE = "sample"  # nothing was wrong with it


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a request's life.

    Args:
        name: admission, cold_wait, retry, queue, dispatch, decode, service, encode, return or write.
        begins_s: Its beginning, in seconds after the arrival.
        duration_s: Its length, >= 0.
    """

    name: str
    begins_s: float
    duration_s: float


class BatchTrace(msgspec.Struct, frozen=True, kw_only=True):
    """The model call a request was in.

    Args:
        batch_id: Its number, one of this function and this server.
        replica_id: Where it ran.
        size: Items in it.
        held_s: Of the wait in the queue, how long a replica was free and the batch was held for more items [s].
        mates: Request ids of others in it: at most eight, and of each the first 32 characters.
        expected_s: What it was expected to take from dispatch to answer, in seconds; 0 if nothing was known.
    """

    batch_id: int
    replica_id: int
    size: int
    held_s: float
    mates: list[str]
    expected_s: float = 0.0


class RequestTrace(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/v1/requests/{request_id}`.

    Args:
        request_id: What the client was told in `x-request-id`.
        function: Which function.
        revision: Of which revision.
        trace_id: W3C trace id, 32 hexadecimal digits: the client's, or one of our own.
        span_id: Ours, 16 hexadecimal digits.
        parent_span_id: The client's; None if it sent no `traceparent`.
        kind: Why it was kept.
        outcome: How it ended.
        code: The stable code of the error; None if it was served.
        arrived_at: When its last byte was received, UTC text.
        latency_s: From then until its answer was handed to the transport.
        objective_s: The latency objective; None if there is none.
        within_slo: Whether it met it; None if there is none or it does not count.
        cause: What it owes its lateness or failure to; None unless it spent error budget.
        ahead: Requests that waited when it came.
        replicas: Replicas that were ready when it ended.
        losses: Replicas that died with it.
        phases: In order of time; they add up to the latency, but for "write", which comes after it and is
            absent while the client has not taken the answer.
        batch: The last call it was in; None if it never ran.
        events: What the platform did for the function meanwhile.
        message: What its client was told instead of an answer, cut after 300 characters; empty if it was served.
        sentences: The same in words: where the time went and why.
    """

    request_id: str
    function: str
    revision: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    kind: TraceKind
    outcome: Outcome
    code: str | None
    arrived_at: str
    latency_s: float
    objective_s: float | None
    within_slo: bool | None
    cause: Cause | None
    ahead: int
    replicas: int
    losses: int
    phases: list[Phase]
    batch: BatchTrace | None
    events: list[PlatformEvent] = []
    message: str = ""
    sentences: list[str] = []


class TraceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `GET /api/v1/requests`, the latest first."""

    request_id: str
    function: str
    kind: TraceKind
    outcome: Outcome
    code: str | None
    arrived_at: str
    latency_s: float
    cause: Cause | None

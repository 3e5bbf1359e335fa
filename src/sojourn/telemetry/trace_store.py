"""Finished requests that are worth a look: all that were slow or went wrong, lately, and a sample of the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

from sojourn.domain.request import Fault, Outcome
from sojourn.domain.trace_context import TraceContext
from sojourn.slo.cause import Cause
from sojourn.telemetry.request_trace import TraceKind

KEPT_OF_A_KIND: Final = 64
SAMPLES_KEPT: Final = 128
# Of requests with nothing wrong about them one in this time is kept, so that at little traffic all of them are.
SAMPLE_EVERY_S: Final = 0.1
MATES_KEPT: Final = 8
MATE_CHARACTERS: Final = 32  # of its request id, which a client may make four times as long

KIND_OF_OUTCOME: Final = {
    Outcome.SERVED: TraceKind.SLOW,
    Outcome.FAILED: TraceKind.FAILED,
    Outcome.SHED: TraceKind.SHED,
    Outcome.EXPIRED: TraceKind.EXPIRED,
    Outcome.CANCELLED: TraceKind.CANCELLED,
}


class KeptBatch(msgspec.Struct, frozen=True, gc=False):
    """The last run of a kept request; instants are monotonic seconds, 0 where there was no answer.

    `free_at_s` is when its replica had become free, `mates` how the request ids of the first in the batch begin (with spaces between, which ids have not: that takes a third), `expected_s` what it was
    expected to take from dispatch to answer (0: nothing was known).
    """

    batch_id: int
    replica_id: int
    size: int
    free_at_s: float
    dispatched_at_s: float
    received_at_s: float = 0.0
    decoded_at_s: float = 0.0
    called_at_s: float = 0.0
    encoded_at_s: float = 0.0
    mates: str = ""
    expected_s: float = 0.0


class KeptRequest(msgspec.Struct):
    """A finished request as the hot path leaves it: figures only. `write_s` may follow when the client took its answer.

    Waits are in seconds, instants in monotonic seconds; `waited_s` is all the time before its last dispatch,
    and `cold_wait_s` and `retry_s` are parts of it; `loss_wait_s` is that part of the cold wait that began with the loss
    of the last replica. `message` is what the client was told instead of an answer. `was_set_aside`: its deadline
    passed while it waited, so that those that could still be in time went first.
    """

    request_id: str
    function: str
    revision: str
    trace: TraceContext | None
    kind: TraceKind
    outcome: Outcome
    fault: Fault | None
    cause: Cause | None
    within_slo: bool | None
    objective_s: float | None
    arrived_at_s: float
    admission_s: float
    waited_s: float
    cold_wait_s: float
    retry_s: float
    latency_s: float
    losses: int
    ahead: int
    replicas: int
    batch: KeptBatch | None
    loss_wait_s: float = 0.0
    message: str = ""
    write_s: float | None = None
    was_set_aside: bool = False


class TraceStore:
    """Keeps the last requests of each kind, per function; memory is bounded by the number of functions in use.

    This is the one place finished requests are handed to; a later exporter listens here.
    """

    __slots__ = ("_by_function", "_by_id")

    def __init__(self) -> None:
        self._by_function: dict[str, dict[TraceKind, deque[KeptRequest]]] = {}
        self._by_id: dict[str, KeptRequest] = {}

    def keep(self, request: KeptRequest) -> None:
        """Take a finished request; the oldest of its kind goes."""
        kinds = self._by_function.setdefault(request.function, {})
        kept = kinds.get(request.kind)
        if kept is None:
            kept = kinds[request.kind] = deque()
        if len(kept) >= (SAMPLES_KEPT if request.kind is TraceKind.SAMPLE else KEPT_OF_A_KIND):
            gone = kept.popleft()
            if self._by_id.get(gone.request_id) is gone:  # else a later request has the same id
                del self._by_id[gone.request_id]
        kept.append(request)
        self._by_id[request.request_id] = request

    def forget(self, function: str) -> None:
        """Drop the requests of a function that is gone."""
        for kept in self._by_function.pop(function, {}).values():
            for request in kept:
                if self._by_id.get(request.request_id) is request:
                    del self._by_id[request.request_id]

    def find(self, request_id: str) -> KeptRequest | None:
        """The latest request of this id, if it was kept and has not gone yet."""
        return self._by_id.get(request_id)

    def latest(self, function: str | None, kind: TraceKind | None, limit: int) -> list[KeptRequest]:
        """The last `limit` requests, of one function and kind or (None) of all, the latest end first."""
        found = [request for request in self._all(function) if kind is None or request.kind is kind]
        found.sort(key=lambda request: request.arrived_at_s + request.latency_s, reverse=True)
        return found[:limit]

    def _all(self, function: str | None) -> Iterator[KeptRequest]:
        for name, kinds in self._by_function.items():
            if function is None or name == function:
                for kept in kinds.values():
                    yield from kept

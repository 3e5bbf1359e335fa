"""What the admin port may ask about objectives and about single requests."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from sojourn.domain.trace_context import own_ids
from sojourn.runtime.lineage import found
from sojourn.runtime.slo_view import SLOView
from sojourn.slo.status import SLOHistory, SLOStatus
from sojourn.telemetry.explain import summary_of, trace_of
from sojourn.telemetry.journal import Entry
from sojourn.telemetry.journal_file import JournalHead
from sojourn.telemetry.log import utc_text
from sojourn.telemetry.request_trace import RequestTrace, TraceKind, TraceSummary

if TYPE_CHECKING:
    from sojourn.runtime.slo_watch import SLOWatch
    from sojourn.telemetry.events import EventRing
    from sojourn.telemetry.trace_store import KeptRequest, TraceStore


class Insight:
    """Puts together what monitors, alerts, history, kept requests and events say.

    Args:
        watch: Knows the functions, their alerts and the history.
        traces: The requests that were kept.
        ring: What happened on the platform.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        watch: SLOWatch,
        traces: TraceStore,
        ring: EventRing,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._slo = SLOView(watch, clock)
        self._watch = watch
        self._traces = traces
        self._ring = ring

    async def slo(self, function: str) -> SLOStatus | None:
        """How a function's objective stands; None for an unknown function."""
        return await self._slo.status(function)

    async def slo_history(self, function: str, window_s: float | None) -> SLOHistory | None:
        """What happened over the last `window_s` seconds (None: all of the objective's window that is known)."""
        return await self._slo.history(function, window_s)

    def journal(self, function: str) -> tuple[JournalHead, list[Entry]] | None:
        """The last steps of a function's dispatcher, `name` or `name@revision`; None for an unknown function. Writing them out may take a while."""
        service = found(self._watch.lineages, function)
        if service is None:
            return None
        journal = service.journal
        head = JournalHead(
            function=function,
            revision=service.revision,
            settings=service.manifest.settings,
            dropped=journal.dropped,
            resumed=service.resumed,
        )
        return head, journal.tail(len(journal))

    def request(self, request_id: str) -> RequestTrace | None:
        """All there is to tell of a request; None if it was not kept, or has gone."""
        kept = self._traces.find(request_id)
        if kept is None:
            return None
        begins_s = kept.arrived_at_s
        ends_s = begins_s + kept.latency_s
        events = self._ring.between(begins_s, ends_s, kept.function)
        trace_id, span_id = _ids_of(kept)
        return trace_of(kept, trace_id=trace_id, span_id=span_id, arrived_at=self._at(kept), events=events)

    def requests(self, function: str | None, kind: TraceKind | None, limit: int) -> list[TraceSummary]:
        """The last `limit` requests that were kept, the latest first."""
        return [summary_of(kept, self._at(kept)) for kept in self._traces.latest(function, kind, limit)]

    def _at(self, kept: KeptRequest) -> str:
        return utc_text(kept.arrived_at_s + self._watch.offset_s)


def _ids_of(kept: KeptRequest) -> tuple[str, str]:
    """The trace and span of a request; one that came without a trace has its own, made from its request id."""
    if kept.trace is not None:
        return kept.trace.trace_id, kept.trace.span_id
    return own_ids(kept.request_id)

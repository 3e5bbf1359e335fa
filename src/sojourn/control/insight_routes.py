"""The routes that answer about objectives and single requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sojourn.control.answers import error_answer, json_answer, unknown_function
from sojourn.control.asked import Choice, Text, WholeNumber
from sojourn.control.endpoint import Answered, Endpoint
from sojourn.control.ports import Insight, Overview
from sojourn.control.shapes import RequestList
from sojourn.domain.access import READ
from sojourn.slo.status import SLOHistory, SLOStatus
from sojourn.telemetry.journal import Entry
from sojourn.telemetry.journal_file import JournalHead, journal_lines
from sojourn.telemetry.request_trace import RequestTrace, TraceKind
from sojourn.telemetry.trace_store import KEPT_OF_A_KIND

REQUESTS_DEFAULT = 20
REQUESTS_MAX = 1000
_WINDOW_S_MAX = 90 * 24 * 3600
_ID_SHOWN = 128
_LINES_AT_ONCE = 64

WINDOW = WholeNumber(
    "window_s", "How far back, in seconds; without it, over the objective's own window.", 10, _WINDOW_S_MAX
)
LIMIT = WholeNumber("limit", "Most requests.", 1, REQUESTS_MAX, REQUESTS_DEFAULT)
KIND = Choice("kind", "Only those kept for this reason.", TraceKind)
FUNCTION = Text("function", "Only those of this function.")


class InsightRoutes:
    """One method per route.

    Args:
        overview: Names the functions there are.
        insight: Answers.
    """

    def __init__(self, overview: Overview, insight: Insight) -> None:
        self._overview = overview
        self._insight = insight

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        of_function = "/api/v1/functions/{name}"
        return [
            Endpoint("GET", f"{of_function}/slo", self.slo, READ, "objectives", Answered(SLOStatus)),
            Endpoint(
                "GET", f"{of_function}/slo/history", self.slo_history, READ, "objectives", Answered(SLOHistory), (WINDOW,)
            ),
            Endpoint(
                "GET", f"{of_function}/journal", self.journal, READ, "requests", Answered(None, ("application/x-ndjson",))
            ),
            Endpoint(
                "GET", "/api/v1/requests", self.requests, READ, "requests", Answered(RequestList),
                (LIMIT, KIND, FUNCTION), errors={404: "No such function is deployed."},
            ),
            Endpoint(
                "GET", "/api/v1/requests/{request_id:path}", self.request, READ, "requests", Answered(RequestTrace),
                errors={404: "No such request is kept."},
            ),
        ]  # fmt: skip

    async def slo(self, request: Request) -> Response:
        """How its objective stands: attainment, budget, burn rates, alerts, causes."""
        name = request.path_params["name"]
        status = await self._insight.slo(name)
        return json_answer(status) if status is not None else unknown_function(request, name, self._overview)

    async def slo_history(self, request: Request) -> Response:
        """What happened over a window, in cells."""
        name = request.path_params["name"]
        history = await self._insight.slo_history(name, WINDOW.of(request))
        return json_answer(history) if history is not None else unknown_function(request, name, self._overview)

    async def journal(self, request: Request) -> Response:
        """The last steps of its dispatcher, one JSON line each."""
        name = request.path_params["name"]
        found = self._insight.journal(name)
        if found is None:
            return unknown_function(request, name, self._overview)
        return StreamingResponse(_lines_of(*found), headers={"content-type": "application/x-ndjson"})

    async def requests(self, request: Request) -> Response:
        """The requests that were kept, the latest first."""
        limit = LIMIT.of(request) or REQUESTS_DEFAULT
        function, kind = FUNCTION.of(request), KIND.of(request)
        if function is not None and self._overview.function(function) is None:
            return unknown_function(request, function, self._overview)
        return json_answer(RequestList(self._insight.requests(function, kind, limit)))

    async def request(self, request: Request) -> Response:
        """One request in full."""
        request_id = request.path_params["request_id"]
        trace = self._insight.request(request_id)
        if trace is not None:
            return json_answer(trace)
        message = (
            f"no request {request_id[:_ID_SHOWN]!r} is kept; since the server's start, of each function the last "
            f"{KEPT_OF_A_KIND} of every kind are (slow, failed, ...), of good ones up to ten a second: "
            "/api/v1/requests lists them"
        )
        return error_answer(request, 404, message, "unknown_request")


async def _lines_of(head: JournalHead, steps: Sequence[Entry]) -> AsyncIterator[bytes]:
    """The lines in pieces, so that requests are served in between."""
    lines = journal_lines(head, steps)
    while piece := b"".join(islice(lines, _LINES_AT_ONCE)):
        yield piece
        await asyncio.sleep(0)

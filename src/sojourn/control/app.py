"""The admin port's routes, over whatever `Overview` it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from prometheus_client import ProcessCollector
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sojourn import __version__
from sojourn.control.answers import error_answer, failure_answer, json_answer, unknown_function
from sojourn.control.asked import ScaleAsked, json_body, refuse_other_sites, switch, whole_number
from sojourn.control.event_stream import EventStreams
from sojourn.control.index import index_page
from sojourn.control.insight_routes import InsightRoutes
from sojourn.control.ports import Insight, Operations, Overview
from sojourn.errors import ConfigurationError, UnknownFunctionError
from sojourn.telemetry.exposition import RefusalCollector, render

LINES_DEFAULT = 100
LINES_MAX = 10_000
EVENTS_DEFAULT = 100
_SEQ_MAX = 10**18 - 1
_SCALE_EXAMPLE = '{"min_replicas": 1, "max_replicas": 4}'


class AdminRoutes:
    """One method per route.

    Args:
        overview: What the server is doing.
        operations: What may be asked of it.
        insight: Answers about objectives and requests.
        streams: The platform's events, and who follows them.
        executor: Where slow rendering runs, off the loop.
        refusals: Counts of what the gateway refused by itself, by code.
    """

    def __init__(
        self,
        overview: Overview,
        operations: Operations,
        insight: Insight,
        streams: EventStreams,
        executor: Executor,
        refusals: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._refusals = refusals
        self._overview = overview
        self._insight = insight
        self._operations = operations
        self._streams = streams
        self._executor = executor
        self._process = ProcessCollector(registry=None)

    def application(self) -> Starlette:
        """The routes and error answers as an ASGI application."""
        routes = [
            Route("/", self.index),
            Route("/healthz", self.health),
            Route("/metrics", self.metrics),
            Route("/api/v1/functions", self.functions),
            Route("/api/v1/functions/{name}", self.function),
            Route("/api/v1/functions/{name}/logs", self.logs),
            Route("/api/v1/functions/{name}/scale", self.scale, methods=["PUT"]),
            Route("/api/v1/events", self.events),
            *InsightRoutes(self._overview, self._insight).routes(),
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: failure_answer})
        app.router.redirect_slashes = False
        return app

    async def index(self, request: Request) -> Response:  # noqa: ARG002 (the shape of a route)
        """A page for people."""
        return HTMLResponse(index_page(self._overview.functions(), __version__))

    async def health(self, request: Request) -> Response:  # noqa: ARG002 (the shape of a route)
        """The loop turns: that is all it says."""
        return json_answer({"status": "ok", "version": __version__})

    async def metrics(self, request: Request) -> Response:
        """Prometheus text or OpenMetrics, as the scraper asks."""
        # Snapshots belong to the loop, which owns the counters; formatting them does not.
        snapshots, refusals = self._overview.snapshots(), dict(self._refusals())
        loop = asyncio.get_running_loop()
        accept = request.headers.get("accept", "")
        body, content_type = await loop.run_in_executor(
            self._executor, lambda: render(snapshots, accept, also=(RefusalCollector(refusals), self._process))
        )
        return Response(body, headers={"content-type": content_type})

    async def functions(self, request: Request) -> Response:  # noqa: ARG002 (the shape of a route)
        """All functions, one row each."""
        return json_answer({"functions": self._overview.functions()})

    async def function(self, request: Request) -> Response:
        """One function in full."""
        name = request.path_params["name"]
        detail = self._overview.function(name)
        if detail is None:
            return self._unknown(request, name)
        loop = asyncio.get_running_loop()
        return json_answer(await loop.run_in_executor(self._executor, self._overview.with_memory, detail))

    async def logs(self, request: Request) -> Response:
        """The last lines its replicas wrote."""
        name = request.path_params["name"]
        wanted = whole_number(request, "lines", 1, LINES_MAX, LINES_DEFAULT) or LINES_DEFAULT
        lines = self._overview.output(name, wanted)
        return json_answer({"function": name, "lines": lines}) if lines is not None else self._unknown(request, name)

    async def scale(self, request: Request) -> Response:
        """Set the floor and ceiling of its replicas; answers with its row as it is then."""
        name = request.path_params["name"]
        asked = await json_body(request, ScaleAsked, _SCALE_EXAMPLE)
        if asked == ScaleAsked():
            return error_answer(request, 400, f"give min_replicas, max_replicas or both, for example {_SCALE_EXAMPLE}")
        try:
            self._operations.scale(name, asked.min_replicas, asked.max_replicas)
        except UnknownFunctionError:
            return self._unknown(request, name)
        except ConfigurationError as err:
            return error_answer(request, 400, f"function {name!r} cannot be scaled so: {err}", "limits_out_of_range")
        detail = self._overview.function(name)
        return json_answer(detail) if detail is not None else self._unknown(request, name)

    async def events(self, request: Request) -> Response:
        """What happened lately, as JSON; or from then on, as a stream that does not end by itself."""
        ring = self._streams.ring
        function = request.query_params.get("function")
        since = whole_number(request, "since", 0, _SEQ_MAX, None)
        limit = whole_number(request, "limit", 1, ring.capacity, None)
        accepts_stream = "text/event-stream" in request.headers.get("accept", "").lower()
        if request.method == "GET" and (switch(request, "follow") or accepts_stream):
            return self._follow(request, since, limit, function)
        limit = limit or EVENTS_DEFAULT
        return json_answer(ring.latest(limit, function) if since is None else ring.since(since, limit, function))

    def _follow(self, request: Request, since: int | None, limit: int | None, function: str | None) -> Response:
        refuse_other_sites(request)
        ring = self._streams.ring
        last_id = request.headers.get("last-event-id", "")
        if last_id.isascii() and last_id.isdigit() and int(last_id[:18]) <= _SEQ_MAX:
            since = int(last_id[:18])  # of a reader that comes back, and repeats the query it first came with
        if since is None:
            latest = ring.latest(limit or 0, function).events
            since = latest[0].seq - 1 if latest else ring.last_seq
        stream = self._streams.open(since, function)
        if stream is None:
            message = "as many event streams are open as the server allows, or it is closing; end one, or poll"
            return error_answer(request, 503, message, retry_after="10")
        return stream

    def _unknown(self, request: Request, name: str) -> Response:
        return unknown_function(request, name, self._overview)


async def _refused(request: Request, err: Exception) -> Response:
    """Answers for what the router refuses: no such path, wrong method."""
    status = err.status_code if isinstance(err, HTTPException) else 500
    path = request.url.path[:200]
    if status == 405:
        allow = (err.headers or {}).get("Allow", "GET") if isinstance(err, HTTPException) else "GET"
        return error_answer(request, 405, f"{path} does not take {request.method}; use one of {allow}", allow=allow)
    if status == 404:
        return error_answer(request, 404, f"nothing is at {path}; start at / or /api/v1/functions")
    return error_answer(request, status, str(getattr(err, "detail", err)))

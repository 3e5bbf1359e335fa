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

from sojourn import __version__
from sojourn.access.key_ring import KeyRing
from sojourn.control.answers import error_answer, failure_answer, json_answer, unknown_function
from sojourn.control.asked import JsonBody, Switch, Text, WholeNumber, refuse_other_sites
from sojourn.control.deploy_routes import DeployRoutes
from sojourn.control.docs_routes import DocsRoutes
from sojourn.control.endpoint import OPEN, Answered, Endpoint, EndpointTable
from sojourn.control.event_stream import EventStreams
from sojourn.control.index import index_page
from sojourn.control.insight_routes import InsightRoutes
from sojourn.control.key_routes import KeyRoutes
from sojourn.control.ports import Deployments, Insight, Operations, Overview
from sojourn.control.shapes import FunctionList, FunctionOutput, Health, ScaleAsked
from sojourn.domain.access import ADMIN, READ, KeyRecord
from sojourn.errors import ConfigurationError, StateError, UnknownFunctionError
from sojourn.telemetry.events import EVENTS_KEPT, EventPage, PlatformEvents
from sojourn.telemetry.exposition import RefusalCollector, render
from sojourn.telemetry.status import FunctionDetail

LINES_DEFAULT = 100
LINES_MAX = 10_000
EVENTS_DEFAULT = 100
METRICS_TYPES = ("text/plain", "application/openmetrics-text")
_SEQ_MAX = 10**18 - 1

LINES = WholeNumber("lines", "How many of the last lines.", 1, LINES_MAX, LINES_DEFAULT)
SINCE = WholeNumber("since", "Only what followed the event of this number; without it, the latest.", 0, _SEQ_MAX)
LIMIT = WholeNumber("limit", f"Most events; without it, {EVENTS_DEFAULT}.", 1, EVENTS_KEPT)
FUNCTION = Text("function", "Only those of this function.")
FOLLOW = Switch("follow", "Go on with what happens from now on, as a stream of server-sent events.")
SCALE = JsonBody(ScaleAsked, '{"min_replicas": 1, "max_replicas": 4}')


class AdminRoutes:
    """One method per route.

    Args:
        overview: What the server is doing.
        operations: What may be asked of it.
        insight: Answers about objectives and requests.
        deployments: What is deployed, and its changes.
        streams: The platform's events, and who follows them.
        executor: Where slow rendering runs, off the loop.
        keys: The keys there are, to be made, listed and revoked.
        events: Told of what happens to keys.
        refusals: Counts of what the gateway refused by itself, by code.
    """

    def __init__(
        self,
        overview: Overview,
        operations: Operations,
        insight: Insight,
        deployments: Deployments,
        streams: EventStreams,
        executor: Executor,
        keys: KeyRing,
        events: PlatformEvents,
        refusals: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._refusals = refusals
        self._overview = overview
        self._insights = InsightRoutes(overview, insight)
        self._deploys = DeployRoutes(overview, deployments)
        self._keys = KeyRoutes(keys, events)
        self._keyring = keys
        self._operations = operations
        self._streams = streams
        self._executor = executor
        self._process = ProcessCollector(registry=None)

    def table(self) -> EndpointTable:
        """All routes of the port."""
        described: list[Endpoint] = [
            *self._endpoints(),
            *self._deploys.endpoints(),
            *self._insights.endpoints(),
            *self._keys.endpoints(),
        ]
        docs = DocsRoutes()
        table = EndpointTable([*described, *docs.endpoints()])
        docs.describe(table)
        return table

    def _endpoints(self) -> list[Endpoint]:
        of_function = "/api/v1/functions/{name}"
        return [
            Endpoint("GET", "/", self.index, READ, "pages", Answered(None, ("text/html",))),
            Endpoint("GET", "/healthz", self.health, OPEN, "server", Answered(Health)),
            Endpoint("GET", "/metrics", self.metrics, READ, "server", Answered(None, METRICS_TYPES)),
            Endpoint(
                "GET", "/api/v1/events", self.events, READ, "server",
                Answered(EventPage, ("application/json", "text/event-stream")), (SINCE, LIMIT, FUNCTION, FOLLOW),
                errors={503: "As many event streams are open as the server allows."},
            ),
            Endpoint("GET", "/api/v1/functions", self.functions, READ, "functions", Answered(FunctionList)),
            Endpoint("GET", of_function, self.function, READ, "functions", Answered(FunctionDetail)),
            Endpoint("GET", f"{of_function}/logs", self.logs, READ, "functions", Answered(FunctionOutput), (LINES,)),
            Endpoint(
                "PUT", f"{of_function}/scale", self.scale, ADMIN, "functions", Answered(FunctionDetail), body=SCALE
            ),
        ]  # fmt: skip

    async def index(self, request: Request) -> Response:  # noqa: ARG002 (the shape of a route)
        """A page for people."""
        return HTMLResponse(index_page(self._overview.functions(), __version__))

    async def health(self, request: Request) -> Response:  # noqa: ARG002 (the shape of a route)
        """The loop turns: that is all it says."""
        return json_answer(Health("ok", __version__))

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
        return json_answer(FunctionList(self._overview.functions()))

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
        lines = self._overview.output(name, LINES.of(request) or LINES_DEFAULT)
        return json_answer(FunctionOutput(name, lines)) if lines is not None else self._unknown(request, name)

    async def scale(self, request: Request) -> Response:
        """Set the floor and ceiling of its replicas; answers with its row as it is then."""
        name = request.path_params["name"]
        asked = await SCALE.of(request)
        if asked == ScaleAsked():
            return error_answer(request, 400, f"give min_replicas, max_replicas or both, for example {SCALE.example}")
        try:
            self._operations.scale(name, asked.min_replicas, asked.max_replicas)
        except UnknownFunctionError:
            return self._unknown(request, name)
        except ConfigurationError as err:
            return error_answer(request, 400, f"function {name!r} cannot be scaled so: {err}", "limits_out_of_range")
        except StateError as err:
            message = f"function {name!r} was not scaled, since that cannot be kept: {err}"
            return error_answer(request, 503, message, "state_unavailable")
        detail = self._overview.function(name)
        return json_answer(detail) if detail is not None else self._unknown(request, name)

    async def events(self, request: Request) -> Response:
        """What happened lately, as JSON; or from then on, as a stream that does not end by itself."""
        ring = self._streams.ring
        function, since, limit = FUNCTION.of(request), SINCE.of(request), LIMIT.of(request)
        accepts_stream = "text/event-stream" in request.headers.get("accept", "").lower()
        if request.method == "GET" and (FOLLOW.of(request) or accepts_stream):
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
        holder: KeyRecord = request.scope["state"]["holder"]
        stream = self._streams.open(since, function, lambda: self._keyring.honours(holder))
        if stream is None:
            message = "as many event streams are open as the server allows, or it is closing; end one, or poll"
            return error_answer(request, 503, message, retry_after="10")
        return stream

    def _unknown(self, request: Request, name: str) -> Response:
        return unknown_function(request, name, self._overview)


def application(table: EndpointTable) -> Starlette:
    """The routes and error answers as an ASGI application."""
    app = Starlette(routes=table.routes(), exception_handlers={HTTPException: _refused, Exception: failure_answer})
    app.router.redirect_slashes = False
    return app


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

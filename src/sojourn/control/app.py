"""The admin port's routes, over whatever `Overview` it is given."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from prometheus_client import ProcessCollector
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sojourn import __version__
from sojourn.control.answers import error_answer, failure_answer, json_answer
from sojourn.control.index import index_page
from sojourn.control.ports import Overview
from sojourn.telemetry.exposition import render

LINES_DEFAULT = 100
LINES_MAX = 10_000


class AdminRoutes:
    """One method per route.

    Args:
        overview: What the server is doing.
        executor: Where slow rendering runs, off the loop.
    """

    def __init__(self, overview: Overview, executor: Executor) -> None:
        self._overview = overview
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
        snapshots = self._overview.snapshots()
        loop = asyncio.get_running_loop()
        accept = request.headers.get("accept", "")
        body, content_type = await loop.run_in_executor(
            self._executor, lambda: render(snapshots, accept, also=(self._process,))
        )
        return Response(body, headers={"content-type": content_type})

    async def functions(self, request: Request) -> Response:  # noqa: ARG002 (the shape of a route)
        """All functions, one row each."""
        return json_answer({"functions": self._overview.functions()})

    async def function(self, request: Request) -> Response:
        """One function in full."""
        name = request.path_params["name"]
        detail = self._overview.function(name)
        return json_answer(detail) if detail is not None else self._unknown(request, name)

    async def logs(self, request: Request) -> Response:
        """The last lines its replicas wrote."""
        name = request.path_params["name"]
        text = request.query_params.get("lines", str(LINES_DEFAULT))
        if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= LINES_MAX):
            return error_answer(request, 400, f"lines must be a whole number in [1, {LINES_MAX}], not {text[:40]!r}")
        lines = self._overview.output(name, int(text))
        return json_answer({"function": name, "lines": lines}) if lines is not None else self._unknown(request, name)

    def _unknown(self, request: Request, name: str) -> Response:
        known = ", ".join(status.name for status in self._overview.functions()[:20]) or "none"
        message = f"no function is called {name[:100]!r}; deployed: {known}"
        return error_answer(request, 404, message, "unknown_function")


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

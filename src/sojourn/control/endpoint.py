"""A route of the admin port: where it is, who may use it, what it takes and what it answers; told in one place.

To add routes, write a class with one method per route and a method `endpoints` that lists them (`KeyRoutes` is a small
example), and add it to the table in `AdminRoutes.table`. Who may use a route, the checks of its parameters, the
description at `/openapi.json` and the page at `/docs` all come from its `Endpoint`:

    ROLL_BACK = JsonBody(RollbackAsked, '{"revision": "0123456789ab"}')
    STEPS = WholeNumber("steps", "How many revisions back.", 1, 100, 1)

    Endpoint(
        "POST", "/api/v1/functions/{name}/rollback", self.roll_back, scope=DEPLOY, tag="deployments",
        query=(STEPS,), body=ROLL_BACK, answer=Answered(RolloutStatus, status=202), errors={409: "It is rolling out."},
    )

Its summary and description are the docstring of the method. The method reads `STEPS.of(request)` and
`await ROLL_BACK.of(request)`, answers `json_answer(struct, 202)`, and refuses with `error_answer`. A key without the
scope never reaches it.

Scopes: `read` for whatever only tells; `deploy` for what changes which code serves; `admin` for keys and for the
limits of replicas. A scope does not include another, but `admin` allows everything. `OPEN` is for health alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sojourn.control.answers import error_answer, function_hidden
from sojourn.control.asked import QueryParameter, RequestBody, refuse_other_sites
from sojourn.domain.access import ADMIN, DEPLOY, READ, KeyRecord
from sojourn.errors import ConfigurationError

OPEN: Final = "open"
_SCOPES: Final = frozenset({READ, DEPLOY, ADMIN, OPEN})
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_OF_FUNCTION: Final = "/api/v1/functions/{name}"


class Answered(msgspec.Struct, frozen=True):
    """What a route answers when all is well.

    Args:
        kind: The type of its JSON; None if it is no JSON.
        content_types: What it may come as.
        status: Its HTTP status.
    """

    kind: Any = None
    content_types: tuple[str, ...] = ("application/json",)
    status: int = 200


class Endpoint(msgspec.Struct, frozen=True):
    """One method at one path; the module's docstring shows how it is used.

    Args:
        method: HTTP method; HEAD comes with GET.
        path: Path with its parameters in braces.
        run: What answers; its docstring is what people are told.
        scope: What a key must allow: `READ`, `DEPLOY`, `ADMIN`, or `OPEN` for nothing.
        tag: The chapter of the description it stands in.
        answer: What it answers.
        query: Its query parameters.
        body: Its body, if it takes one.
        also: Other scopes that allow it, too.
        errors: Errors of its own by status, with when they come; those every route of its kind has need not be told.

    Raises:
        ConfigurationError: Something is missing or unknown.
    """

    method: str
    path: str
    run: Callable[[Request], Awaitable[Response]]
    scope: str
    tag: str
    answer: Answered = Answered()
    query: tuple[QueryParameter, ...] = ()
    body: RequestBody | None = None
    errors: dict[int, str] = {}
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = [
            text
            for is_bad, text in (
                (self.scope not in _SCOPES, f"scope must be one of {', '.join(sorted(_SCOPES))}, not {self.scope!r}"),
                (self.method not in _METHODS, f"method must be one of {', '.join(sorted(_METHODS))}"),
                (not (self.run.__doc__ or "").strip(), "what answers has no docstring to tell people what it does"),
            )
            if is_bad
        ]
        if faults:
            raise ConfigurationError(f"route {self.method} {self.path}: " + "; ".join(faults))

    @property
    def is_of_function(self) -> bool:
        """Whether it is about one function, named in its path."""
        return self.path.startswith(_OF_FUNCTION)

    def refusal(self, request: Request) -> Response | None:
        """What a key without the scope is answered: as if there were no such function, or else that it may not."""
        holder: KeyRecord | None = request.scope["state"].get("holder")
        if self.scope == OPEN or (holder is not None and any(map(holder.allows, (self.scope, *self.also)))):
            return None
        if self.is_of_function:
            return function_hidden(request, request.path_params["name"])
        message = f"this key has no scope for {request.method} {self.path}; it needs {' or '.join(dict.fromkeys((self.scope, ADMIN)))}"
        return error_answer(request, 403, message, "scope_missing")


class EndpointRoute(Route):
    """All endpoints of one path: finds the one of a request's method and lets through whom it allows."""

    def __init__(self, path: str, endpoints: list[Endpoint]) -> None:
        self.endpoints = {endpoint.method: endpoint for endpoint in endpoints}
        super().__init__(path, self._answer, methods=list(self.endpoints))

    async def _answer(self, request: Request) -> Response:
        endpoint = self.endpoints["GET" if request.method == "HEAD" else request.method]
        refused = endpoint.refusal(request)
        if refused is not None:
            return refused
        if request.method not in {"GET", "HEAD"}:
            refuse_other_sites(request)
        return await endpoint.run(request)


class EndpointTable:
    """All endpoints of the port, in the order in which the description tells them.

    Raises:
        ConfigurationError: Two have the same method and path.
    """

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints
        seen = [(endpoint.method, endpoint.path) for endpoint in endpoints]
        twice = sorted({f"{method} {path}" for method, path in seen if seen.count((method, path)) > 1})
        if twice:
            raise ConfigurationError(f"routes declared twice: {', '.join(twice)}")

    @property
    def open_paths(self) -> frozenset[str]:
        """Paths that are answered without a key."""
        return frozenset(endpoint.path for endpoint in self.endpoints if endpoint.scope == OPEN)

    def routes(self) -> list[EndpointRoute]:
        """One route per path."""
        by_path: dict[str, list[Endpoint]] = {}
        for endpoint in self.endpoints:
            by_path.setdefault(endpoint.path, []).append(endpoint)
        return [EndpointRoute(path, endpoints) for path, endpoints in by_path.items()]

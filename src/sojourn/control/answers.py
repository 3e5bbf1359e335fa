"""Answers of the admin port: JSON, errors of one shape, headers every answer carries."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sojourn.control.ports import Overview
from sojourn.domain.access import READ, KeyRecord
from sojourn.domain.answer import ErrorBody

_CODES = {
    400: "bad_request",
    401: "unauthenticated",
    403: "other_site",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_content_type",
    421: "host_not_allowed",
    503: "too_many_streams",
}


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`value` (plain data or structs) as a JSON answer."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def failure_answer(request: Request, err: Exception) -> Response:  # noqa: ARG001 (the shape of a handler)
    """A 500 that tells the client where the cause stands and not what it is."""
    return error_answer(request, 500, "the server failed to answer this; its log names the cause under this request_id")


def error_answer(request: Request, status: int, message: str, code: str = "", **headers: str) -> Response:
    """The one shape of errors: what, where and how to fix it, a stable code and the request's id."""
    code = code or _CODES.get(status, "internal_error" if status >= 500 else "bad_request")
    body = ErrorBody(message, code, request.scope["state"]["request_id"])
    return json_answer(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def unknown_function(request: Request, name: str, overview: Overview) -> Response:
    """A 404 that tells which functions there are, to whoever may know."""
    holder: KeyRecord = request.scope["state"]["holder"]
    if not holder.allows(READ):
        return function_hidden(request, name)
    known = ", ".join(status.name for status in overview.functions()[:20]) or "none"
    return error_answer(request, 404, f"no function is called {name[:100]!r}; deployed: {known}", "unknown_function")


def function_hidden(request: Request, name: str) -> Response:
    """The 404 for whoever may not know which functions there are: the same whether this one exists or not."""
    message = f"no function is called {name[:100]!r}, or this key has no scope for it"
    return error_answer(request, 404, message, "unknown_function")

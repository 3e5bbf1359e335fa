"""Reads what a request to the admin port asks for; what cannot be used is an error that says how to ask."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

BODY_BYTES_MAX: Final = 4096
_DIGITS_MAX = 18

_T = TypeVar("_T")


class ScaleAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PUT /api/v1/functions/{name}/scale`; what is left out stays as it is."""

    min_replicas: int | None = None
    max_replicas: int | None = None


def whole_number(request: Request, name: str, low: int, high: int, default: int | None) -> int | None:
    """A query parameter as a whole number in [low, high]; `default` if it was not given.

    Raises:
        HTTPException: 400, it is something else.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and low <= int(text) <= high):
        raise HTTPException(400, f"{name} must be a whole number in [{low}, {high}], not {text[:40]!r}")
    return int(text)


def switch(request: Request, name: str) -> bool:
    """A query parameter as yes or no; no if it was not given.

    Raises:
        HTTPException: 400, it is something else.
    """
    text = request.query_params.get(name, "0").lower()
    if text not in {"1", "0", "true", "false"}:
        raise HTTPException(400, f"{name} must be 1 or 0, not {text[:40]!r}")
    return text in {"1", "true"}


def refuse_other_sites(request: Request) -> None:
    """Keep pages of other sites in the user's browser from doing what more than reads a page.

    Browsers say so themselves; whoever is no browser has no such header and is not meant.

    Raises:
        HTTPException: 403, the request comes from another site's page.
    """
    if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise HTTPException(403, "pages of other sites may not ask for this; open this port's own pages, or use a tool")


async def json_body(request: Request, kind: type[_T], example: str) -> _T:
    """The body of a request that changes something, decoded.

    A form of another site can send no such content type without asking first, and nobody answers it yes.

    Args:
        request: Whose body is not read yet.
        kind: What it must be.
        example: A good body, for the error.

    Raises:
        HTTPException: 403, 413, 415, or 400 with the place of the fault.
    """
    refuse_other_sites(request)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise HTTPException(415, f"send content-type: application/json, not {content_type[:60] or 'none'!r}")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise HTTPException(413, f"the body may have {BODY_BYTES_MAX} bytes at most; {example} would do")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as err:
        raise HTTPException(400, f"the body cannot be used: {str(err)[:200]}; send for example {example}") from err

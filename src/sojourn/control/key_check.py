"""Whose request it is: finds the key that came with it, before anybody looks at what it asks for."""

from __future__ import annotations

import base64
import binascii

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sojourn.access.key_ring import ANYBODY, KeyRing
from sojourn.access.secret import id_of
from sojourn.control.answers import error_answer
from sojourn.domain.access import KeyRecord

_MISSING = (
    "send a key as `authorization: Bearer KEY` (a browser: as the password, with any name); "
    "`sojourn key create` makes one"
)
_INCOMPLETE = "this is not a whole key: copy all of its text, from `sj_` to the last letter"
_UNKNOWN = "this key is unknown, has expired or was revoked; ask the server's owner for another"


class KeyCheck:
    """Wraps the routes: leaves the key's record in the request's state as `holder`, or answers 401.

    Browsers cannot send a bearer token by themselves, so that a key is also taken as the password of HTTP's Basic
    scheme, and pages ask for it that way. What changes something is guarded against pages of other sites, which
    would make a browser send it along (`asked.refuse_other_sites`).

    Args:
        app: The routes.
        keys: The keys there are.
        open_paths: What is answered without one.
    """

    def __init__(self, app: ASGIApp, keys: KeyRing, open_paths: frozenset[str]) -> None:
        self._app = app
        self._keys = keys
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        holder = ANYBODY if self._keys.is_open else self._holder(Headers(scope=scope))
        if isinstance(holder, KeyRecord):
            scope["state"]["holder"] = holder
        elif scope["path"] not in self._open_paths:
            await _unauthenticated(Request(scope, receive), holder)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _holder(self, headers: Headers) -> KeyRecord | str:
        """The key that came with a request, or what to tell its sender."""
        sent = headers.getlist("authorization")
        secret = _secret_in(sent[0]) if len(sent) == 1 else None
        if secret is None:
            return _MISSING
        if id_of(secret) is None:
            return _INCOMPLETE
        return self._keys.find(secret) or _UNKNOWN


def _secret_in(authorization: str) -> str | None:
    """The key in the header's value; None if it is of another scheme or cannot be read."""
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode("ascii").partition(":")[2]
        except (binascii.Error, ValueError):
            return None
    elif scheme.lower() != "bearer":
        return None
    return value or None


def _unauthenticated(request: Request, message: str) -> Response:
    answer = error_answer(request, 401, message)
    answer.headers.append("www-authenticate", "Bearer")
    if "text/html" in request.headers.get("accept", ""):
        answer.headers.append("www-authenticate", 'Basic realm="Sojourn: a key as password", charset="UTF-8"')
    return answer

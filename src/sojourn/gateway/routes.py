"""Which function answers which URL, and what a function must offer to be routed to."""

from __future__ import annotations

import re
from typing import Protocol
from urllib.parse import unquote_to_bytes

from sojourn.domain.request import Fault
from sojourn.runtime.ports import Caller
from sojourn.wire.message import ContentKind

FUNCTIONS = b"/functions/"
_AUTHORITY = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class Service(Protocol):
    """A function that takes requests; the runtime's class has this shape."""

    @property
    def name(self) -> str:
        """The function's name, as in its URL."""

    @property
    def revision(self) -> str:
        """The content hash of what is being served."""

    def submit(
        self, caller: Caller, body: bytes, kind: ContentKind, priority: int, client_timeout_s: float | None
    ) -> int:
        """Take a request whose last byte has just been received; returns its number, above 0.

        `caller` may be answered or refused before this returns.
        """

    def announce(self, caller: Caller, priority: int, client_timeout_s: float | None, body_bytes: int) -> None:
        """The headers of a request are here; `caller` is refused before this returns if its body is not wanted."""

    def cancel(self, request_number: int) -> None:
        """The client of this request is gone: from now on its caller must not be called."""

    def refused_at_the_door(self, fault: Fault, caller: Caller, message: str) -> None:
        """Count a request for this function that ended before it could be submitted; its client is told by others."""


class Routes:
    """A mutable table of functions by URL path.

    `by_path` is what the hot path looks into: raw path bytes, with and without the revision. While `is_filling`, nobody
    can say that a function is unknown: the server has only just started.
    """

    def __init__(self, *, is_filling: bool = False) -> None:
        self.is_filling = is_filling
        self.by_path: dict[bytes, Service] = {}
        self._by_name: dict[str, Service] = {}

    def add(self, service: Service) -> None:
        """Route to a function; a function of the same name is replaced."""
        self.remove(service.name)
        self._by_name[service.name] = service
        for path in _paths(service):
            self.by_path[path] = service

    def remove(self, name: str) -> None:
        """Stop routing to a function; requests already submitted are not touched."""
        service = self._by_name.pop(name, None)
        if service is not None:
            for path in _paths(service):
                self.by_path.pop(path, None)


def path_of(target: bytes) -> bytes:
    """The path a request target names: no scheme and authority, no query, percent-encoding undone once."""
    if not target.startswith(b"/"):
        authority = _AUTHORITY.match(target)
        if authority is not None:
            target = target[authority.end() :] or b"/"
    path = target.partition(b"#")[0].partition(b"?")[0]
    return unquote_to_bytes(path) if b"%" in path else path


def unknown_path_text(path: bytes) -> str:
    """What to tell a client that asked for a path nobody answers."""
    shown = path[:100].decode("utf-8", "replace")
    if path.startswith(FUNCTIONS):
        name = shown[len(FUNCTIONS) :]
        return f"no function {name!r} here; GET /api/v1/functions on the admin port lists them"
    return f"no such path: {shown!r}; POST /functions/NAME calls a function"


def _paths(service: Service) -> tuple[bytes, bytes]:
    plain = FUNCTIONS + service.name.encode()
    return plain, plain + b"@" + service.revision.encode()

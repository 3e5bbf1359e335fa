"""Which function answers which URL."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from sojourn.domain.deployment import deployment_key
from sojourn.gateway.split import Service, Split, checked_share

__all__ = ["FUNCTIONS", "Routes", "Service", "Split", "path_of", "unknown_path_text"]

FUNCTIONS = b"/functions/"
_AUTHORITY = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class Routes:
    """A mutable table of functions by URL path.

    `by_path` is what the hot path looks into: raw path bytes, with and without the revision. A name means one service
    (`direct`) or two by shares (`split`); `name@revision` means exactly that one, as long as it is pinned. While
    `is_filling`, nobody can say that a function is unknown: the server has only just started. One in `unserved` is not
    unknown either: it is deployed, and cannot be served.
    """

    def __init__(self, *, is_filling: bool = False) -> None:
        self.is_filling = is_filling
        self.by_path: dict[bytes, Service] = {}
        self.unserved: dict[bytes, str] = {}  # why, by path
        self._pinned: dict[str, set[str]] = {}  # revisions by name

    def add(self, service: Service) -> None:
        """Route to a function and to nothing else of the same name."""
        self.remove(service.name)
        self.pin(service)
        self.direct(service)

    def pin(self, service: Service) -> None:
        """Its pinned path leads to a revision, whatever its name means."""
        self._pinned.setdefault(service.name, set()).add(service.revision)
        self.by_path[_pinned_path(service.name, service.revision)] = service

    def direct(self, service: Service) -> None:
        """From now on a function's name means this revision alone."""
        self._lead(service.name, service)

    def refuse(self, name: str, why: str) -> None:
        """A function is deployed and cannot be served; its callers are told why until something serves it."""
        self.unserved[_path(name)] = why

    def split(self, name: str, stable: Service, candidate: Service, share: float) -> Split:
        """From now on a function's name means two revisions.

        Args:
            name: The function's.
            stable: What gets the rest.
            candidate: What gets `share` of the requests.
            share: In [0, 1].

        Raises:
            ValueError: The share is out of range.
        """
        now = self.by_path.get(_path(name))
        if isinstance(now, Split) and now.arms == (stable, candidate):
            now.share = checked_share(share)  # what has been given so far counts on
            return now
        made = Split(name, stable, candidate, share)
        self._lead(name, made)
        return made

    def remove(self, name: str, revision: str | None = None) -> None:
        """Stop routing to a function, or to the pinned path of one revision; requests already submitted are not touched."""
        pinned = self._pinned.get(name, set())
        for gone in list(pinned) if revision is None else [revision]:
            pinned.discard(gone)
            self.by_path.pop(_pinned_path(name, gone), None)
        if not pinned:
            self._pinned.pop(name, None)
        if revision is None:
            self._lead(name, None)

    def _lead(self, name: str, service: Service | None) -> None:
        """A name means this from now on; whoever still holds the split that it meant is to ask again."""
        path = _path(name)
        self.unserved.pop(path, None)
        before = self.by_path.get(path)
        if isinstance(before, Split) and before is not service:
            before.is_closed = True
        if service is None:
            self.by_path.pop(path, None)
        else:
            self.by_path[path] = service


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
        return f"no function {name!r} here, or the key sent has no scope for it; `sojourn list` shows all there are"
    return f"no such path: {shown!r}; POST /functions/NAME calls a function"


def _path(name: str) -> bytes:
    return FUNCTIONS + name.encode()


def _pinned_path(name: str, revision: str) -> bytes:
    return FUNCTIONS + deployment_key(name, revision).encode()

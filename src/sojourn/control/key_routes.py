"""The routes that make, list and revoke keys."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from sojourn.access.key_ring import KeyRing
from sojourn.control.answers import error_answer, json_answer
from sojourn.control.asked import JsonBody
from sojourn.control.endpoint import Answered, Endpoint
from sojourn.control.shapes import KeyAsked, KeyList, KeyMade, KeyShown, key_made, key_shown
from sojourn.domain.access import ADMIN, KeyRecord, parse_scope
from sojourn.errors import ConfigurationError, StateError
from sojourn.telemetry.events import PlatformEvents

KEY = JsonBody(KeyAsked, '{"label": "ci", "scopes": ["invoke:digits", "read"], "expires_in_s": 86400}', 16 * 1024)
_NOT_KEPT = {503: "The state directory cannot be written; nothing has changed."}
_ID_SHOWN = 40


class KeyRoutes:
    """One method per route.

    Args:
        keys: The keys there are.
        events: Told of keys made and revoked, and by which key.
        wall_clock: Seconds since the epoch.
    """

    def __init__(self, keys: KeyRing, events: PlatformEvents, wall_clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._events = events
        self._wall_clock = wall_clock

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [
            Endpoint("GET", "/api/v1/keys", self.keys, ADMIN, "keys", Answered(KeyList)),
            Endpoint(
                "POST", "/api/v1/keys", self.create, ADMIN, "keys", Answered(KeyMade, status=201),
                body=KEY, errors=_NOT_KEPT,
            ),
            Endpoint(
                "DELETE", "/api/v1/keys/{id}", self.revoke, ADMIN, "keys", Answered(KeyShown),
                errors={404: "There is no such key.", **_NOT_KEPT},
            ),
        ]  # fmt: skip

    async def keys(self, request: Request) -> Response:  # noqa: ARG002 (the shape of a route)
        """All keys, without their secrets; those that ended stay listed."""
        now_s = self._wall_clock()
        return json_answer(KeyList([key_shown(record, now_s) for record in self._keys.records()]))

    async def create(self, request: Request) -> Response:
        """Make a key. Its secret is in this answer and never told again.

        With the first key every route but health needs one, on both ports.
        """
        asked = await KEY.of(request)
        now_s = self._wall_clock()
        end_s = None if asked.expires_in_s is None else now_s + asked.expires_in_s
        try:
            scopes = [parse_scope(text) for text in asked.scopes]
            record, secret = self._keys.create(asked.label, scopes, end_s)
        except ConfigurationError as err:
            return error_answer(request, 400, f"{err}; send for example {KEY.example}")
        except StateError as err:
            return self._not_kept(request, err)
        self._tell("key.created", request, record)
        return json_answer(key_made(record, secret, now_s), 201)

    async def revoke(self, request: Request) -> Response:
        """End a key: within a second it is refused everywhere, on open connections too."""
        key_id = request.path_params["id"]
        try:
            record = self._keys.revoke(key_id)
        except StateError as err:
            return self._not_kept(request, err)
        if record is None:
            message = f"no key has the id {key_id[:_ID_SHOWN]!r}; `sojourn key list` shows all"
            return error_answer(request, 404, message, "unknown_key")
        self._tell("key.revoked", request, record)
        return json_answer(key_shown(record, self._wall_clock()))

    def _tell(self, event: str, request: Request, record: KeyRecord) -> None:
        holder: KeyRecord = request.scope["state"]["holder"]
        scopes = ",".join(str(scope) for scope in record.scopes)
        self._events.info(event, key=record.id, label=record.label, scopes=scopes, by=holder.id or holder.label)

    def _not_kept(self, request: Request, err: StateError) -> Response:
        self._events.error("key.not_kept", error=str(err))
        message = "the change could not be kept, so nothing has changed; the server's log names the cause"
        return error_answer(request, 503, message, "state_unavailable")

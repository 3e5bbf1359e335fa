"""What every request to the admin port passes first: a known Host, an id, safe headers, no bare crash."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sojourn.control.answers import error_answer, failure_answer
from sojourn.control.request_id import request_id
from sojourn.telemetry.log import EventLog

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?:\[(?P<literal>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::\d{1,5})?")
_SAFE_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class HostRule:
    """Which Host headers are answered.

    A page in the user's browser can make its own host name resolve to 127.0.0.1 and then read this port
    (DNS rebinding). Its Host header gives it away: it is a name that is not ours.

    Args:
        bound_host: The host the port is bound to. If that is every address, any IP literal is ours too.
        allowed_hosts: Further names, for example a service name in a cluster.
    """

    def __init__(self, bound_host: str, allowed_hosts: Iterable[str] = ()) -> None:
        self._allowed = _LOOPBACK_NAMES | {bound_host.lower(), *(name.lower() for name in allowed_hosts)}
        address = _address(bound_host)
        self._admits_any_address = address is not None and address.is_unspecified

    def admits(self, header: str) -> bool:
        """Whether a request with this Host header is answered."""
        host = _host_of(header)
        return host in self._allowed or (self._admits_any_address and _address(host) is not None)


def _host_of(header: str) -> str:
    """The host in a Host header, without port and brackets, in lower case; empty if it is malformed."""
    found = _HOST.fullmatch(header.strip().lower())
    return (found["name"] or found["literal"]) if found is not None else ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class Guard:
    """Wraps the application: checks Host, names the request, adds headers, turns a crash into a logged 500."""

    def __init__(self, app: ASGIApp, hosts: HostRule, event_log: EventLog) -> None:
        self._app = app
        self._hosts = hosts
        self._event_log = event_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":  # no websocket and no lifespan here
            return
        headers = Headers(scope=scope)
        offered = headers.get("x-request-id")
        identity = request_id(offered.encode("latin-1") if offered is not None else None)
        # A dict of its own: the state that comes with the scope is shared by all requests.
        scope["state"] = {"request_id": identity}
        has_begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                answer_headers = MutableHeaders(scope=message)
                answer_headers["x-request-id"] = identity
                for name, value in _SAFE_HEADERS.items():
                    answer_headers.setdefault(name, value)
            await send(message)

        request = Request(scope, receive)
        hosts = headers.getlist("host")
        if len(hosts) > 1:
            message = f"the request has {len(hosts)} Host headers; send exactly one"
            await error_answer(request, 400, message)(scope, receive, send_guarded)
            return
        host = hosts[0] if hosts else ""
        if not self._hosts.admits(host):
            message = (
                f"Host {host[:100]!r} is not a name of this admin port; use the address it is bound to, "
                "or add the name with --admin-hosts (SOJOURN_ADMIN_HOSTS)"
            )
            await error_answer(request, 421, message)(scope, receive, send_guarded)
            return
        try:
            await self._app(scope, receive, send_guarded)
        except ClientDisconnect:  # it left before its request was whole: nobody is there to be told
            return
        except Exception as err:  # noqa: BLE001 (whatever it is: the server lives on, the log has it)
            self._event_log.error(
                "admin.failed", path=scope["path"], request_id=identity, error=f"{type(err).__name__}: {err}"
            )
            if not has_begun:
                await failure_answer(request, err)(scope, receive, send_guarded)

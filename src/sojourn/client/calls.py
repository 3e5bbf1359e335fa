"""The requests of the API, one function each: what both clients send."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from sojourn.client.conversation import Request
from sojourn.client.items import encode_item
from sojourn.domain.deployment import ALL_AT_ONCE, RolloutPlan
from sojourn.errors import ConfigurationError

PRIORITIES: Final = ("critical", "default", "best-effort")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,128}")
_JSON_TYPE: Final = ("content-type", "application/json")
_FUNCTIONS: Final = "/api/v1/functions"
_STEP_S_DEFAULT: Final = RolloutPlan().step_s


def invocation(
    function: str,
    item: Any,
    *,
    revision: str | None,
    priority: str | None,
    request_id: str | None,
    content_type: str | None,
) -> tuple[Request, str]:
    """Call a function with one item; the request and its id.

    Raises:
        ConfigurationError: What the caller gave beside the item cannot be used.
        ItemInvalidError: The item has no form in which it can be sent.
    """
    if not function:
        raise ConfigurationError("the name of a function is empty")
    if priority is not None and priority not in PRIORITIES:
        raise ConfigurationError(f"priority must be one of {', '.join(PRIORITIES)}, not {priority!r}")
    if request_id is None:
        request_id = os.urandom(8).hex()
    elif _VISIBLE.fullmatch(request_id) is None:
        raise ConfigurationError(f"request_id must be 1 to 128 visible ASCII characters, not {request_id[:140]!r}")
    body, kind = encode_item(item, content_type)
    headers = [("content-type", kind), ("x-request-id", request_id)]
    if priority is not None:
        headers.append(("x-priority", priority))
    name = function if revision is None else f"{function}@{revision}"
    request = Request(
        method="POST", path=f"/functions/{quote(name, safe='@')}", body=body, headers=tuple(headers), is_reading=False
    )
    return request, request_id


def functions() -> Request:
    """All functions."""
    return _reading(_FUNCTIONS)


def describe(name: str) -> Request:
    """One function in full."""
    return _reading(_of(name))


def slo(name: str) -> Request:
    """How its objective stands."""
    return _reading(_of(name) + "/slo")


def history(name: str) -> Request:
    """Its revisions."""
    return _reading(_of(name) + "/revisions")


def rollout(name: str) -> Request:
    """How its latest rollout stands."""
    return _reading(_of(name) + "/rollout")


def events(function: str | None, since: int | None, limit: int | None) -> Request:
    """What happened lately."""
    return _reading("/api/v1/events" + _query({"function": function, "since": since, "limit": limit}))


def scale(name: str, min_replicas: int | None, max_replicas: int | None) -> Request:
    """Change the limits of its replicas."""
    given = {"min_replicas": min_replicas, "max_replicas": max_replicas}
    return _changing("PUT", _of(name) + "/scale", {key: value for key, value in given.items() if value is not None})


def rollback(name: str, revision: str | None) -> Request:
    """Serve an earlier revision again; by default the one before."""
    return _changing("POST", _of(name) + "/rollback", {} if revision is None else {"revision": revision})


def promote(name: str) -> Request:
    """All traffic to the revision that is on its way."""
    return _changing("PUT", _of(name) + "/rollout", {"promote": True})


def delete(name: str) -> Request:
    """Serve it no longer."""
    return Request(method="DELETE", path=_of(name), is_admin=True)


def deployment(archive: bytes, target: str, name: str | None, plan: RolloutPlan) -> Request:
    """Deploy a packed source tree."""
    query: dict[str, object] = {"target": target, "name": name, "strategy": plan.strategy}
    if plan.strategy != ALL_AT_ONCE:
        query |= {"shares": ",".join(f"{share:.6g}" for share in plan.shares), "step_s": f"{plan.step_s:.6g}"}
    return Request(
        method="POST",
        path="/api/v1/deployments" + _query(query),
        is_admin=True,
        body=archive,
        headers=(("content-type", "application/gzip"),),
    )


def plan_of(strategy: str, shares: Iterable[float] | None, step_s: float | None) -> RolloutPlan:
    """The plan that the arguments of `deploy` name.

    Raises:
        ConfigurationError: They name none.
    """
    given: dict[str, Any] = {} if shares is None else {"shares": tuple(shares)}
    if strategy == ALL_AT_ONCE and (shares is not None or step_s is not None):
        raise ConfigurationError('shares and step_s are steps of a canary; add strategy="canary"')
    return RolloutPlan(strategy=strategy, step_s=_STEP_S_DEFAULT if step_s is None else step_s, **given)


def key_header(api_key: str | None) -> tuple[tuple[str, str], ...]:
    """The header that shows a key; nothing without one.

    Raises:
        ConfigurationError: It cannot be a key; the message does not repeat it.
    """
    if not api_key:
        return ()
    if not all("\x21" <= character <= "\x7e" for character in api_key):
        raise ConfigurationError("the API key has characters that no key has; is there a line end at its end?")
    return (("authorization", f"Bearer {api_key}"),)


def _of(name: str) -> str:
    if not name:
        raise ConfigurationError("the name of a function is empty")
    return f"{_FUNCTIONS}/{quote(name, safe='')}"


def _reading(path: str) -> Request:
    return Request(method="GET", path=path, is_admin=True, is_reading=True)


def _changing(method: str, path: str, content: Mapping[str, Any]) -> Request:
    return Request(method=method, path=path, is_admin=True, body=msgspec.json.encode(content), headers=(_JSON_TYPE,))


def _query(given: Mapping[str, object]) -> str:
    text = urlencode({name: str(value) for name, value in given.items() if value is not None})
    return f"?{text}" if text else ""

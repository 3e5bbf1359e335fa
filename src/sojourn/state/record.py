"""What the state file holds, as plain data, and the JSON it is written in."""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar

import msgspec

from sojourn.domain.access import KeyRecord, parse_scope
from sojourn.domain.deployment import Revision, RolloutPlan
from sojourn.domain.function import FunctionManifest
from sojourn.errors import SojournError, StateError
from sojourn.estimate.service_time import ServiceTimeFit

ATTACHED_CHARACTERS_MAX: Final = 64 * 1024
_CUT_CHARACTERS: Final = 4000
_Kind = TypeVar("_Kind")
_Row = tuple[Any, ...]


class StoredFunction(msgspec.Struct, frozen=True, kw_only=True):
    """A function as it is meant to be, whatever runs at the moment.

    One without `live` has never had a revision that took all traffic; with neither `live` nor `candidate` its first
    rollout failed.

    Args:
        name: Its name.
        live: The revision that has the traffic, or all that a candidate has not.
        previous: The one before it, to go back to.
        candidate: The one on its way.
        plan: How the candidate takes over; None without one.
        candidate_since_s: When its rollout began, in seconds since the epoch.
        created_at_s: When the function was deployed first, in seconds since the epoch.
    """

    name: str
    live: str | None = None
    previous: str | None = None
    candidate: str | None = None
    plan: RolloutPlan | None = None
    candidate_since_s: float | None = None
    created_at_s: float = 0.0


class StoredRollout(msgspec.Struct, frozen=True, kw_only=True):
    """One change, or attempted change, of a function's live revision.

    Args:
        function: Whose.
        from_revision: What was live when it began; None for the first.
        to_revision: What was to become live.
        strategy: By which strategy.
        began_at_s: In seconds since the epoch.
        ended_at_s: In seconds since the epoch; None while it is under way.
        outcome: How it ended; None while it is under way.
        evidence: What the outcome was judged by.
    """

    function: str
    from_revision: str | None
    to_revision: str
    strategy: str
    began_at_s: float
    ended_at_s: float | None = None
    outcome: str | None = None
    evidence: dict[str, Any] = {}


class StoredLimits(msgspec.Struct, frozen=True):
    """How many replicas an operator allows a function, for as long as it is deployed; None is no ceiling."""

    min_replicas: int
    max_replicas: int | None = None


class StoredFit(msgspec.Struct, frozen=True, kw_only=True):
    """The service times that one revision was found to have, and when (seconds since the epoch)."""

    function: str
    revision: str
    saved_at_s: float
    fit: ServiceTimeFit


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth knowing after a restart.

    Args:
        at_s: When, in seconds since the epoch.
        level: "info", "warning" or "error".
        event: What, such as "rollout.rolled_back".
        function: Of which function; None if it concerns the whole server.
        fields: Whatever else is known of it, as plain data.
    """

    at_s: float
    level: str
    event: str
    function: str | None = None
    fields: dict[str, Any] = {}


def json_text(value: Any) -> str:
    """JSON of plain data or structs. Infinity is written as such: a keep-alive time may be infinite."""
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"))


def bounded_text(value: dict[str, Any]) -> str:
    """JSON of what somebody attached: the beginning of it where it is too large or no plain data.

    What is attached must never be the reason why a change is not made.
    """
    try:
        text = json_text(value)
    except (TypeError, ValueError):
        return json_text({"cut": repr(value)[:_CUT_CHARACTERS]})
    return text if len(text) <= ATTACHED_CHARACTERS_MAX else json_text({"cut": text[:_CUT_CHARACTERS]})


def _read(text: str, kind: type[_Kind], what: str) -> _Kind:
    """The value a JSON text stands for.

    Raises:
        StateError: It stands for none of this kind.
    """
    try:
        return msgspec.convert(json.loads(text), kind)
    except (ValueError, TypeError, SojournError) as err:
        raise StateError(
            f"{what} cannot be understood ({err}); a program of another version may have written it"
        ) from err


def function_of(row: _Row) -> StoredFunction:
    """From a row of `functions`."""
    name, live, previous, candidate, plan, candidate_since_s, created_at_s = row
    return StoredFunction(
        name=name,
        live=live,
        previous=previous,
        candidate=candidate,
        plan=None if plan is None else _read(plan, RolloutPlan, f"the rollout plan of function {name!r}"),
        candidate_since_s=candidate_since_s,
        created_at_s=created_at_s,
    )


def row_of_function(function: StoredFunction) -> _Row:
    """The row of `functions`."""
    plan = None if function.plan is None else json_text(function.plan)
    changing = function.candidate, plan, function.candidate_since_s
    return function.name, function.live, function.previous, *changing, function.created_at_s


def revision_of(row: _Row) -> Revision:
    """From a row of `revisions`."""
    function, revision, bundle, manifest, dependencies, created_at_s, _ = row
    what = f"revision {revision} of function {function!r}"
    return Revision(
        function=function,
        revision=revision,
        bundle=bundle,
        manifest=_read(manifest, FunctionManifest, what),
        dependencies=_read(dependencies, dict[str, str], what),
        created_at_s=created_at_s,
    )


def row_of_revision(revision: Revision, turn: int) -> _Row:
    """The row of `revisions`."""
    what = revision.bundle, json_text(revision.manifest), json_text(revision.dependencies)
    return revision.function, revision.revision, *what, revision.created_at_s, turn


def rollout_of(row: _Row) -> StoredRollout:
    """From a row of `rollouts`."""
    _, function, before, after, strategy, began_at_s, ended_at_s, outcome, evidence = row
    return StoredRollout(
        function=function,
        from_revision=before,
        to_revision=after,
        strategy=strategy,
        began_at_s=began_at_s,
        ended_at_s=ended_at_s,
        outcome=outcome,
        evidence=_read(evidence, dict[str, Any], f"the evidence of a rollout of function {function!r}"),
    )


def key_of(row: _Row) -> KeyRecord:
    """From a row of `keys`."""
    key_id, digest, label, scopes, created_at_s, expires_at_s, revoked_at_s = row
    try:
        allowed = tuple(parse_scope(text) for text in _read(scopes, list[str], f"key {key_id}"))
    except SojournError as err:
        raise StateError(f"key {key_id} cannot be understood ({err})") from err
    return KeyRecord(
        id=key_id,
        digest=digest,
        label=label,
        scopes=allowed,
        created_at_s=created_at_s,
        expires_at_s=expires_at_s,
        revoked_at_s=revoked_at_s,
    )


def row_of_key(key: KeyRecord) -> _Row:
    """The row of `keys`."""
    scopes = json_text([str(scope) for scope in key.scopes])
    return key.id, key.digest, key.label, scopes, key.created_at_s, key.expires_at_s, key.revoked_at_s


def fit_of(row: _Row) -> StoredFit:
    """From a row of `fits`."""
    function, revision, saved_at_s, fit = row
    what = f"the service times of function {function!r}"
    return StoredFit(function=function, revision=revision, saved_at_s=saved_at_s, fit=_read(fit, ServiceTimeFit, what))


def event_of(row: _Row) -> StoredEvent:
    """From a row of `events`."""
    _, at_s, level, event, function, fields = row
    kept = _read(fields, dict[str, Any], f"event {event}")
    return StoredEvent(at_s=at_s, level=level, event=event, function=function, fields=kept)

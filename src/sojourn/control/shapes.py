"""Bodies of the API that are nobody else's: what is asked, and answers put together here."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sojourn.domain.access import KeyRecord
from sojourn.telemetry.log import utc_text
from sojourn.telemetry.request_trace import TraceSummary
from sojourn.telemetry.status import FunctionStatus


class Health(msgspec.Struct, frozen=True):
    """The loop turns: that is all it says."""

    status: Literal["ok"]
    version: str


class FunctionList(msgspec.Struct, frozen=True):
    """All functions, in order of their names."""

    functions: list[FunctionStatus]


class FunctionOutput(msgspec.Struct, frozen=True):
    """What replicas of a function wrote to standard output and error.

    Args:
        function: Its name.
        lines: The last lines, oldest first.
    """

    function: str
    lines: list[str]


class RequestList(msgspec.Struct, frozen=True):
    """Requests that were kept, the latest first."""

    requests: list[TraceSummary]


class ScaleAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """New limits of a function's replicas; what is left out stays as it is.

    Args:
        min_replicas: Replicas kept whatever the demand.
        max_replicas: Most replicas whatever the demand.
    """

    min_replicas: int | None = None
    max_replicas: int | None = None


class KeyAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key to be made.

    Args:
        label: What its owner calls it: 1 to 100 printable characters.
        scopes: What it allows: `invoke`, `invoke:FUNCTION`, `read`, `deploy` or `admin`, which allows everything.
        expires_in_s: Its life, in seconds, > 0; without it, it does not end by itself.
    """

    label: str
    scopes: list[str]
    expires_in_s: float | None = None


class KeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret.

    Args:
        id: How it is called, eight hexadecimal digits.
        label: What its owner calls it.
        scopes: What it allows.
        state: Whether it is honoured now, and if not, why.
        created_at: When it was made, UTC text.
        expires_at: When it ends, UTC text; None never.
        revoked_at: When it was revoked, UTC text; None if it was not.
    """

    id: str
    label: str
    scopes: list[str]
    state: Literal["valid", "expired", "revoked"]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class KeyMade(KeyShown, frozen=True, kw_only=True):
    """A key that has just been made.

    Args:
        secret: Its text, to be sent as `authorization: Bearer`. It is shown here and never again.
    """

    secret: str


class KeyList(msgspec.Struct, frozen=True):
    """All keys, the oldest first, those that ended included."""

    keys: list[KeyShown]


def key_shown(record: KeyRecord, wall_s: float) -> KeyShown:
    """What is told of a key at this instant (seconds since the epoch)."""
    return KeyShown(**_told(record, wall_s))


def key_made(record: KeyRecord, secret: str, wall_s: float) -> KeyMade:
    """What is told of a key to whoever had it made."""
    return KeyMade(**_told(record, wall_s), secret=secret)


def _told(record: KeyRecord, wall_s: float) -> dict[str, Any]:
    ended = "expired" if record.revoked_at_s is None else "revoked"
    return {
        "id": record.id,
        "label": record.label,
        "scopes": [str(scope) for scope in record.scopes],
        "state": "valid" if record.is_valid(wall_s) else ended,
        "created_at": utc_text(record.created_at_s),
        "expires_at": _at(record.expires_at_s),
        "revoked_at": _at(record.revoked_at_s),
    }


def _at(wall_s: float | None) -> str | None:
    return None if wall_s is None else utc_text(wall_s)

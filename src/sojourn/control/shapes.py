"""Bodies of the API that are nobody else's: what is asked, and answers put together here."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from sojourn.access.key_ring import LABEL_CHARACTERS_MAX, LIFE_S_MAX, SCOPES_MAX
from sojourn.domain.access import KeyRecord
from sojourn.domain.scaling import REPLICAS_MAX
from sojourn.telemetry.log import utc_text
from sojourn.telemetry.request_trace import TraceSummary
from sojourn.telemetry.status import FunctionStatus

# A label of ASCII characters; others that can be printed are taken as well. Scopes as `parse_scope` reads them.
_LABEL: Final = rf"^[!-~]([ -~]{{0,{LABEL_CHARACTERS_MAX - 2}}}[!-~])?$"
_SCOPE: Final = r"^(read|deploy|admin|invoke(:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?)$"


def _told(**bounds: Any) -> Meta:
    """Bounds for the description alone: whoever checks them has better words than a decoder."""
    return Meta(extra_json_schema=bounds)


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

    min_replicas: Annotated[int, _told(minimum=0, maximum=REPLICAS_MAX)] | None = None
    max_replicas: Annotated[int, _told(minimum=1, maximum=REPLICAS_MAX)] | None = None


class KeyAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key to be made.

    Args:
        label: What its owner calls it: 1 to 100 printable characters.
        scopes: What it allows: `invoke`, `invoke:FUNCTION`, `read`, `deploy` or `admin`, which allows everything.
        expires_in_s: Its life, in seconds, > 0; without it, it does not end by itself.
    """

    label: Annotated[str, _told(pattern=_LABEL)]
    scopes: Annotated[list[Annotated[str, _told(pattern=_SCOPE)]], _told(minItems=1, maxItems=SCOPES_MAX)]
    expires_in_s: Annotated[float, _told(exclusiveMinimum=0, maximum=LIFE_S_MAX)] | None = None


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
    return KeyShown(**_fields(record, wall_s))


def key_made(record: KeyRecord, secret: str, wall_s: float) -> KeyMade:
    """What is told of a key to whoever had it made."""
    return KeyMade(**_fields(record, wall_s), secret=secret)


def _fields(record: KeyRecord, wall_s: float) -> dict[str, Any]:
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

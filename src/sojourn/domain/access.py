"""Who may do what: scopes, and what an API key is known by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from sojourn.domain.function import NAME
from sojourn.errors import ConfigurationError

INVOKE, READ, DEPLOY, ADMIN = "invoke", "read", "deploy", "admin"
SCOPES = (INVOKE, READ, DEPLOY, ADMIN)
KEYS_MAX: Final = 10_000  # those that ended included, until they make room; a look at them must stay quick


class Scope(msgspec.Struct, frozen=True):
    """One thing a key allows: `invoke`, `invoke:FUNCTION`, `read`, `deploy` or `admin`, which allows everything.

    Args:
        kind: One of `SCOPES`.
        function: The only function it holds for; empty for all. Only `invoke` may name one.
    """

    kind: str
    function: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.function}" if self.function else self.kind


def parse_scope(text: str) -> Scope:
    """The scope that a text names.

    Raises:
        ConfigurationError: It names none; the message lists them.
    """
    kind, colon, function = text.strip().partition(":")
    if kind not in SCOPES or (colon and (kind != INVOKE or NAME.fullmatch(function) is None)):
        raise ConfigurationError(f"{text!r} is no scope; there are {', '.join(SCOPES)} and {INVOKE}:FUNCTION")
    return Scope(kind, function)


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as it is kept: never the secret itself.

    Args:
        id: How people name it, eight hex digits; also the first part of the secret's text.
        digest: SHA-256 of the secret's text. It is 256 random bits, so that no slow hash is needed.
        label: What its owner calls it.
        scopes: What it allows.
        created_at_s: In seconds since the epoch.
        expires_at_s: When it ends, in seconds since the epoch; None never.
        revoked_at_s: When it was revoked, in seconds since the epoch; None if it was not.
    """

    id: str
    digest: bytes
    label: str
    scopes: tuple[Scope, ...]
    created_at_s: float
    expires_at_s: float | None = None
    revoked_at_s: float | None = None

    def is_valid(self, wall_s: float) -> bool:
        """Whether it is to be honoured at this instant (seconds since the epoch)."""
        return self.revoked_at_s is None and (self.expires_at_s is None or wall_s < self.expires_at_s)

    def allows(self, kind: str, function: str = "") -> bool:
        """Whether one of its scopes allows this; `admin` allows all."""
        return any(
            scope.kind == ADMIN or (scope.kind == kind and scope.function in {"", function}) for scope in self.scopes
        )


def longest_ended(records: Iterable[KeyRecord], wall_s: float) -> KeyRecord | None:
    """The key that has been of no use for longest at this instant (seconds since the epoch); None if all are valid."""
    return min((one for one in records if not one.is_valid(wall_s)), key=_ended_at_s, default=None)


def _ended_at_s(record: KeyRecord) -> float:
    return min(at_s for at_s in (record.revoked_at_s, record.expires_at_s) if at_s is not None)

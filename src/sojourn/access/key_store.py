"""Where keys are kept, as a protocol; and the store of a server that keeps nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from msgspec import structs

from sojourn.domain.access import KEYS_MAX, KeyRecord, longest_ended


class KeyStore(Protocol):
    """Keeps keys beyond the life of a server. What it cannot do, it tells by a `StateError`."""

    def keys(self) -> Iterable[KeyRecord]:
        """All there ever were, those that ended included."""

    def put_key(self, record: KeyRecord, /) -> object:
        """Keep a new one; it is safe when this returns. Of ten thousand, the one that ended first makes room."""

    def revoke_key(self, key_id: str, wall_s: float, /) -> object:
        """Note that one was revoked at this instant (seconds since the epoch); it is safe when this returns."""


class PassingKeys:
    """Keys for as long as the process lives: those of a server whose state directory is for one run."""

    def __init__(self) -> None:
        self._records: dict[str, KeyRecord] = {}

    def keys(self) -> list[KeyRecord]:
        """All of them."""
        return list(self._records.values())

    def put_key(self, record: KeyRecord) -> None:
        """Keep one."""
        known = self._records
        if len(known) >= KEYS_MAX and (ended := longest_ended(known.values(), record.created_at_s)) is not None:
            del known[ended.id]
        known[record.id] = record

    def revoke_key(self, key_id: str, wall_s: float) -> None:
        """Note the end of one."""
        self._records[key_id] = structs.replace(self._records[key_id], revoked_at_s=wall_s)

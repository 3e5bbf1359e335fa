"""The keys of a server: made, found by their text, revoked; and whoever remembers a verdict is told to forget it."""

from __future__ import annotations

import hmac
import math
import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import structs

from sojourn.access.key_store import KeyStore
from sojourn.access.secret import digest_of, id_of, new_secret
from sojourn.domain.access import ADMIN, KEYS_MAX, KeyRecord, Scope, longest_ended
from sojourn.errors import ConfigurationError

SCOPES_MAX: Final = 64
LABEL_CHARACTERS_MAX: Final = 100
LIFE_S_MAX: Final = 100 * 365 * 86_400.0
_NO_DIGEST: Final = bytes(32)

# Stands for everybody while there is no key.
ANYBODY: Final = KeyRecord(id="", digest=_NO_DIGEST, label="anybody", scopes=(Scope(ADMIN),), created_at_s=0.0)


class KeyRing:
    """All keys of one server. Not for threads: everything here is called on the server's loop.

    Changes are kept in the store first, in a few milliseconds; they are rare. `listeners` are called after
    each change of what a key may do, the end of its time included.

    Args:
        store: Where keys are kept; read once, by `load`.
        wall_clock: Seconds since the epoch.
        random_bytes: So many bytes nobody can guess.
    """

    def __init__(
        self,
        store: KeyStore,
        wall_clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.listeners: list[Callable[[], None]] = []
        self._store = store
        self._wall_clock = wall_clock
        self._random_bytes = random_bytes
        self._records: dict[str, KeyRecord] = {}
        self._next_expiry_at_s = math.inf

    @property
    def is_open(self) -> bool:
        """Whether everything is allowed to everybody: while no key was ever made.

        Keys that expired or were revoked keep it closed: the end of the last one must not let everybody in.
        """
        return not self._records

    def load(self) -> None:
        """Read what the store has.

        Raises:
            StateError: The store cannot be read.
        """
        self._records = {record.id: record for record in self._store.keys()}  # noqa: SIM118 - no dict
        self._changed()

    def records(self) -> list[KeyRecord]:
        """All keys, the oldest first, those that ended included."""
        return sorted(self._records.values(), key=lambda record: (record.created_at_s, record.id))

    def find(self, secret: str) -> KeyRecord | None:
        """The key of this text if it is to be honoured now; None for one that is unknown, ended or not whole."""
        key_id = id_of(secret)
        if key_id is None:
            return None
        # The id in the text is no secret. What is, is compared in a time that does not depend on it.
        record = self._records.get(key_id)
        is_same = hmac.compare_digest(digest_of(secret), _NO_DIGEST if record is None else record.digest)
        return record if record is not None and is_same and record.is_valid(self._wall_clock()) else None

    def honours(self, holder: KeyRecord) -> bool:
        """Whether what was found earlier, `ANYBODY` or a key, would be let in now as well."""
        record = ANYBODY if self.is_open else self._records.get(holder.id)
        return record is not None and record.id == holder.id and record.is_valid(self._wall_clock())

    def create(self, label: str, scopes: Iterable[Scope], expires_at_s: float | None = None) -> tuple[KeyRecord, str]:
        """Make a key; returns it and its text, which is nowhere kept and never shown again.

        Args:
            label: What its owner calls it: 1 to 100 printable characters.
            scopes: What it allows, at least one.
            expires_at_s: When it ends, in seconds since the epoch; None never.

        Raises:
            ConfigurationError: Something is out of range, or there are too many keys; all faults in one message.
            StateError: It could not be kept; there is no such key then.
        """
        now_s = self._wall_clock()
        scopes = tuple(dict.fromkeys(scopes))
        faults = [text for is_bad, text in self._rules(label, scopes, expires_at_s, now_s) if is_bad]
        if faults:
            raise ConfigurationError("the key cannot be made: " + "; ".join(faults))
        key_id, secret = new_secret(self._random_bytes)
        while key_id in self._records:  # of 2^32 ids at most 10,000 are taken
            key_id, secret = new_secret(self._random_bytes)
        record = KeyRecord(
            id=key_id,
            digest=digest_of(secret),
            label=label,
            scopes=scopes,
            created_at_s=now_s,
            expires_at_s=expires_at_s,
        )
        self._store.put_key(record)  # which forgets the same one
        if len(self._records) >= KEYS_MAX and (ended := longest_ended(self._records.values(), now_s)) is not None:
            del self._records[ended.id]
        self._records[key_id] = record
        self._changed()
        return record, secret

    def revoke(self, key_id: str) -> KeyRecord | None:
        """End a key from now on; None if there is no such key. One that was revoked before stays as it is.

        Raises:
            StateError: It could not be kept; the key is still honoured then.
        """
        record = self._records.get(key_id)
        if record is None or record.revoked_at_s is not None:
            return record
        now_s = self._wall_clock()
        self._store.revoke_key(key_id, now_s)
        record = self._records[key_id] = structs.replace(record, revoked_at_s=now_s)
        self._changed()
        return record

    def notice_expiry(self) -> None:
        """Tell the listeners if the time of a key has ended since they were told last; to be called each second."""
        if self._wall_clock() >= self._next_expiry_at_s:
            self._changed()

    def _changed(self) -> None:
        now_s = self._wall_clock()
        ends_at_s = (record.expires_at_s for record in self._records.values() if record.is_valid(now_s))
        self._next_expiry_at_s = min((end_s for end_s in ends_at_s if end_s is not None), default=math.inf)
        for listener in self.listeners:
            listener()

    def _rules(
        self, label: str, scopes: tuple[Scope, ...], expires_at_s: float | None, now_s: float
    ) -> list[tuple[bool, str]]:
        return [
            (
                not 1 <= len(label) <= LABEL_CHARACTERS_MAX or not label.isprintable() or label != label.strip(),
                f"label must be 1 to {LABEL_CHARACTERS_MAX} printable characters without space around them",
            ),
            (not 1 <= len(scopes) <= SCOPES_MAX, f"scopes must be 1 to {SCOPES_MAX}, not {len(scopes)}"),
            (
                expires_at_s is not None and not now_s < expires_at_s <= now_s + LIFE_S_MAX,
                "its end must lie in the future, at most 100 years ahead",
            ),
            (
                len(self._records) >= KEYS_MAX and longest_ended(self._records.values(), now_s) is None,
                f"there are {KEYS_MAX} keys in force, as many as a state directory holds; revoke some that nobody needs",
            ),
        ]

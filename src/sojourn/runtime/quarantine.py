"""Inputs that killed every replica that ran them, so that the same bytes are not run again."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

_INPUTS_MAX = 1024
_KEPT_S = 600.0


class Quarantine:
    """Remembers poisoned bodies by digest: the latest thousand, each for ten minutes."""

    __slots__ = ("_until_s",)

    def __init__(self) -> None:
        self._until_s: OrderedDict[bytes, float] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._until_s)

    def add(self, body: bytes, now_s: float) -> None:
        """This body is poisoned."""
        self._until_s[_digest(body)] = now_s + _KEPT_S
        if len(self._until_s) > _INPUTS_MAX:
            self._until_s.popitem(last=False)

    def holds(self, body: bytes, now_s: float) -> bool:
        """Whether this body is poisoned still."""
        digest = _digest(body)
        until_s = self._until_s.get(digest)
        if until_s is None:
            return False
        if now_s >= until_s:
            del self._until_s[digest]
            return False
        return True


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()

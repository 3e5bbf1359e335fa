"""Who may call which function: the key of a request, read from its head."""

from __future__ import annotations

import re
from typing import Final

from sojourn.access.key_ring import KeyRing
from sojourn.access.secret import id_of
from sojourn.domain.access import INVOKE
from sojourn.gateway.head import Headers
from sojourn.gateway.refusal import Refusal, key_incomplete, key_missing, key_unknown
from sojourn.gateway.routes import FUNCTIONS

HEALTH: Final = frozenset({b"/livez", b"/readyz"})  # told to everybody: whoever probes has no key
_BEARER: Final = re.compile(rb"bearer +([\x21-\x7e]+)", re.IGNORECASE)


class Door:
    """Asks for keys while there are any.

    It is asked once per head that has to be parsed. Only accepted heads are remembered, the key among their
    bytes, and the gateway forgets them all when `keys` change, so that a known head needs no second look.
    """

    __slots__ = ("keys",)

    def __init__(self, keys: KeyRing) -> None:
        self.keys = keys

    def leave(self, path: bytes, headers: Headers) -> bool | Refusal:
        """Whether a request may have what is at its path; False has it answered as if nothing were there.

        It is decided before anybody looks whether there is something: a function that a key may not call and
        one that does not exist take the same way to the same answer.
        """
        if self.keys.is_open or path in HEALTH:
            return True
        found = _BEARER.fullmatch(headers.get(b"authorization", b"").strip())
        if found is None:
            return key_missing()
        secret = found[1].decode("ascii")
        if id_of(secret) is None:
            return key_incomplete()
        holder = self.keys.find(secret)
        if holder is None:
            return key_unknown()
        if not path.startswith(FUNCTIONS):
            return True
        name = path[len(FUNCTIONS) :].partition(b"@")[0]
        return holder.allows(INVOKE, name.decode("latin-1"))

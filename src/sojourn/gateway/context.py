"""What all connections of one gateway share."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sojourn.access.key_ring import KeyRing
from sojourn.access.key_store import PassingKeys
from sojourn.gateway.descriptors import Descriptors
from sojourn.gateway.door import Door
from sojourn.gateway.known_heads import KnownHeads
from sojourn.gateway.limits import Limits
from sojourn.gateway.response import RequestIds, answer_heads, date_line
from sojourn.gateway.routes import Routes

if TYPE_CHECKING:
    from sojourn.gateway.connection import Connection

# Bodies up to this size are not counted in `held_bytes` once they are complete: the bound on the number
# of requests (`queue_requests`) holds them, and counting each would cost every small request.
UNCOUNTED_BYTES_MAX: Final = 4096


class Context:
    """Settings, routes and tables of one gateway, its open connections and what they hold.

    `held_bytes` counts bodies that are arriving and bodies whose requests have no answer yet.
    `refused` counts the gateway's own refusals by code. `answer_heads` and `date_line` carry the Date
    of the present second; `tell_time` renews them, so that no request pays for it.
    """

    __slots__ = (
        "answer_heads", "clock", "connections", "date_line", "descriptors", "door", "emptied", "held_bytes", "is_draining",
        "is_ready", "known_heads", "limits", "refused", "request_ids", "routes", "wall_clock",
    )  # fmt: skip

    def __init__(
        self,
        routes: Routes,
        limits: Limits,
        is_ready: Callable[[], bool],
        clock: Callable[[], float],
        wall_clock: Callable[[], float] = time.time,
        keys: KeyRing | None = None,
    ) -> None:
        self.door = Door(keys or KeyRing(PassingKeys()))
        self.routes = routes
        self.limits = limits
        self.is_ready = is_ready
        self.clock = clock
        self.wall_clock = wall_clock
        self.is_draining = False
        self.emptied: asyncio.Event | None = None
        self.connections: set[Connection] = set()
        self.descriptors = Descriptors()
        self.known_heads = KnownHeads(limits.header_bytes)
        self.door.keys.listeners.append(self.known_heads.forget)
        self.request_ids = RequestIds()
        self.held_bytes = 0
        self.refused: Counter[str] = Counter()
        self.tell_time()

    def tell_time(self) -> None:
        """Put the present time into the answers to come."""
        self.date_line = date_line(self.wall_clock())
        self.answer_heads = answer_heads(self.date_line)

    def has_room_for(self, body_bytes: int) -> bool:
        """Whether the bodies in flight stay within their bound with one more of this size."""
        return self.held_bytes + body_bytes <= self.limits.inflight_body_bytes

    def forget(self, connection: Connection) -> None:
        """A connection is no more; whoever waits for the last one is told."""
        self.connections.discard(connection)
        if not self.connections and self.emptied is not None:
            self.emptied.set()

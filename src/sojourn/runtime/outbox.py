"""Watches how long clients take to receive the answers of requests that are kept for a look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from sojourn.telemetry.trace_store import KeptRequest

_WATCHED_MAX: Final = 256
_LOOK_AGAIN_S: Final = 0.02
_PATIENCE_S: Final = 60.0

_Watched = tuple[KeptRequest, Callable[[], bool], float]


class Outbox:
    """Fills in `write_s`: from an answer's handing over until the kernel has taken its last byte.

    Short answers leave in the turn of the loop in which they were given; others are looked at every 20 ms, for a
    minute at most, and at most 256 at once: who is not, or whose client went away, keeps None.

    Args:
        clock: Monotonic seconds.
    """

    __slots__ = ("_clock", "_timer", "_watched")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._watched: list[_Watched] = []
        self._timer: asyncio.Handle | None = None

    def watch(self, kept: KeptRequest, is_unsent: Callable[[], bool], handed_at_s: float) -> None:
        """An answer was handed over at `handed_at_s`; `is_unsent` tells whether bytes of it are left."""
        if len(self._watched) < _WATCHED_MAX:
            self._watched.append((kept, is_unsent, handed_at_s))
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        now_s, left = self._clock(), []
        for watched in self._watched:
            kept, is_unsent, handed_at_s = watched
            if not is_unsent():
                kept.write_s = max(now_s - handed_at_s, 0.0)
            elif now_s - handed_at_s < _PATIENCE_S:
                left.append(watched)
        self._watched = left
        self._timer = asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._look) if left else None

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._watched.clear()

"""An asyncio loop in virtual time: waiting moves the clock, nothing sleeps."""

from __future__ import annotations

import asyncio
import selectors


class _ClockSelector(selectors.SelectSelector):
    """Instead of waiting, moves the clock by what asyncio would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout=None):
        if timeout is None:
            raise AssertionError("the loop waits for ever: nothing is scheduled")
        self.now_s += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Run coroutines with `loop.time()` as the only clock."""

    def __init__(self) -> None:
        self._clock_selector = _ClockSelector()
        super().__init__(self._clock_selector)

    def time(self) -> float:
        return self._clock_selector.now_s

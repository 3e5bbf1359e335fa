"""How `sojourn serve` is told to stop: the first signal drains, the second does not wait."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Counts SIGTERM and SIGINT on the running loop.

    Call `install` on the loop. After the second signal the default handlers are back, so that a third
    one ends the process at once whatever it is doing.
    """

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    def install(self) -> None:
        """Listen from now on."""
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, self._received)

    def remove(self) -> None:
        """Give the signals back to their default handlers."""
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.remove_signal_handler(number)

    def _received(self) -> None:
        if not self.first.is_set():
            self.first.set()
            return
        self.second.set()
        self.remove()


async def ended_before(event: asyncio.Event, work: Coroutine[Any, Any, None], name: str) -> bool:
    """Run `work` until it ends or `event` is set; returns whether it ended by itself.

    What `work` raises is raised here. If the event comes first, `work` is cancelled and waited for.
    """
    task = asyncio.create_task(work, name=name)
    waiter = asyncio.create_task(event.wait(), name=f"{name}: stop")
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        return False
    finally:
        for one in (task, waiter):
            one.cancel()
        await asyncio.gather(task, waiter, return_exceptions=True)

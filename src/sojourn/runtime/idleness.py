"""Waiting until nothing is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from sojourn.runtime.service import FunctionService


async def idle_by(
    services: Collection[FunctionService], changed: asyncio.Event, limit_s: float, clock: Callable[[], float]
) -> bool:
    """Wait until no service has a request in flight; whether that came to pass in time.

    Args:
        services: The functions to wait for.
        changed: Set whenever something happened that may have ended the last request; cleared here.
        limit_s: How long to wait at most, in seconds.
        clock: Monotonic seconds.
    """
    give_up_at_s = clock() + limit_s
    while any(service.dispatcher.in_flight for service in services):
        left_s = give_up_at_s - clock()
        if left_s <= 0:
            return False
        changed.clear()
        for service in services:
            service.on_idle = changed.set
        try:
            await asyncio.wait_for(changed.wait(), left_s)
        except TimeoutError:
            return False
    return True

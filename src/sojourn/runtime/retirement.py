"""How revisions leave: they finish what they have, their replicas end, and nothing of them stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from sojourn.domain.event import DrainEnded, FunctionRemoved
from sojourn.runtime.controller_driver import ControllerDriver
from sojourn.runtime.service import FunctionService

_ORDERLY_END_S: Final = 5.0  # of replicas that have nothing to do for us any more
_END_S_MAX: Final = 20.0  # the launcher kills what does not end by itself well before


class Retirements:
    """Retires revisions, at any time several at once.

    Args:
        driver: Has the controller end their replicas.
        forget: Called with each once its last replica has ended.
        clock: Monotonic seconds.
    """

    def __init__(
        self, driver: ControllerDriver, forget: Callable[[FunctionService], None], clock: Callable[[], float]
    ) -> None:
        self._driver = driver
        self._forget = forget
        self._clock = clock
        self._under_way: dict[FunctionService, object] = {}
        self._is_closed = False

    def call_off(self, service: FunctionService) -> bool:
        """Let a revision stay that has not finished yet; whether it was about to go."""
        if self._under_way.pop(service, None) is None:
            return False
        service.is_retiring = False
        service.on_idle = None
        service.has_been_ready = bool(service.dispatcher.replicas_ready)
        self._driver.changed.set()
        return True

    async def retire_all(self, services: Iterable[FunctionService], limit_s: float) -> bool:
        """Retire several at once; whether all their requests ended by themselves."""
        return all(await asyncio.gather(*(self.retire(service, limit_s) for service in services)))

    async def retire(self, service: FunctionService, limit_s: float) -> bool:
        """Wait until a revision has finished, and end it; whether its requests ended by themselves, or it may stay after all.

        What it has are the requests in its queue, in batches, and those that run again since a replica was lost: the
        dispatcher counts all of them as in flight. A request that was only announced is not among them; its reader finds
        this service closed and asks the routes again.

        Args:
            service: The revision.
            limit_s: How long its requests have, in seconds; those left then are told to come again.
        """
        if service.is_closed or service in self._under_way:  # somebody else sees to it
            await self._until(lambda: service.is_closed or service not in self._under_way, limit_s)
            await self._until(lambda: not service.is_closed or self._is_gone(service), _END_S_MAX)
            return True
        token = self._under_way[service] = object()
        service.is_retiring = True
        service.on_idle = self._driver.changed.set
        # One that may stay after all is not waited for: under load it may never be without a request.
        await self._until(
            lambda: not service.dispatcher.in_flight or self._under_way.get(service) is not token, limit_s
        )
        if self._under_way.get(service) is not token or self._is_closed:
            return True
        is_idle = not service.dispatcher.in_flight
        del self._under_way[service]
        if not is_idle:
            service.happened(DrainEnded())
        service.retire()
        self._driver.post(FunctionRemoved(service.key))
        # A batch nobody waits for any more may still run: it is not waited for.
        if not await self._until(lambda: self._is_gone(service), _ORDERLY_END_S):
            self._driver.replicas.end(service)
            await self._until(lambda: self._is_gone(service), _END_S_MAX)
        if not self._is_closed:
            self._forget(service)
        return is_idle

    def close(self) -> None:
        """The server ends, and all replicas with it: nothing is waited for."""
        self._is_closed = True
        self._driver.changed.set()

    def _is_gone(self, service: FunctionService) -> bool:
        return not self._driver.replicas.serving(service)

    async def _until(self, is_so: Callable[[], bool], limit_s: float) -> bool:
        """Wait for something that comes with a step of the controller; whether it came within `limit_s` seconds."""
        give_up_at_s = self._clock() + limit_s
        changed = self._driver.changed
        while not is_so() and not self._is_closed:
            left_s = give_up_at_s - self._clock()
            if left_s <= 0:
                return False
            changed.clear()
            try:
                await asyncio.wait_for(changed.wait(), left_s)
            except TimeoutError:
                return is_so()
        return True

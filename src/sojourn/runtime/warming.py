"""Waiting for the first ready replica of a revision, and telling why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from sojourn.core.controller import Controller
from sojourn.domain.resources import claim_of
from sojourn.runtime.output import ReplicaOutput
from sojourn.runtime.replicas import Replicas
from sojourn.runtime.service import FunctionService

_LINES_TOLD: Final = 10


class Warming:
    """Knows when a revision is warm.

    Args:
        controller: Knows why starts fail.
        replicas: Those that are not gone.
        output: What they printed.
        changed: Set whenever something has happened to a replica.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        controller: Controller,
        replicas: Replicas,
        output: ReplicaOutput,
        changed: asyncio.Event,
        clock: Callable[[], float],
    ) -> None:
        self._controller = controller
        self._replicas = replicas
        self._output = output
        self._changed = changed
        self._clock = clock

    async def warm(self, service: FunctionService) -> str:
        """Wait for a ready replica; empty once there is one, else why there is none.

        The first start that fails is the answer; others may follow it. A replica must be started within
        `start_timeout_s`; the controller sees to it that it is ready as soon after that, or has failed.
        """
        limit_s = service.manifest.settings.start_timeout_s
        give_up_at_s = self._clock() + limit_s
        while not service.has_been_ready:
            if service.is_closed:
                return "it was taken out of service before it was ready"
            cause = self._controller.start_failure(service.key)
            if cause:
                return self._with_output(service, cause)
            left_s = give_up_at_s - self._clock()
            if self._replicas.serving(service):
                left_s = max(left_s, limit_s)
            if left_s <= 0:
                return self._no_room(service, limit_s)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left_s)
            except TimeoutError:
                continue
        return ""

    async def first_start(
        self, services: Mapping[str, FunctionService], is_ready: Callable[[], bool]
    ) -> dict[str, str]:
        """Wait until all is ready or a first start failed; the failures by name."""
        while True:
            failures = {name: self._controller.start_failure(service.key) for name, service in services.items()}
            failures = {name: cause for name, cause in failures.items() if cause}
            if failures or is_ready():
                return failures
            self._changed.clear()
            await self._changed.wait()

    def _with_output(self, service: FunctionService, cause: str) -> str:
        """A cause with the last lines the failed replica wrote, where there are any."""
        mark = f"[{service.last_failed}] "
        lines = [line.removeprefix(mark) for line in self._output.tail(service.name, 1000) if line.startswith(mark)]
        told = "\n".join(f"  {line}" for line in lines[-_LINES_TOLD:])
        return f"{cause}\nThe last it wrote:\n{told}" if told else cause

    def _no_room(self, service: FunctionService, limit_s: float) -> str:
        capacity, held = self._controller.capacity, self._controller.held
        return (
            f"no replica could be started within {limit_s:g} s: of {capacity} the replicas there are hold {held}; one of "
            f"{service.name!r} claims {claim_of(service.manifest.settings)}. Lower min_replicas somewhere, or serve with more"
        )

"""Revisions that have lost their traffic end what they have and go, in the background; then trees nobody needs go."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from sojourn.deploy.intake import Intake
from sojourn.deploy.ports import Traffic
from sojourn.errors import StateError
from sojourn.runtime.platform import Platform
from sojourn.state.keeper import StateKeeper
from sojourn.telemetry.events import PlatformEvents


class Departures:
    """Lets revisions go, any number at once.

    Args:
        platform: Runs them.
        traffic: Which revision a name means.
        keeper: Knows which trees are referred to.
        intake: Sweeps the others away.
        events: Told of what goes wrong.
        drain_s: How long a revision may take to end what it has, in seconds.
    """

    def __init__(
        self,
        platform: Platform,
        traffic: Traffic,
        keeper: StateKeeper,
        intake: Intake,
        events: PlatformEvents,
        drain_s: float,
    ) -> None:
        self._platform = platform
        self._traffic = traffic
        self._keeper = keeper
        self._intake = intake
        self._events = events
        self._drain_s = drain_s
        self._going: dict[tuple[str, str], asyncio.Task[None]] = {}  # the latest of each revision
        self._tasks: set[asyncio.Task[None]] = set()

    def retire(self, function: str, revision: str) -> None:
        """Let a revision end what it has; calls pinned to it end now. Its name leads elsewhere already."""
        self._traffic.remove(function, revision)
        task = asyncio.create_task(self._retire(function, revision), name=f"retire {function}@{revision}")
        self._going[function, revision] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def call_off(self, function: str, revision: str) -> None:
        """A revision is wanted again: what is not under way yet is not begun; the platform calls off what is."""
        self._going.pop((function, revision), None)

    async def _retire(self, function: str, revision: str) -> None:
        key, task = (function, revision), asyncio.current_task()
        if self._going.get(key) is not task:
            return
        try:
            await self._platform.retire(function, revision, self._drain_s)
            await self.sweep()
        except Exception as err:  # noqa: BLE001 (nobody waits for it: it must be told here)
            cause = f"{type(err).__name__}: {err}"
            self._events.error("revision.not_retired", function=function, revision=revision, cause=cause)
        finally:
            if self._going.get(key) is task:
                del self._going[key]

    async def remove(self, function: str) -> None:
        """Let all of a function end; its name means nothing any more."""
        if function in self._platform.services:
            await self._platform.remove(function, self._drain_s)
        await self.sweep()

    async def sweep(self) -> None:
        """Remove source trees that no revision refers to any more; what fails is told by the keeper, and done next time."""
        with contextlib.suppress(StateError):
            await self._intake.sweep(self._referenced)

    async def _referenced(self) -> set[str]:
        kept = await self._keeper.do(lambda store: store.referenced_bundles())
        return kept | {Path(service.manifest.root).name for service in self._platform.running.values()}

    async def close(self) -> None:
        """Wait for none of them any longer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

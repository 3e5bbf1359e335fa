"""The service times that were learnt of deployed functions, kept so that a restart need not learn them again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, time
from typing import Final

from sojourn.domain.deployment import Revision
from sojourn.errors import DeploymentError, StateError
from sojourn.estimate.service_time import Resumption, ServiceTimeFit
from sojourn.runtime.platform import Platform
from sojourn.state.keeper import StateKeeper
from sojourn.state.record import StoredFit

SAVE_EVERY_S: Final = 60.0


class KeptFits:
    """Reads what is known at the start, and writes what has been learnt once a minute and at the end.

    Args:
        platform: Runs the functions.
        keeper: Where it is kept.
        live: The live revisions that are to be kept, by function.
    """

    def __init__(self, platform: Platform, keeper: StateKeeper, live: Callable[[], dict[str, Revision]]) -> None:
        self._platform = platform
        self._keeper = keeper
        self._live = live
        self._kept: dict[tuple[str, str], StoredFit] = {}
        self._saved: dict[str, int] = {}  # version of the model that was saved last, by function
        self._task: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Read what is kept.

        Raises:
            StateError: It cannot be read.
        """
        kept = await self._keeper.do(lambda store: store.fits())
        self._kept = {(each.function, each.revision): each for each in kept}

    def of(self, revision: Revision) -> dict[str, Resumption]:
        """What is known of a revision, by its function's name; empty if nothing is."""
        kept = self._kept.get((revision.function, revision.revision))
        if kept is None:
            return {}
        away_s = max(time() - kept.saved_at_s, 0.0)
        return {revision.function: Resumption(fit=kept.fit, now_s=monotonic(), away_s=away_s)}

    def start(self) -> None:
        """Save from now on."""
        self._task = asyncio.create_task(self._run(), name="save service times")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Write what has been learnt since the last time; where that cannot be, it is learnt again one day."""
        for function, revision in self._live().items():
            service = self._platform.services.get(function)
            if service is None or service.revision != revision.revision:
                continue
            model = service.dispatcher.model
            if not model.is_known or self._saved.get(function) == model.version:
                continue
            version = model.version
            try:
                await self._put(function, revision.revision, model.fit(monotonic()))
            except (StateError, DeploymentError):
                return
            self._saved[function] = version

    async def _put(self, function: str, revision: str, fit: ServiceTimeFit) -> None:
        await self._keeper.do(lambda store: store.put_fit(function, revision, fit, time()))

    async def close(self) -> None:
        """Save for the last time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.save()

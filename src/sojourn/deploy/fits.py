"""The service times that were learnt of deployed functions, kept so that a restart need not learn them again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, time
from typing import Final

from sojourn.domain.deployment import Revision
from sojourn.errors import StateError
from sojourn.estimate.service_time import Resumption, ServiceTimeFit
from sojourn.runtime.platform import Platform
from sojourn.state.keeper import StateKeeper
from sojourn.state.record import StoredFit
from sojourn.telemetry.events import PlatformEvents

SAVE_EVERY_S: Final = 60.0


class KeptFits:
    """Reads what is known at the start, and writes what has been learnt once a minute and at the end.

    Args:
        platform: Runs the functions.
        keeper: Where it is kept.
        live: The live revisions that are to be kept, by function.
        events: Told of what goes wrong, once until it goes well again.
    """

    def __init__(
        self,
        platform: Platform,
        keeper: StateKeeper,
        live: Callable[[], dict[str, Revision]],
        events: PlatformEvents,
    ) -> None:
        self._platform = platform
        self._keeper = keeper
        self._live = live
        self._kept: dict[tuple[str, str], StoredFit] = {}
        self._events = events
        self._saved: dict[tuple[str, str], int] = {}  # version of each live revision's model that was saved last
        self._failure = ""
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

    def forget(self, function: str) -> None:
        """The function is gone; what was kept of it goes with it."""
        for known in (self._kept, self._saved):
            for key in [key for key in known if key[0] == function]:
                del known[key]

    async def save(self) -> None:
        """Write what has been learnt since the last time; where that cannot be, it is learnt again one day.

        What goes wrong with one function keeps no other from being saved, nor this one from being saved later.
        """
        live = {(name, revision.revision) for name, revision in self._live().items()}
        self._saved = {key: version for key, version in self._saved.items() if key in live}
        failures = []
        for function, revision in sorted(live):
            try:
                await self._save(function, revision)
            except StateError:  # told by the keeper itself; the others would fail in the same way
                return
            except Exception as err:  # noqa: BLE001 (saving goes on, whatever it was)
                failures.append(f"{function}@{revision}: {type(err).__name__}: {err}")
        failure = "; ".join(failures)
        if failure and not self._failure:
            remedy = "serving goes on; after a restart these service times are learnt anew"
            self._events.error("state.fits_unsaved", cause=failure, remedy=remedy)
        self._failure = failure

    async def _save(self, function: str, revision: str) -> None:
        service = self._platform.services.get(function)
        if service is None or service.revision != revision:
            return
        model = service.dispatcher.model
        version = model.version
        if model.is_known and self._saved.get((function, revision)) != version:
            await self._put(function, revision, model.fit(monotonic()))
            self._saved[function, revision] = version

    async def _put(self, function: str, revision: str, fit: ServiceTimeFit) -> None:
        await self._keeper.do(lambda store: store.put_fit(function, revision, fit, time()))

    async def close(self) -> None:
        """Save for the last time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.save()

"""Looks after all objectives of a server: has alerts looked at and history kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from sojourn.runtime.alert_book import AlertBook
from sojourn.runtime.history_keeper import HistoryKeeper
from sojourn.runtime.objective_book import ObjectiveBook
from sojourn.slo.monitor import FINE_S
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.history import History

if TYPE_CHECKING:
    from sojourn.runtime.lineage import Lineage

_LOOK_EVERY_S: Final = 1.0

_T = TypeVar("_T")


class Watched(Protocol):
    """What is watched: the functions of a platform, by name; who asks to be told is told when one means another revision."""

    lineages: dict[str, Lineage]
    on_live_changed: list[Callable[[str], None]]


class SLOWatch:
    """Steps alerts each second; every ten seconds has what was counted written.

    Construct, `await load()` once the functions are known and before they are called, `start()`, and `await close()`
    when the last request has ended. Without a history everything works, and nothing outlives the server.

    Args:
        platform: Its functions are watched.
        events: Told of alerts.
        offset_s: What to add to monotonic seconds to get seconds since the epoch.
        history: Where counts are kept; None keeps them in memory only, for now.
        failure: Why it cannot be used, or not be written; empty if it can, or is not wanted.
        clock: Monotonic seconds.
        path: Where the history is opened once it can be; None if that is not wanted.
    """

    def __init__(
        self,
        platform: Watched,
        events: PlatformEvents,
        offset_s: float = 0.0,
        history: History | None = None,
        failure: str = "",
        clock: Callable[[], float] = monotonic,
        path: Path | None = None,
    ) -> None:
        self.offset_s = offset_s
        self.alerts = AlertBook(events, offset_s)
        self.objectives = ObjectiveBook()
        self.keeper = HistoryKeeper(
            platform.lineages, self.alerts, self.objectives, events, offset_s, history, path, failure, clock
        )
        self.lineages = platform.lineages
        platform.on_live_changed.append(self.follow)
        self._clock = clock
        self._cell = 0
        self._timer: asyncio.TimerHandle | None = None

    # ---- life

    async def load(self) -> None:
        """Take in what is kept of the functions; what cannot be read is told and left alone."""
        for name, lineage in self.lineages.items():
            if lineage.live is not None:
                self.alerts.watch(name, lineage.live.manifest.settings.slo)
        await self.keeper.load(self._clock())

    def follow(self, name: str) -> None:
        """A function's name means another revision from now on, or nothing any more: its objective is that one's."""
        lineage = self.lineages.get(name)
        live = None if lineage is None else lineage.live
        if live is None:
            self.alerts.forget(name)
            return
        slo = live.manifest.settings.slo
        self.alerts.watch(name, slo)
        self.objectives.watch(name, slo, self._clock() + self.offset_s, ())
        self.keeper.recall(name)

    def start(self) -> None:
        """Look from now on, each second."""
        self._cell = self._cell_number(self._clock())
        self._arm()

    def _arm(self) -> None:
        # On the whole seconds of the cells' clock: what a cell holds is written as soon as it has passed.
        wait_s = _LOOK_EVERY_S - (self._clock() + self.offset_s) % _LOOK_EVERY_S
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    async def close(self) -> None:
        """Save everything that was counted, and mark the history as ended in order."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.keeper.close(self._clock())

    # ---- each second

    def _look(self) -> None:
        self._arm()
        now_s = self._clock()
        for name, lineage in self.lineages.items():
            overdue = lineage.overdue(now_s)
            if lineage.is_used or overdue or self.alerts.is_awake(name):
                self.alerts.step(name, lineage, now_s, overdue)
        self.keeper.look(now_s)
        cell = self._cell_number(now_s)
        if cell > self._cell:
            self._cell = cell
            self._end_cell(now_s)

    def _cell_number(self, now_s: float) -> int:
        return int((now_s + self.offset_s) // FINE_S)

    def _end_cell(self, now_s: float) -> None:
        """Ten seconds have passed: what they brought is written."""
        for lineage in self.lineages.values():
            lineage.begin_with_replicas(now_s)
        self.keeper.save(now_s)

    @staticmethod
    async def elsewhere(computation: Callable[[], _T]) -> _T:
        """The result of a computation that takes a while, made in a thread that no disk holds up."""
        return await asyncio.get_running_loop().run_in_executor(None, computation)

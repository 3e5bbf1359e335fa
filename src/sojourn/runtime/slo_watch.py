"""Looks after all objectives of a server: has alerts looked at and history kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from sojourn.runtime.alert_book import AlertBook
from sojourn.runtime.objective_book import ObjectiveBook
from sojourn.slo.monitor import FINE_S, HOUR_S, HOURS_KEPT, MINUTE_S, MINUTES_KEPT, Row
from sojourn.slo.status import HistoryState
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.history import History, HistoryError

if TYPE_CHECKING:
    from sojourn.runtime.service import FunctionService

_LOOK_EVERY_S: Final = 1.0
_PRUNE_EVERY_S: Final = float(HOUR_S)

_T = TypeVar("_T")


class Watched(Protocol):
    """What is watched: the functions of a platform."""

    services: dict[str, FunctionService]


class SLOWatch:
    """Steps alerts each second; every ten seconds hands what was counted to a thread that writes it.

    Construct, `await load()` once the functions are known and before they are called, `start()`, and `await close()`
    when the last request has ended. Without a history everything works, and nothing outlives the server.

    Args:
        platform: Its functions are watched.
        events: Told of alerts.
        offset_s: What to add to monotonic seconds to get seconds since the epoch.
        history: Where counts are kept; None keeps them in memory only.
        failure: Why there is no history although there should be one; empty if that is as asked for.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        platform: Watched,
        events: PlatformEvents,
        offset_s: float = 0.0,
        history: History | None = None,
        failure: str = "",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.offset_s = offset_s
        self.history_state = HistoryState.KEPT if history else HistoryState.FAILING if failure else HistoryState.OFF
        self.history_failure = failure
        self.history_since_s = clock()
        self._platform = platform
        self._events = events
        self._history = history
        self._clock = clock
        self.alerts = AlertBook(events, offset_s)
        self.objectives = ObjectiveBook()
        self._writer = ThreadPoolExecutor(1, "sojourn-history") if history else None
        self._saving: asyncio.Task[None] | None = None
        self._cell = 0
        self._pruned_at_s = clock()
        self._timer: asyncio.TimerHandle | None = None

    # ---- life

    async def load(self) -> None:
        """Take in what is kept of the functions; what cannot be read is told and left alone."""
        now_s = self._clock()
        for name, service in self._platform.services.items():
            self.alerts.watch(name, service.manifest.settings.slo)
        if self._history is None:
            if self.history_failure:
                self._tell_failure()
            return
        history = self._history
        if history.set_aside is not None:
            self._events.error("history.damaged", cause="it could not be read", kept_as=str(history.set_aside))
        if history.set_back_s > 1.0:
            self._events.warning("history.clock_set_back", by_s=round(history.set_back_s, 1))
        try:
            await self._load_kept(history, now_s)
        except (HistoryError, ValueError) as err:
            self._failed(str(err))

    async def _load_kept(self, history: History, now_s: float) -> None:
        services = self._platform.services
        kept = await self.elsewhere(history.functions)
        for name in kept:
            if name in services:
                await self._load_function(history, name, now_s)
        self.objectives.recall(await self.elsewhere(history.objectives))
        for name, service in services.items():
            self.objectives.watch(name, service.manifest.settings.slo, now_s + self.offset_s, kept)
        for alert in await self.elsewhere(history.alerts):
            self.alerts.recall(alert, now_s)

    async def _load_function(self, history: History, name: str, now_s: float) -> None:
        monitor = self._platform.services[name].meter.monitor
        at_s = now_s + self.offset_s
        rows = await self.elsewhere(
            lambda: [
                *history.rows(name, MINUTE_S, at_s - MINUTE_S * MINUTES_KEPT),
                *history.rows(name, HOUR_S, at_s - HOUR_S * HOURS_KEPT),
            ]
        )
        monitor.load(rows, now_s)
        monitor.current(now_s)  # replica time counts from now on, whether requests come or not

    def start(self) -> None:
        """Look from now on, each second."""
        self._cell = self._cell_number(self._clock())
        self._arm()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)

    async def close(self) -> None:
        """Save everything that was counted, and mark the history as ended in order."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._history is None:
            return
        if self._saving is not None:
            await self._saving
        now_s = self._clock()
        for service in self._platform.services.values():
            if service.meter.monitor.is_used:
                service.meter.monitor.finish(now_s)
        await self._save(now_s, is_ended=True)
        await self.elsewhere(self._history.close)
        assert self._writer is not None, "there is a writer wherever there is a history"
        self._writer.shutdown()

    # ---- each second

    def _look(self) -> None:
        self._arm()
        now_s = self._clock()
        for name, service in self._platform.services.items():
            if service.meter.monitor.is_used:
                self.alerts.step(name, service.meter.monitor, now_s)
        cell = self._cell_number(now_s)
        if cell > self._cell:
            self._cell = cell
            self._end_cell(now_s)

    def _cell_number(self, now_s: float) -> int:
        return int((now_s + self.offset_s) // FINE_S)

    def _end_cell(self, now_s: float) -> None:
        """Ten seconds have passed: what they brought is written."""
        for service in self._platform.services.values():
            if service.meter.monitor.is_used:
                service.meter.monitor.current(now_s)
        if self._history is not None and self._saving is None:  # else a slow disk still writes the last ones
            self._saving = asyncio.get_running_loop().create_task(self._save(now_s))

    # ---- history

    async def _save(self, now_s: float, *, is_ended: bool = False) -> None:
        history = self._history
        assert history is not None, "asked for only where there is one"
        services = self._platform.services
        rows = {name: service.meter.monitor.unsaved() for name, service in services.items()}
        until_s = now_s + self.offset_s
        until_s -= 0.0 if is_ended else until_s % FINE_S
        is_pruning = now_s - self._pruned_at_s >= _PRUNE_EVERY_S
        alerts, objectives = self.alerts.to_keep(), self.objectives.unsaved()
        try:
            await self.elsewhere(lambda: history.save(rows, until_s, alerts, objectives, is_ended=is_ended))
            if is_pruning:
                self._pruned_at_s = now_s
                await self.elsewhere(lambda: history.prune(until_s))
        except HistoryError as err:
            self._put_back(rows)
            self._failed(str(err))
        else:
            self.objectives.saved(objectives)
            self._works()
        finally:
            self._saving = None

    def _put_back(self, rows: Mapping[str, list[Row]]) -> None:
        for name, unsaved in rows.items():
            service = self._platform.services.get(name)
            if service is not None:
                service.meter.monitor.put_back(unsaved)

    async def read(self, query: Callable[[History], _T]) -> _T | None:
        """What `query` reads of the history, in the thread that writes it; None without one.

        Raises:
            HistoryError: It cannot be read.
        """
        history = self._history
        return None if history is None or self._writer is None else await self.elsewhere(lambda: query(history))

    async def elsewhere(self, computation: Callable[[], _T]) -> _T:
        """The result of a computation that takes a while, made in another thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, computation)

    def _failed(self, why: str) -> None:
        self.history_failure = why
        if self.history_state is not HistoryState.FAILING:
            self.history_state = HistoryState.FAILING
            self.history_since_s = self._clock()
            self._tell_failure()

    def _tell_failure(self) -> None:
        remedy = "serving goes on; make the state directory writable and give it room"
        self._events.error("history.failing", cause=self.history_failure, remedy=remedy)

    def _works(self) -> None:
        if self.history_state is HistoryState.FAILING:
            self.history_state = HistoryState.KEPT
            self.history_failure = ""
            self.history_since_s = self._clock()
            self._events.info("history.recovered")

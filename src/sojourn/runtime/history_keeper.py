"""Keeps what the monitors count from one server to the next, and knows how well that goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sojourn.runtime.alert_book import AlertBook
from sojourn.runtime.objective_book import ObjectiveBook
from sojourn.slo.monitor import FINE_S, HOUR_S, HOURS_KEPT, MINUTE_S, MINUTES_KEPT
from sojourn.slo.rows import Row
from sojourn.slo.status import HistoryState
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.history import History, HistoryError, Run

if TYPE_CHECKING:
    from sojourn.runtime.lineage import Lineage

SAVE_S_MAX: Final = 30.0  # a write that takes longer is no write
READ_S_MAX: Final = 3.0
_READS_MAX: Final = 8  # that wait for the disk at once
_PRUNE_EVERY_S: Final = float(HOUR_S)

_T = TypeVar("_T")


class HistoryKeeper:
    """Loads what is kept, saves what is counted in a thread of its own, and opens the file again when it had to be given up.

    `await load()` first, `save(now_s)` each ten seconds, `await close()` last. Serving never waits for it.

    Args:
        lineages: The functions by name; those that are over go once all of them is saved.
        alerts: Kept, too.
        objectives: Kept, too.
        events: Told of failures and their end.
        offset_s: What to add to monotonic seconds to get seconds since the epoch.
        history: Where counts are kept; None if it cannot be opened, or is not wanted.
        path: Where it is to be opened once it can be; None if it is not wanted.
        failure: Why it cannot be used, or not be written; empty if it can.
        clock: Monotonic seconds.

    Attributes:
        state: Whether history outlives the server.
        why: What is wrong with it.
        since_s: Since when it is so, in monotonic seconds.
        saving: The write under way.
    """

    def __init__(
        self,
        lineages: dict[str, Lineage],
        alerts: AlertBook,
        objectives: ObjectiveBook,
        events: PlatformEvents,
        offset_s: float = 0.0,
        history: History | None = None,
        path: Path | None = None,
        failure: str = "",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        is_wanted = history is not None or path is not None or bool(failure)
        self.state = HistoryState.FAILING if failure else HistoryState.KEPT if is_wanted else HistoryState.OFF
        self.why = failure
        self.since_s = clock()
        self.saving: asyncio.Task[None] | None = None
        self._lineages = lineages
        self._alerts = alerts
        self._objectives = objectives
        self._events = events
        self._offset_s = offset_s
        self._history = history
        self._path = history.path if history is not None else path
        self._clock = clock
        self._started_at_s = clock() + offset_s
        self._writer = ThreadPoolExecutor(1, "sojourn-history") if self._path is not None else None
        self._earlier_runs: list[Run] = []
        self._lost = ""  # why not all of what was kept is known; that does not pass
        self._knows_alerts = False  # whether those that are kept have been recalled: else they are not to be replaced
        self._saving_since_s = 0.0
        self._pruned_at_s = -inf
        self._reads = 0
        self._recalling: set[asyncio.Task[None]] = set()
        self._dropped_rows = 0

    # ---- at the start

    async def load(self, now_s: float) -> None:
        """Take in what is kept of the functions; what cannot be read is told and left alone."""
        history, kept = self._history, list[str]()
        if self.state is HistoryState.FAILING:
            self._tell_failure()
        if history is not None:
            self._tell_opened(history)
            kept = await self._load(history, now_s)
        for name, lineage in self._lineages.items():
            lineage.is_known = True
            if lineage.live is not None:
                self._objectives.watch(name, lineage.live.manifest.settings.slo, now_s + self._offset_s, kept)

    async def _load(self, history: History, now_s: float) -> list[str]:
        """The functions of which anything is kept."""
        kept, unreadable, unknown = list[str](), 0, set(self._lineages)
        try:
            kept = await self._write_side(history.functions)
            unknown &= set(kept)
            for name in sorted(unknown):
                unreadable += await self._load_function(history, name, now_s)
                unknown.remove(name)
            self._objectives.recall(await self._write_side(history.objectives))
            for alert in await self._write_side(history.alerts):
                self._alerts.recall(alert, now_s)
            self._knows_alerts = True
            self._earlier_runs = await self._write_side(history.runs)
        except HistoryError as err:
            self._lose(f"what earlier servers counted cannot be read: {err}")
            for name in unknown:
                self._lineages[name].keep_apart(self._mark)
        unreadable += history.unreadable
        if unreadable:
            self._lose(f"{history.path}: {unreadable} of its rows cannot be read; what they counted is missing")
        return kept

    async def _load_function(self, history: History, name: str, now_s: float) -> int:
        """How many of its rows cannot be read."""
        lineage, unreadable = self._lineages[name], history.unreadable
        rows = await self._rows(history, name, now_s)
        found = lineage.load(rows, now_s, self._mark, is_whole=history.unreadable == unreadable)
        lineage.current(now_s)  # replica time counts from now on, whether requests come or not
        return found

    async def _rows(self, history: History, name: str, now_s: float) -> list[Row]:
        at_s = now_s + self._offset_s
        return await self._write_side(
            lambda: [
                *history.rows(name, MINUTE_S, at_s - MINUTE_S * MINUTES_KEPT, at_s),
                *history.rows(name, HOUR_S, at_s - HOUR_S * HOURS_KEPT, at_s),
            ]
        )

    # ---- later

    def recall(self, name: str) -> None:
        """A function came while the server runs: take in what was counted of it before, in a moment."""
        lineage = self._lineages.get(name)
        if lineage is not None and self.state is HistoryState.OFF:  # there is nothing to take in
            lineage.is_known = True
        elif lineage is not None and not lineage.is_known and self._history is not None:
            recalling = asyncio.get_running_loop().create_task(self._recall(name, lineage), name=f"recall {name}")
            self._recalling.add(recalling)
            recalling.add_done_callback(self._recalling.discard)

    async def _recall(self, name: str, lineage: Lineage) -> None:
        history, now_s = self._history, self._clock()
        if history is None:
            return
        try:
            rows = await self._rows(history, name, now_s)
        except HistoryError as err:
            self._lose(f"what was counted of {name!r} before cannot be read: {err}")
            return
        if not lineage.is_known and lineage.recall(rows, self._clock()):
            self._lose(f"{history.path}: some rows of {name!r} cannot be read; what they counted is missing")

    @property
    def _mark(self) -> str:
        """What sets the rows of this run apart from those of any other."""
        return f"{self._started_at_s:.3f}"

    @property
    def runs(self) -> list[Run]:
        """The runs of servers that are remembered, by their beginning; this one, which is going on, is the last."""
        now_s = self._clock() + self._offset_s
        return [*self._earlier_runs, Run(self._started_at_s, max(now_s, self._started_at_s), is_ended=False)]

    # ---- each ten seconds

    def save(self, now_s: float) -> None:
        """Write what was counted until the last full cell, unless a slow disk still writes what was before."""
        if self.state is HistoryState.OFF:
            for lineage in self._lineages.values():  # nobody will ask for these
                lineage.unsaved()
                lineage.saved()
            self._bury()
        elif self.saving is None and self._path is not None:
            self._saving_since_s = now_s
            self.saving = asyncio.get_running_loop().create_task(self._save(now_s), name="history save")

    def look(self, now_s: float) -> None:
        """A write that does not end is a failure, too."""
        if self.saving is not None and now_s - self._saving_since_s > SAVE_S_MAX:
            self._failed(f"{self._path}: a write has been taking more than {SAVE_S_MAX:g} s")

    async def close(self, now_s: float) -> None:
        """Save everything that was counted, and mark the run as ended in order."""
        if self._writer is None:
            return
        if self.saving is not None:
            await self.saving
        if self._recalling:
            await asyncio.wait(self._recalling, timeout=READ_S_MAX)
        for lineage in self._lineages.values():
            lineage.finish(now_s)
        await self._save(now_s, is_ended=True)
        if self._history is not None:
            await self._write_side(self._history.close)
        self._writer.shutdown()

    async def _save(self, now_s: float, *, is_ended: bool = False) -> None:
        try:
            history = await self._writable(now_s)
            await self._write(history, now_s, is_ended=is_ended)
        except HistoryError as err:
            self._failed(str(err))
        else:
            self._works()
        finally:
            self.saving = None

    async def _write(self, history: History, now_s: float, *, is_ended: bool) -> None:
        lineages = dict(self._lineages)
        rows = {name: lineage.unsaved() for name, lineage in lineages.items()}
        until_s = now_s + self._offset_s
        until_s -= 0.0 if is_ended else until_s % FINE_S
        alerts = self._alerts.to_keep() if self._knows_alerts else None
        objectives = self._objectives.unsaved()
        is_pruning = now_s - self._pruned_at_s >= _PRUNE_EVERY_S
        try:
            await self._write_side(lambda: history.save(rows, until_s, alerts, objectives, is_ended=is_ended))
        except HistoryError as err:
            for name, unsaved in rows.items():
                lineages[name].put_back(unsaved)
            if err.is_lost:
                self._history = None
                self._lose(f"what was kept until now is lost: {err}")
                await self._write_side(history.close)
            raise
        for lineage in lineages.values():
            lineage.saved()
        self._bury()
        self._objectives.saved(objectives)
        if is_pruning:
            self._pruned_at_s = now_s
            await self._write_side(lambda: history.prune(until_s))

    async def _writable(self, now_s: float) -> History:
        """The file, opened if it is not, or only for reading.

        Raises:
            HistoryError: It still cannot be.
        """
        before, path = self._history, self._path
        if before is not None and before.is_writable:
            return before
        assert path is not None, "asked for only where a history is wanted"
        wall_s, started_at_s = now_s + self._offset_s, self._started_at_s
        history = await self._write_side(lambda: History(path, wall_s, started_at_s))
        self._history = history
        self._tell_opened(history)
        if history.set_aside is not None:
            self._lose(f"what was kept until now is damaged; it lies at {history.set_aside}")
        if before is not None:
            await self._write_side(before.close)
        elif await self._write_side(history.functions):
            if not self._lost:
                self._lose(
                    "what earlier servers counted could not be read when this one started; its next start reads it"
                )
            for lineage in self._lineages.values():
                lineage.keep_apart(self._mark)
        for alert in await self._write_side(history.alerts) if not self._knows_alerts else ():
            self._alerts.recall(alert, now_s)
        self._knows_alerts = True
        return history

    def _bury(self) -> None:
        """Functions of which nothing runs and nothing is left to save are forgotten."""
        for name in [name for name, lineage in self._lineages.items() if lineage.is_over]:
            del self._lineages[name]

    # ---- reading

    async def read(self, query: Callable[[History], _T]) -> _T | None:
        """What `query` reads of the history, in the thread that writes it; None if it cannot be read within a moment."""
        history = self._history
        if history is None or self._reads >= _READS_MAX:
            return None
        self._reads += 1
        reading = asyncio.ensure_future(self._write_side(lambda: query(history)))
        reading.add_done_callback(self._read_ended)
        done, _ = await asyncio.wait({reading}, timeout=READ_S_MAX)
        if not done or reading.cancelled() or reading.exception() is not None:
            return None
        return reading.result()

    def _read_ended(self, reading: asyncio.Future[_T]) -> None:
        self._reads -= 1
        error = None if reading.cancelled() else reading.exception()
        if error is not None:
            self._failed(str(error))

    async def _write_side(self, computation: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, computation)

    # ---- how it goes

    def _lose(self, why: str) -> None:
        """Something that was kept is not known: an alert for as long as this server lives, whatever is saved later."""
        self._lost = why
        self._failed(why)

    def _failed(self, why: str) -> None:
        is_new = self.state is not HistoryState.FAILING
        self.why = why
        if is_new:
            self.state = HistoryState.FAILING
            self.since_s = self._clock()
            self._tell_failure()

    def _tell_failure(self) -> None:
        remedy = "serving goes on; make the state directory writable and give it room"
        self._events.error("history.failing", cause=self.why, remedy=remedy)

    def _works(self) -> None:
        if self.state is not HistoryState.FAILING or self.why == self._lost != "":
            return
        missing: dict[str, Any] = {"still_missing": self._lost} if self._lost else {}
        dropped = sum(lineage.dropped_rows for lineage in self._lineages.values())
        if dropped > self._dropped_rows:  # rows that waited for longer than they would have been kept
            missing["dropped_rows"] = dropped - self._dropped_rows
            self._dropped_rows = dropped
        self._events.info("history.recovered", **missing)
        self.why = self._lost
        if not self._lost:
            self.state = HistoryState.KEPT
            self.since_s = self._clock()

    def _tell_opened(self, history: History) -> None:
        if history.set_aside is not None:
            self._events.error("history.damaged", cause="it could not be read", kept_as=str(history.set_aside))
        if history.set_back_s > 1.0 and history.starts_at_s >= self._started_at_s - 1.0:
            self._events.warning("history.clock_set_back", by_s=round(history.set_back_s, 1))

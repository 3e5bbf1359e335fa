"""The revisions of one function that run or have run, and what they counted together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from sojourn.slo.monitor import FINE_S, Monitor
from sojourn.slo.rows import PackedCell, Row
from sojourn.slo.tally import Counts, sum_counts

if TYPE_CHECKING:
    from sojourn.runtime.service import FunctionService

KEYS_MAX: Final = 1000  # revisions that come while the history cannot be read
_RowKey = tuple[str, int, int]


class Lineage:
    """One function over all its revisions: which is the live one, which others run, and the counts of all of them.

    Each revision counts by itself (its `Monitor`). When one is retired, its counts join those of the revisions before it,
    so that windows, budgets and alerts of the function go on, and each request is counted once. Its rows stay its own.

    Attributes:
        live: What the function's name means; None while it means nothing yet, or nothing any more.
        running: All revisions that run, the live one included, by revision.
        is_known: Whether what earlier servers counted has been taken in, or there is nothing to take in.
    """

    __slots__ = ("_handed", "_keys", "_past", "_rows", "is_known", "live", "running")

    def __init__(self, live: FunctionService | None = None) -> None:
        self.live: FunctionService | None = None
        self.running: dict[str, FunctionService] = {}
        if live is not None:
            self.begin(live)
        self.is_known = False
        self._past: Monitor | None = None  # of the revisions that are gone, and of earlier servers
        self._rows: dict[_RowKey, Row] = {}  # of those that are gone, not saved yet
        self._handed: tuple[Row, ...] = ()
        self._keys: set[str] = set()  # of all rows made here, until earlier ones are known

    # ---- revisions

    @property
    def others(self) -> list[FunctionService]:
        """The revisions that run beside the live one, the oldest first."""
        return [service for service in self.running.values() if service is not self.live]

    @property
    def is_over(self) -> bool:
        """Whether no revision runs and all that was counted has been saved."""
        return not self.running and not self._rows and not self._handed

    def begin(self, service: FunctionService) -> None:
        """The first revision, the live one, when the server starts."""
        self.live = self.running[service.revision] = service

    def enter(self, service: FunctionService, mark: str) -> None:
        """A further revision runs; `mark` keeps its rows apart from those of the same revision at another time."""
        self.running[service.revision] = service
        service.meter.monitor.keep_apart(mark)
        if len(self._keys) >= KEYS_MAX:  # what earlier servers counted cannot be told from this one's for ever
            self.is_known = True
        if self.is_known:
            self._keys.clear()
        else:
            self._keys.add(service.meter.monitor.key)

    def leave(self, service: FunctionService, now_s: float) -> None:
        """A revision is gone: what it counted stays. Once is enough."""
        if self.running.get(service.revision) is not service:
            return
        del self.running[service.revision]
        if self.live is service:
            self.live = None
        monitor = service.meter.monitor
        for row in monitor.retire(now_s):
            self._rows[_key_of(row)] = row
        self._join(monitor)

    def _join(self, monitor: Monitor) -> None:
        if self._past is None:
            self._past = monitor
        else:
            self._past.absorb(monitor)

    def overdue(self, now_s: float) -> int:
        """Requests in flight that are late already."""
        return sum(service.dispatcher.overdue(now_s) for service in self.running.values())

    # ---- reading: as of one monitor

    def _running(self) -> list[Monitor]:
        return [service.meter.monitor for service in self.running.values()]

    def _all(self) -> list[Monitor]:
        return self._running() if self._past is None else [self._past, *self._running()]

    @property
    def is_used(self) -> bool:
        """Whether anything was ever counted or loaded."""
        return any(monitor.is_used for monitor in self._all())

    def total_good(self, now_s: float, window_s: float) -> tuple[int, int]:
        """(total, good) of the last `window_s` seconds."""
        parts = [monitor.total_good(now_s, window_s) for monitor in self._all()]
        return sum(total for total, _ in parts), sum(good for _, good in parts)

    def counts(self, now_s: float, window_s: float) -> Counts:
        """All counts of the last `window_s` seconds."""
        return sum_counts(monitor.counts(now_s, window_s) for monitor in self._all())

    def covers_s(self, now_s: float) -> float:
        """How far back anything is known, in seconds."""
        return max((monitor.covers_s(now_s) for monitor in self._all()), default=0.0)

    def grain_s(self, now_s: float, window_s: float) -> int:
        """By how much a window may reach further back than its length, in seconds."""
        return max((monitor.grain_s(now_s, window_s) for monitor in self._all()), default=FINE_S)

    def fine_cells(self, now_s: float, window_s: float) -> list[PackedCell]:
        """The cells of a window, oldest first, packed; of one time there may be several."""
        found = [monitor.fine_cells(now_s, window_s) for monitor in self._all()]
        return found[0] if len(found) == 1 else sorted(cell for cells in found for cell in cells)

    def open_rows(self, now_s: float) -> list[Row]:
        """Rows that the history does not hold yet, as far as is known; for reading."""
        open_rows = [row for monitor in self._running() for row in monitor.open_rows(now_s)]
        return [*self._handed, *self._rows.values(), *open_rows]

    # ---- keeping

    def begin_with_replicas(self, now_s: float) -> None:
        """Open cells where there have been replicas."""
        for monitor in self._running():
            monitor.begin_with_replicas(now_s)

    def current(self, now_s: float) -> None:
        """Replica time of the running ones counts from now on, whether requests come or not."""
        for monitor in self._running():
            monitor.current(now_s)

    def load(self, rows: Iterable[Row], now_s: float, mark: str = "", *, is_whole: bool = True) -> int:
        """Take in what earlier servers counted, at the start; how many rows could not be read (`Monitor.load`)."""
        self.is_known = True
        first = next(iter(self._running()), None)
        if first is None:
            return 0
        return first.load(rows, now_s, mark, is_whole=is_whole)

    def recall(self, rows: Iterable[Row], now_s: float) -> int:
        """Take in what was counted before this function came, while it may count already; as `load`."""
        before = Monitor("", self._offset_s)
        unreadable = before.load([row for row in rows if row.revision not in self._keys], now_s)
        self.is_known = True
        self._keys.clear()
        before.retire(now_s)
        self._join(before)
        return unreadable

    @property
    def _offset_s(self) -> float:
        return next((monitor.offset_s for monitor in self._all()), 0.0)

    def keep_apart(self, mark: str) -> None:
        """Rows get a key of their own, where they have none: of what lies under the other not all is known."""
        for monitor in self._running():
            if monitor.key == monitor.revision:
                monitor.keep_apart(mark)

    def unsaved(self) -> list[Row]:
        """What changed since the last call, whole. Call `saved` or `put_back` next."""
        self._handed = tuple(self._rows.values())
        self._rows.clear()
        return [*self._handed, *(row for monitor in self._running() for row in monitor.unsaved())]

    def saved(self) -> None:
        """The rows of `unsaved` are kept now."""
        self._handed = ()
        for monitor in self._running():
            monitor.saved()

    def put_back(self, rows: Iterable[Row]) -> None:
        """Rows of `unsaved` could not be saved: they are returned again, unless newer ones take their place."""
        self._handed = ()
        monitors = self._running()
        by_key: dict[str, list[Row]] = {monitor.key: [] for monitor in monitors}
        for row in rows:
            if row.revision in by_key:
                by_key[row.revision].append(row)
            else:  # of a revision that is gone, perhaps since then
                self._rows.setdefault(_key_of(row), row)
        for monitor in monitors:
            monitor.put_back(by_key[monitor.key])

    def finish(self, now_s: float) -> None:
        """Count the cells under way as closed: the process is about to end."""
        for monitor in self._running():
            if monitor.is_used:
                monitor.finish(now_s)

    @property
    def dropped_rows(self) -> int:
        """Rows that waited for longer than they are to be kept."""
        return sum(monitor.dropped_rows for monitor in self._running())


def found(lineages: Mapping[str, Lineage], called: str) -> FunctionService | None:
    """The revision that is called `name@revision`, or the live one of a name; None if it does not run."""
    name, at, revision = called.partition("@")
    lineage = lineages.get(name)
    if lineage is None:
        return None
    return lineage.running.get(revision) if at else lineage.live


def _key_of(row: Row) -> _RowKey:
    return row.revision, row.cell_s, row.starts_at_s

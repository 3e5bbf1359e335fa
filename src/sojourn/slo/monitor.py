"""The counts of one function over any window, from ten seconds to ninety days."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Final

from sojourn.slo.histogram import LogHistogram
from sojourn.slo.rows import PackedCell, Row
from sojourn.slo.series import OpenCell, Series
from sojourn.slo.tally import Counts, Tally, sum_counts, unpacked

FINE_S: Final = 10
MINUTE_S: Final = 60
HOUR_S: Final = 3600
FINE_KEPT: Final = 6 * HOUR_S // FINE_S
MINUTES_KEPT: Final = 3 * 24 * HOUR_S // MINUTE_S
HOURS_KEPT: Final = 90 * 24
RECENT_CELLS: Final = 6
_WAITING_MAX: Final = {MINUTE_S: MINUTES_KEPT, HOUR_S: HOURS_KEPT}  # more of them would be too old to be kept


class Monitor:
    """Counts requests in cells of ten seconds; keeps six hours of them, three days of minutes, ninety days of hours.

    The hot path asks `current(now_s)` for the cell to count into. All instants are monotonic seconds; cells lie on the grid of
    the wall clock as it was at the start (`offset_s`), so that a clock that jumps later changes nothing. A window of up
    to six hours is made of cells of ten seconds and may reach back up to one cell further than asked;
    longer ones, and those that begin before this process did, of minutes or hours in the same way. Of the six hours
    before this process the minutes are kept packed, too, for their latencies.

    Args:
        revision: Whose requests are counted.
        offset_s: What to add to monotonic seconds to get seconds since the epoch.
        replica_seconds: Replica time used until an instant (monotonic seconds, not before the last one asked with), in
            seconds; it goes to the cells in which it passes.
    """

    __slots__ = (
        "_began_at_s", "_earlier", "_fine", "_handed", "_kept_from_s", "_key", "_offset_s", "_open", "_recent", "_replica_ms",
        "_replica_seconds", "_waiting", "cell", "dropped_rows", "latency", "revision",
    )  # fmt: skip

    def __init__(
        self, revision: str = "", offset_s: float = 0.0, replica_seconds: Callable[[float], float] | None = None
    ) -> None:
        self.revision = revision
        self.cell = Tally(ends_at_s=-inf)
        self.latency = LogHistogram()  # of all closed cells since the start
        self._offset_s = offset_s
        self._began_at_s = inf
        self._kept_from_s = inf  # begin of the oldest that was loaded
        self._replica_seconds = replica_seconds
        self._replica_ms = 0  # of replica time, booked so far
        self._earlier: list[PackedCell] = []  # minutes that earlier processes counted, of the last six hours
        self._fine: Series | None = None  # made with the first traffic: a function never called costs nothing
        self._open: tuple[OpenCell, ...] = ()
        self._recent: deque[Tally] = deque(maxlen=RECENT_CELLS - 1)
        self._key = revision  # of the rows
        self._waiting: dict[int, dict[int, Row]] = {MINUTE_S: {}, HOUR_S: {}}  # closed and not saved, by begin
        self._handed: tuple[Row, ...] = ()  # to whoever saves them, and not known to be saved
        self.dropped_rows = 0  # that waited for longer than they are to be kept

    # ---- counting

    def current(self, now_s: float) -> Tally:
        """The cell that `now_s` falls into; an instant a little before it counts into it, too."""
        cell = self.cell
        return cell if now_s < cell.ends_at_s else self._roll(now_s)

    def _roll(self, now_s: float) -> Tally:
        if self._fine is None:
            self._begin(now_s)
        last, number = self.cell, int((now_s + self._offset_s) // FINE_S)
        starts_at_s = number * FINE_S - self._offset_s
        if last.ends_at_s != -inf:  # else what has been used so far goes to the first cell
            self._book_replicas(last.ends_at_s)
        self.cell = Tally(starts_at_s, starts_at_s + FINE_S)
        if last.ends_at_s != -inf:
            self._recent.append(last)
            self._close(last)
        return self.cell

    def _book_replicas(self, until_s: float) -> None:
        """Replica time used since the last call belongs to the cell under way."""
        if self._replica_seconds is not None:
            used_ms = round(self._replica_seconds(until_s) * 1e3)
            self.cell.replica_ms += max(used_ms - self._replica_ms, 0)
            self._replica_ms = max(used_ms, self._replica_ms)

    def begin_with_replicas(self, now_s: float) -> None:
        """Open a cell if there have been replicas, called or not: their time counts from the first on."""
        if self._fine is not None or (self._replica_seconds is not None and self._replica_seconds(now_s) > 0):
            self.current(now_s)

    def _booked(self, now_s: float) -> Tally:
        """The cell under way, with its replica time until now."""
        cell = self.current(now_s)
        self._book_replicas(now_s)
        return cell

    def _begin(self, now_s: float) -> None:
        self._began_at_s = min(self._began_at_s, now_s)
        at_s = now_s + self._offset_s
        self._fine = Series(FINE_S, FINE_KEPT, keeps_packed=True)
        if not self._open:
            self._open = (
                OpenCell(Series(MINUTE_S, MINUTES_KEPT), int(at_s // MINUTE_S)),
                OpenCell(Series(HOUR_S, HOURS_KEPT), int(at_s // HOUR_S)),
            )

    def _close(self, cell: Tally) -> None:
        """A cell of ten seconds has passed: it becomes part of its minute and its hour."""
        assert self._fine is not None, "a cell was opened"
        if cell.is_empty:
            return
        starts_at = round(cell.starts_at_s + self._offset_s)
        self._fine.append(starts_at // FINE_S, cell)
        self.latency.merge(cell.latency)
        for longer in self._open:
            self._move_to(longer, starts_at // longer.series.cell_s)
            longer.tally.add(cell)
            longer.changed = True

    def _move_to(self, longer: OpenCell, number: int) -> None:
        """Close a minute or an hour if another one has begun."""
        if number <= longer.number:
            return
        if not longer.tally.is_empty:
            if longer.changed:
                self._wait(self._row(longer))
            longer.series.append(longer.number, longer.tally)
            longer.tally = Tally()
            longer.changed = False
        longer.number = number

    def _wait(self, row: Row) -> None:
        """Keep a closed row until it is asked for."""
        waiting = self._waiting[row.cell_s]
        waiting[row.starts_at_s] = row
        if len(waiting) > _WAITING_MAX[row.cell_s]:
            del waiting[min(waiting)]
            self.dropped_rows += 1

    # ---- reading

    @property
    def is_used(self) -> bool:
        """Whether anything was ever counted or loaded."""
        return self._fine is not None

    def recent(self, now_s: float) -> list[Tally]:
        """The cells of the last minute, oldest first, the current one included: 50 to 60 s."""
        if self._fine is None:
            return []
        current = self.current(now_s)
        oldest_end_s = current.ends_at_s - (RECENT_CELLS - 1) * FINE_S
        return [*(cell for cell in self._recent if cell.ends_at_s >= oldest_end_s - FINE_S / 2), current]

    def recent_s(self, now_s: float) -> float:
        """Seconds the cells of the last minute stand for, at least one cell's length (rates need a divisor)."""
        if self._fine is None:
            return FINE_S
        current = self.current(now_s)
        return max(FINE_S, now_s - max(self._began_at_s, current.ends_at_s - RECENT_CELLS * FINE_S))

    def covers_s(self, now_s: float) -> float:
        """How far back anything is known, in seconds; 0 if nothing is."""
        oldest_s = min(self._began_at_s, self._kept_from_s)
        return min(max(now_s - oldest_s, 0.0), float(HOURS_KEPT * HOUR_S)) if oldest_s < inf else 0.0

    def total_good(self, now_s: float, window_s: float) -> tuple[int, int]:
        """(total, good) of the last `window_s` seconds; costs a few look-ups."""
        parts = self._parts(now_s, window_s)
        if parts is None:
            return 0, 0
        series, number, tallies = parts
        total, good = series.since(number)
        for tally in tallies:
            total += tally.total
            good += tally.good
        return total, good

    def counts(self, now_s: float, window_s: float) -> Counts:
        """All counts of the last `window_s` seconds."""
        parts = self._parts(now_s, window_s)
        if parts is None:
            return Counts()
        series, number, tallies = parts
        return sum_counts([series.counts_since(number), *(tally.counts() for tally in tallies)])

    def grain_s(self, now_s: float, window_s: float) -> int:
        """By how much a window may reach further back than its length, in seconds: the length of its cells.

        One before whose begin nothing was counted holds nothing that it should not.
        """
        parts = self._parts(now_s, window_s)
        return FINE_S if parts is None or window_s >= self.covers_s(now_s) else parts[0].cell_s

    def _parts(self, now_s: float, window_s: float) -> tuple[Series, int, list[Tally]] | None:
        """The closed cells a window is made of, from which number on, and those still open."""
        if self._fine is None:
            return None
        cell = self.current(now_s)  # also closes what has passed
        fine = self._fine
        begins_at_s = now_s - window_s
        has_older = any(len(longer.series) or not longer.tally.is_empty for longer in self._open)
        if window_s <= FINE_S * FINE_KEPT and (begins_at_s >= self._began_at_s or not has_older):
            return fine, self._first(begins_at_s, FINE_S), [cell]
        minutes, hours = self._open
        longer = minutes if window_s <= MINUTE_S * MINUTES_KEPT else hours
        first = self._first(begins_at_s, longer.series.cell_s)
        return longer.series, first, [longer.tally, cell] if longer.number >= first else [cell]

    def _first(self, begins_at_s: float, cell_s: int) -> int:
        """Number of the first cell that ends after an instant."""
        return max(int((begins_at_s + self._offset_s) // cell_s), 0)

    def fine_cells(self, now_s: float, window_s: float) -> list[PackedCell]:
        """The cells of a window, oldest first, packed; the one under way is included.

        Reaches back six hours at most. What this process counted comes in cells of ten seconds, what earlier ones did
        before it in minutes; the minute in which this process began holds only what was counted before.
        Copying them is quick; unpacking (`sojourn.slo.tally.unpacked`) thousands is better done off the loop.
        """
        if self._fine is None:
            return []
        cell = self._booked(now_s)
        begins_s = now_s - window_s + self._offset_s
        cells = [earlier for earlier in self._earlier if earlier.starts_at_s + MINUTE_S > begins_s]
        first = self._first(now_s - window_s, FINE_S)
        cells += [PackedCell(number * FINE_S, FINE_S, packed) for number, packed in self._fine.packed_since(first)]
        if not cell.is_empty:
            cells.append(PackedCell(round(cell.starts_at_s + self._offset_s), FINE_S, cell.pack()))
        return cells

    # ---- joining

    def book_replicas(self, now_s: float) -> None:
        """Count replica time until now, of replicas that will not be asked about again."""
        self.begin_with_replicas(now_s)
        if self._fine is not None:
            self._booked(now_s)

    def retire(self, now_s: float) -> list[Row]:
        """Nothing more will be counted; the rows that are not saved, whole. It can be read on."""
        self.book_replicas(now_s)
        self._replica_seconds = None  # a later one may go by the same key
        if self._fine is None:
            return []
        self.finish(now_s)
        return self.unsaved()

    def absorb(self, other: Monitor) -> None:
        """Take over all that another one counted, both being retired: from now on this one tells it."""
        if self._fine is None or other._fine is None:
            if other._fine is not None:
                for name in ("_began_at_s", "_earlier", "_fine", "_kept_from_s", "_open", "cell", "latency"):
                    setattr(self, name, getattr(other, name))
            return
        self._fine.absorb(other._fine)
        for longer, its in zip(self._open, other._open, strict=True):
            longer.absorb(its)
        self.latency.merge(other.latency)
        self._earlier = sorted([*self._earlier, *other._earlier])
        self._began_at_s = min(self._began_at_s, other._began_at_s)
        self._kept_from_s = min(self._kept_from_s, other._kept_from_s)

    # ---- keeping

    @property
    def offset_s(self) -> float:
        """What to add to monotonic seconds to get seconds since the epoch."""
        return self._offset_s

    @property
    def key(self) -> str:
        """What its rows are kept under."""
        return self._key

    def load(self, rows: Iterable[Row], now_s: float, mark: str = "", *, is_whole: bool = True) -> int:
        """Take in what was kept of earlier runs; to be called before anything is counted.

        Args:
            rows: Of all revisions of the function, by beginning, the oldest first; none in the future.
            now_s: Now.
            mark: What sets the rows of this run apart if one cannot be read: so that none takes the place of that one.
            is_whole: Whether these are all that are kept, none having been left out because it cannot be read.

        Returns:
            How many rows could not be read; the others are taken in.
        """
        self._begin(now_s)
        minutes, hours = self._open
        earliest_s = now_s + self._offset_s - FINE_S * FINE_KEPT - MINUTE_S
        unreadable = 0
        oldest_s = {MINUTE_S: inf, HOUR_S: inf}
        for row in rows:
            longer, number = minutes if row.cell_s == MINUTE_S else hours, row.starts_at_s // row.cell_s
            try:
                tally = unpacked(row.packed)
            except ValueError:
                unreadable += 1
                continue
            oldest_s[row.cell_s] = min(oldest_s[row.cell_s], row.starts_at_s)
            if row.cell_s == MINUTE_S and row.starts_at_s > earliest_s:
                self._earlier.append(PackedCell(row.starts_at_s, MINUTE_S, row.packed))
            if number >= longer.number and row.revision == self.revision:
                longer.tally.add(tally)
            else:
                longer.series.append(number, tally)
        is_same_hour = oldest_s[HOUR_S] <= oldest_s[MINUTE_S] < oldest_s[HOUR_S] + HOUR_S
        self._kept_from_s = (oldest_s[MINUTE_S] if is_same_hour else min(oldest_s.values())) - self._offset_s
        if unreadable or not is_whole:
            for longer in self._open:
                if not longer.tally.is_empty:  # it stays under its own key, and counts as closed
                    longer.series.append(longer.number, longer.tally)
                    longer.tally = Tally()
            self.keep_apart(mark)
        return unreadable

    def keep_apart(self, mark: str) -> None:
        """Rows get a key of their own from now on: of what lies under the other not all is known."""
        self._key = f"{self.revision}~{mark}"
        for longer in self._open:
            longer.changed = not longer.tally.is_empty

    def unsaved(self) -> list[Row]:
        """The minutes and hours that changed since the last call, whole; the cell of ten seconds under way is left out.

        Call `saved` or `put_back` next.
        """
        self._forget_earlier()
        rows = [row for waiting in self._waiting.values() for row in waiting.values()]
        for waiting in self._waiting.values():
            waiting.clear()
        for longer in self._open:
            if longer.changed:
                rows.append(self._row(longer))
                longer.changed = False
        self._handed = tuple(rows)
        return rows

    def saved(self) -> None:
        """The rows of `unsaved` are kept now."""
        self._handed = ()

    def _forget_earlier(self) -> None:
        """Minutes that no window of six hours reaches any more go."""
        if self._earlier and self._fine is not None:
            oldest_s = self.cell.starts_at_s + self._offset_s - FINE_S * FINE_KEPT - MINUTE_S
            if self._earlier[0].starts_at_s < oldest_s:
                self._earlier = [cell for cell in self._earlier if cell.starts_at_s >= oldest_s]

    def open_rows(self, now_s: float) -> list[Row]:
        """The minute and the hour under way, whole, and closed ones not known to be saved; for reading, nothing changes."""
        if self._fine is None:
            return []
        cell = self._booked(now_s)
        rows = [*self._handed, *(row for waiting in self._waiting.values() for row in waiting.values())]
        for longer in self._open:
            number = round(cell.starts_at_s + self._offset_s) // longer.series.cell_s
            tally = Tally()
            tally.add(cell)
            if longer.number == number:
                tally.add(longer.tally)
            elif not longer.tally.is_empty:
                rows.append(self._row(longer))
            cell_s = longer.series.cell_s
            rows.append(Row(revision=self._key, cell_s=cell_s, starts_at_s=number * cell_s, packed=tally.pack()))
        return rows

    def put_back(self, rows: Iterable[Row]) -> None:
        """Rows of `unsaved` could not be saved: they are returned again, unless newer ones take their place."""
        self._handed = ()
        open_rows = {(longer.series.cell_s, longer.number) for longer in self._open}
        for row in rows:
            is_open = (row.cell_s, row.starts_at_s // row.cell_s) in open_rows
            if not is_open and row.starts_at_s not in self._waiting[row.cell_s]:
                self._wait(row)
        for longer in self._open:
            longer.changed = not longer.tally.is_empty

    def finish(self, now_s: float) -> None:
        """Count the cell under way as closed, so that `unsaved` holds everything: the process is about to end."""
        cell = self._booked(now_s)
        self._close(cell)
        self.cell = Tally(now_s, cell.ends_at_s)

    def _row(self, longer: OpenCell) -> Row:
        cell_s = longer.series.cell_s
        return Row(revision=self._key, cell_s=cell_s, starts_at_s=longer.number * cell_s, packed=longer.tally.pack())

"""What happened in the last minute, in six cells of ten seconds; the clock is the caller's."""

from __future__ import annotations

from collections import deque

from sojourn.telemetry.quantile import LogHistogram

CELL_S = 10.0
CELLS = 6


class Cell:
    """Ten seconds of traffic: arrivals, latencies of served requests, good and all SLO events, batches."""

    __slots__ = ("arrivals", "batched_items", "batches", "ends_at_s", "latency", "slo_events", "slo_good")

    def __init__(self, ends_at_s: float) -> None:
        self.ends_at_s = ends_at_s
        self.arrivals = 0
        self.slo_good = 0
        self.slo_events = 0
        self.batches = 0
        self.batched_items = 0
        self.latency = LogHistogram()


class RollingMinute:
    """The current cell and the five before it.

    Cells lie on a fixed grid of ten seconds, so the window covers 50 to 60 s. `current(now_s)` is the one
    way in: it returns the cell to count into and closes cells whose time has passed. Closed cells are
    also handed to `total`, so one observation serves both the last minute and the time since start.
    """

    __slots__ = ("_cell", "_closed", "_opened_at_s", "total")

    def __init__(self) -> None:
        self._cell = Cell(ends_at_s=float("-inf"))
        self._closed: deque[Cell] = deque(maxlen=CELLS - 1)
        self._opened_at_s: float | None = None
        self.total = LogHistogram()

    def current(self, now_s: float) -> Cell:
        """The cell that `now_s` (monotonic seconds) falls into."""
        cell = self._cell
        if now_s < cell.ends_at_s:
            return cell
        return self._roll(now_s)

    def _roll(self, now_s: float) -> Cell:
        last = self._cell
        starts_at_s = now_s // CELL_S * CELL_S
        if self._opened_at_s is None:
            self._opened_at_s = starts_at_s
        else:
            self.total.merge(last.latency)
            self._closed.append(last)
        self._cell = Cell(ends_at_s=starts_at_s + CELL_S)
        return self._cell

    def cells(self, now_s: float) -> list[Cell]:
        """The cells of the last minute, oldest first, the current one included."""
        current = self.current(now_s)
        oldest_end_s = current.ends_at_s - (CELLS - 1) * CELL_S
        return [*(cell for cell in self._closed if cell.ends_at_s >= oldest_end_s - CELL_S / 2), current]

    def covered_s(self, now_s: float) -> float:
        """Seconds the cells of the last minute stand for, at least one cell's length (rates need a divisor)."""
        current = self.current(now_s)
        opened_at_s = self._opened_at_s if self._opened_at_s is not None else now_s
        return max(CELL_S, now_s - max(opened_at_s, current.ends_at_s - CELLS * CELL_S))

    def since_start(self) -> LogHistogram:
        """Latencies of all served requests since the first."""
        everything = LogHistogram()
        everything.merge(self.total)
        everything.merge(self._cell.latency)
        return everything

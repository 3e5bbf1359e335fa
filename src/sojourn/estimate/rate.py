"""Rates and counts of events over short sliding windows."""

from __future__ import annotations


class EventRate:
    """Counts events in cells of time, so that any window up to the longest can be asked for.

    Args:
        longest_s: Longest window, in seconds, > 0.
        cells: Cells it is cut into, >= 1; windows slide by one cell at a time.
    """

    __slots__ = ("_cell", "_cell_s", "_counts", "_first_at_s")

    def __init__(self, longest_s: float = 1.0, cells: int = 10) -> None:
        self._cell_s = longest_s / cells
        self._counts = [0] * cells
        self._cell = -1  # so that the first event opens a cell
        self._first_at_s: float | None = None

    def record(self, now_s: float, count: int = 1) -> None:
        """Count events at `now_s`."""
        cell = int(now_s / self._cell_s)
        if cell != self._cell:
            self._advance(cell)
            if self._first_at_s is None:
                self._first_at_s = now_s
        self._counts[cell % len(self._counts)] += count

    def count(self, now_s: float) -> int:
        """Events within the longest window before `now_s`."""
        self._advance(int(now_s / self._cell_s))
        return sum(self._counts)

    def per_s(self, now_s: float, window_s: float | None = None) -> float:
        """Events per second over `window_s` (default: the longest) before `now_s`.

        While the first event is younger than the window, the time since then counts (at least a cell).
        """
        if self._first_at_s is None:
            return 0.0
        cell = int(now_s / self._cell_s)
        if cell != self._cell:
            self._advance(cell)
        cells = len(self._counts)
        taken = cells if window_s is None else min(max(round(window_s / self._cell_s), 1), cells)
        if taken == cells:
            total = sum(self._counts)
        else:
            newest = cell % cells + 1
            total = sum(self._counts[max(newest - taken, 0) : newest])
            if taken > newest:
                total += sum(self._counts[newest - taken :])
        covered_s = (taken - 1) * self._cell_s + now_s - cell * self._cell_s
        return total / max(min(covered_s, now_s - self._first_at_s), self._cell_s)

    def _advance(self, cell: int) -> None:
        cells = len(self._counts)
        for passed in range(self._cell + 1, min(cell, self._cell + cells) + 1):
            self._counts[passed % cells] = 0
        self._cell = max(cell, self._cell)

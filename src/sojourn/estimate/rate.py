"""Rates and counts of events over short sliding windows."""

from __future__ import annotations


class EventRate:
    """Counts events in cells of time, so that any window up to the longest can be asked for.

    Args:
        longest_s: Longest window, in seconds, > 0.
        cells: Cells it is cut into, >= 1; windows slide by one cell at a time.
    """

    __slots__ = ("_cell", "_cell_s", "_cells", "_counted", "_counted_before", "_first_at_s")

    def __init__(self, longest_s: float = 1.0, cells: int = 10) -> None:
        self._cell_s = longest_s / cells
        self._cells = cells
        self._counted = 0
        self._counted_before = [0] * cells  # by the time each of the last cells was opened
        self._cell = -1  # so that the first event opens a cell
        self._first_at_s: float | None = None

    def record(self, now_s: float, count: int = 1) -> None:
        """Count events at `now_s`."""
        cell = int(now_s / self._cell_s)
        if cell != self._cell:
            self._advance(cell)
            if self._first_at_s is None:
                self._first_at_s = now_s
        self._counted += count

    def count(self, now_s: float) -> int:
        """Events within the longest window before `now_s`."""
        self._advance(int(now_s / self._cell_s))
        return self._counted - self._counted_before[(self._cell + 1) % self._cells]

    def per_s(self, now_s: float, window_s: float | None = None) -> float:
        """Events per second over `window_s` (default: the longest) before `now_s`.

        While the first event is younger than the window, the time since then counts (at least a cell).
        """
        if self._first_at_s is None:
            return 0.0
        cell_s, cells = self._cell_s, self._cells
        cell = int(now_s / cell_s)
        if cell != self._cell:
            self._advance(cell)
        taken = cells
        if window_s is not None:
            taken = min(int(window_s / cell_s + 0.5) or 1, cells)
        counted = self._counted - self._counted_before[(cell + 1 - taken) % cells]
        covered_s = (taken - 1 - cell) * cell_s + now_s
        age_s = now_s - self._first_at_s
        covered_s = min(covered_s, age_s)
        return counted / max(cell_s, covered_s)

    def _advance(self, cell: int) -> None:
        cells = self._cells
        for passed in range(self._cell + 1, min(cell, self._cell + cells) + 1):
            self._counted_before[passed % cells] = self._counted
        self._cell = max(cell, self._cell)

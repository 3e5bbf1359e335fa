"""A simulated run by stretches of time, in bounded memory: what plots are drawn from."""

from __future__ import annotations

import msgspec

from sojourn.slo.histogram import LogHistogram

CELLS_MAX = 400


class TimelineCell(msgspec.Struct):
    """Sums over one stretch of time.

    Args:
        arrivals: Requests that arrived in it.
        good: Of these, served within the objective.
        late: Of these, served past it.
        lost: Of these, not served.
        latency: Latencies of those served [s].
        batches: Batches sent in it.
        items: Requests in these batches.
        busy_s: Replica time these batches took, in seconds.
        queued_max: Most requests waiting at any look, the late lane included.
        looks: How often it was looked at.
        ready_sum: Ready replicas, summed over the looks.
        living_sum: Living replicas (starting, ready and draining), summed over the looks.
        starts: Replicas started.
    """

    arrivals: int = 0
    good: int = 0
    late: int = 0
    lost: int = 0
    latency: LogHistogram = msgspec.field(default_factory=LogHistogram)
    batches: int = 0
    items: int = 0
    busy_s: float = 0.0
    queued_max: int = 0
    looks: int = 0
    ready_sum: int = 0
    living_sum: int = 0
    starts: int = 0

    def add(self, other: TimelineCell) -> None:
        """Take in all that `other` counted."""
        self.latency.merge(other.latency)
        self.queued_max = max(self.queued_max, other.queued_max)
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_SUMMED = tuple(name for name in TimelineCell.__struct_fields__ if name not in {"latency", "queued_max"})


class Timeline:
    """Cells of equal length from the start of the run; when there are too many, each two become one.

    Args:
        cell_s: Length of a cell at first, in seconds, > 0.
        cells_max: Most cells kept, >= 2.
    """

    __slots__ = ("_cells_max", "cell_s", "cells")

    def __init__(self, cell_s: float = 0.1, cells_max: int = CELLS_MAX) -> None:
        self.cell_s = cell_s
        self._cells_max = cells_max
        self.cells: list[TimelineCell] = []

    def at(self, at_s: float) -> TimelineCell:
        """The cell of an instant >= 0."""
        index = int(at_s / self.cell_s)
        cells = self.cells
        while index >= self._cells_max:
            self._halve()
            index = int(at_s / self.cell_s)
        while index >= len(cells):
            cells.append(TimelineCell())
        return cells[index]

    def _halve(self) -> None:
        cells = self.cells
        for first in range(0, len(cells) - 1, 2):
            cells[first].add(cells[first + 1])
        self.cells[:] = cells[::2]
        self.cell_s *= 2

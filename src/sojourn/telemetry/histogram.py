"""A histogram over fixed edges, in plain lists: cheap to fill, ready for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec


class HistogramSnapshot(msgspec.Struct, frozen=True):
    """What a histogram has counted: per bucket (one more than edges), and the sum of all values."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """Values seen."""
        return sum(self.counts)


class EdgeHistogram:
    """Counts values into buckets with inclusive upper edges; the last bucket has no upper edge.

    Args:
        edges: Upper edges, ascending.
    """

    __slots__ = ("_counts", "_edges", "_sum")

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = tuple(edges)
        self._counts = [0] * (len(self._edges) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._edges, value)] += 1
        self._sum += value

    def snapshot(self) -> HistogramSnapshot:
        """A copy that later values do not change."""
        return HistogramSnapshot(edges=self._edges, counts=tuple(self._counts), sum=self._sum)

"""A mergeable histogram of positive quantities whose quantiles are at most 1.083 % off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil, log2

from sojourn.slo.varint import read_varint, write_varint

CELLS_PER_DOUBLING = 32
SMALLEST = 1e-6
LARGEST = 1e6
_FIRST = ceil(log2(SMALLEST) * CELLS_PER_DOUBLING)
_LAST = ceil(log2(LARGEST) * CELLS_PER_DOUBLING)
_BASE = 2.0 ** (1 / CELLS_PER_DOUBLING)
# A value known to lie in (b^(i-1), b^i] is estimated so that both ends are equally far off, relatively.
_CENTRE = 2 / (_BASE + 1)
RELATIVE_ERROR_MAX = (_BASE - 1) / (_BASE + 1)


class LogHistogram:
    """Counts values in cells that grow by 2^(1/32); two of them merge by adding.

    Values from 1e-6 to 1e6 keep the promised error; what lies outside is counted in the first or last
    cell. Only cells that were hit take memory, so a histogram never used costs next to nothing.

    Source:
        OpenTelemetry exponential histograms, scale 5; the error is (b-1)/(b+1) for b = 2^(1/32).
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def observe(self, value: float) -> None:
        """Count one value."""
        if value > LARGEST:
            index = _LAST
        elif value > SMALLEST:
            index = ceil(log2(value) * CELLS_PER_DOUBLING)
        else:
            index = _FIRST
        counts = self._counts
        counts[index] = counts.get(index, 0) + 1

    def observe_all(self, values: Iterable[float]) -> None:
        """Count each of many values; cheaper than one by one."""
        counts = self._counts
        known = counts.get
        for value in values:
            if SMALLEST < value <= LARGEST:
                index = ceil(log2(value) * CELLS_PER_DOUBLING)
                counts[index] = known(index, 0) + 1
            else:
                self.observe(value)

    def merge(self, other: LogHistogram) -> None:
        """Add all that `other` has seen; `other` stays as it is."""
        counts = self._counts
        for index, count in other._counts.items():
            counts[index] = counts.get(index, 0) + count

    def clear(self) -> None:
        """Forget everything."""
        self._counts.clear()

    @property
    def count(self) -> int:
        """Values seen."""
        return sum(self._counts.values())

    def cells(self) -> Iterator[tuple[float, int]]:
        """The cells that were hit, ascending: (centre of the cell, values counted in it)."""
        for index in sorted(self._counts):
            yield _BASE**index * _CENTRE, self._counts[index]

    def pack_into(self, packed: bytearray) -> None:
        """Append the cells in a compact form: two to four bytes for each that was hit."""
        write_varint(packed, len(self._counts))
        before = _FIRST
        for index in sorted(self._counts):
            write_varint(packed, index - before)
            write_varint(packed, self._counts[index])
            before = index

    def add_packed(self, packed: bytes, at: int) -> int:
        """Add what `pack_into` wrote at place `at`; the place behind it.

        Raises:
            ValueError: These bytes were not written by `pack_into`.
        """
        counts = self._counts
        cells, at = read_varint(packed, at)
        index = _FIRST
        for _ in range(cells):
            step, at = read_varint(packed, at)
            count, at = read_varint(packed, at)
            index += step
            if index > _LAST:
                raise ValueError(f"a histogram cell lies at {index}, past the last one at {_LAST}")
            counts[index] = counts.get(index, 0) + count
        return at

    def quantile(self, p: float) -> float | None:
        """The value that a share `p` of all values does not exceed (nearest rank); None if there are no values.

        Args:
            p: Share in [0, 1].

        Raises:
            ValueError: `p` lies outside [0, 1].
        """
        if not 0 <= p <= 1:
            raise ValueError(f"p must be a share in [0, 1], not {p}")
        rank = max(1, ceil(p * self.count))
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            if seen >= rank:
                return float(_BASE**index * _CENTRE)
        return None

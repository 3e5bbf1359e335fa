"""How long a function's idle times are, from a histogram of one-minute bins."""

from __future__ import annotations

from array import array
from math import ceil, inf, sqrt

BIN_S = 60.0
RANGE_S = 4 * 3600.0
_BINS = int(RANGE_S / BIN_S)
_KEPT_MAX = 4096  # past this all counts are halved, so that what was long ago fades


class IdleHistogram:
    """Idle times by the minute up to four hours; longer ones are only counted.

    An idle time is taken to be anywhere in its bin: shares of longer ones are rounded up, mean times use the middle.
    Memory is fixed (2 KB).

    Source:
        M. Shahrad et al., "Serverless in the Wild", USENIX ATC 2020, 4.2 (range, bins, representativeness).
    """

    __slots__ = ("_bins", "_outside", "_total_s", "count")

    def __init__(self) -> None:
        self._bins = array("L", [0]) * _BINS
        self._outside = 0
        self._total_s = 0.0
        self.count = 0

    def add(self, idle_s: float) -> None:
        """Count an idle time of `idle_s` (>= 0) seconds."""
        self.count += 1
        self._total_s += idle_s
        if idle_s < RANGE_S:
            self._bins[int(idle_s / BIN_S)] += 1
        else:
            self._outside += 1
        if self.count > _KEPT_MAX:
            self._halve()

    @property
    def outside_share(self) -> float:
        """Share of idle times longer than the range, in [0, 1]."""
        return self._outside / self.count if self.count else 0.0

    @property
    def variation(self) -> float:
        """Coefficient of variation of the bins' counts: 0 if spread evenly, large if a few bins hold them all."""
        inside = self.count - self._outside
        if not inside:
            return 0.0
        mean = inside / _BINS
        return sqrt(max(sum(count * count for count in self._bins) / _BINS - mean * mean, 0.0)) / mean

    @property
    def mean_s(self) -> float:
        """Mean idle time, those outside the range included [s]."""
        return self._total_s / self.count if self.count else 0.0

    def longer_share(self, than_s: float) -> float:
        """Share of idle times that may be longer than `than_s` seconds: a bin counts until its upper edge.

        Args:
            than_s: In [0, 4 h]; nothing is known of later.
        """
        covered = sum(self._bins[: int(than_s / BIN_S)])
        return (self.count - covered) / self.count if self.count else 0.0

    def shortest_covering(self, longer_share_max: float) -> float:
        """Shortest time, in whole minutes, that at most this share of idle times outlasts [s]; infinite if none does."""
        left = self.count
        for index, count in enumerate(self._bins):
            left -= count
            if left <= longer_share_max * self.count:
                return (index + 1) * BIN_S
        return inf

    def quantile_s(self, share: float) -> tuple[float, float]:
        """Edges of the bin that holds this quantile of the idle times inside the range [s].

        Args:
            share: In [0, 1].
        """
        wanted = max(ceil(share * (self.count - self._outside)), 1)
        seen = 0
        for index, count in enumerate(self._bins):
            seen += count
            if seen >= wanted:
                return index * BIN_S, (index + 1) * BIN_S
        return 0.0, RANGE_S

    def bins(self) -> list[tuple[float, int]]:
        """Middle of each bin that holds any [s], and how many; those outside the range stand at its end."""
        found = [((index + 0.5) * BIN_S, count) for index, count in enumerate(self._bins) if count]
        return [*found, (RANGE_S, self._outside)] if self._outside else found

    def _halve(self) -> None:
        before = self.count
        for index, count in enumerate(self._bins):
            self._bins[index] = count // 2
        self._outside //= 2
        self.count = sum(self._bins) + self._outside
        self._total_s *= self.count / before

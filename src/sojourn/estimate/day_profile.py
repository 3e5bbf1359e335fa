"""Yesterday, minute by minute, and whether today resembles it."""

from __future__ import annotations

from array import array
from math import sqrt

_MINUTES = 1440
_MINUTE_S = 60.0
_DAY_S = _MINUTES * _MINUTE_S
_PAIRS_MIN = 720.0  # half a day of pairs: less says nothing of a daily rhythm
_FORGETTING = 1.0 - 1.0 / (2 * _MINUTES)  # two days are remembered, so that a holiday is outlived


class DayProfile:
    """Arrivals in each of the last 1440 minutes, and their correlation with the same minutes a day earlier.

    Minutes are counted from the clock's own zero: "the same minute of yesterday" needs no calendar. Memory is fixed
    (12 KB); a minute costs O(1).

    Source:
        ALGORITHMS 5 (same minute of yesterday when the 24-h autocorrelation is > 0.3); the correlation is Pearson's
        of the pairs (today, yesterday) with exponential forgetting.
    """

    __slots__ = ("_counts", "_known_from", "_minute", "_sums")

    def __init__(self) -> None:
        self._counts = array("d", [0.0]) * _MINUTES
        self._minute: int | None = None  # the last one that was closed
        self._known_from = 0
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # weight, x, y, xx, yy, xy; x is yesterday

    def close(self, minute: int, count: int) -> None:
        """Take in the arrivals of a minute that has ended; minutes passed over since the last had none.

        Args:
            minute: Its number since the clock's zero, greater than that of the last one.
            count: Arrivals in it, >= 0.
        """
        if self._minute is None:
            self._known_from = minute
        else:
            skipped = minute - self._minute - 1
            if skipped > _MINUTES:  # longer than all that is kept: what came before is forgotten
                self._known_from = minute - _MINUTES
                skipped = _MINUTES
            for empty in range(minute - skipped, minute):
                self._put(empty, 0)
        self._put(minute, count)
        self._minute = minute

    @property
    def autocorrelation(self) -> float:
        """Correlation of today's minutes with yesterday's, in [-1, 1]; 0 until half a day of pairs is known."""
        weight, x, y, xx, yy, xy = self._sums
        if weight < _PAIRS_MIN:
            return 0.0
        variance_x, variance_y = xx / weight - (x / weight) ** 2, yy / weight - (y / weight) ** 2
        if variance_x <= 0.0 or variance_y <= 0.0:
            return 0.0
        return (xy / weight - x * y / weight**2) / sqrt(variance_x * variance_y)

    def rate_per_s(self, at_s: float) -> float | None:
        """Yesterday's arrival rate in the minute of `at_s`, or None if that is not known.

        Args:
            at_s: An instant less than a day after the last closed minute, in seconds of the clock.
        """
        minute = int(at_s // _MINUTE_S)
        yesterday = minute - _MINUTES
        if self._minute is None or not self._known_from <= yesterday <= self._minute or minute <= self._minute:
            return None
        return self._counts[minute % _MINUTES] / _MINUTE_S

    def _put(self, minute: int, count: int) -> None:
        place = minute % _MINUTES
        if minute - _MINUTES >= self._known_from:
            before, keep = self._counts[place], _FORGETTING
            weight, x, y, xx, yy, xy = self._sums
            self._sums = (
                weight * keep + 1.0,
                x * keep + before,
                y * keep + count,
                xx * keep + before * before,
                yy * keep + count * count,
                xy * keep + before * count,
            )
        self._counts[place] = float(count)

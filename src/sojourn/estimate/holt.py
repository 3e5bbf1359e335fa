"""Holt's exponential smoothing with a damped trend."""

from __future__ import annotations

_LEVEL_WEIGHT = 0.15
_TREND_WEIGHT = 0.03
_DAMPING = 0.97
_FORGOTTEN_AFTER = 600  # empty seconds after which nothing is left of level and trend


class DampedHolt:
    """Level and trend of counts that come one per second; O(1) each.

    Args:
        level_weight: Weight of the newest count in the level, in (0, 1).
        trend_weight: Weight of the newest step of the level in the trend, in (0, 1).
        damping: What the trend is multiplied with for each second ahead, in (0, 1); it never runs further than
            `damping / (1 - damping)` seconds' worth.

    Source:
        E. S. Gardner, E. McKenzie, "Forecasting trends in time series", Management Science 31(10), 1985.
    """

    __slots__ = ("_damping", "_level_weight", "_trend_weight", "is_known", "level_per_s", "trend_per_s")

    def __init__(
        self,
        level_weight: float = _LEVEL_WEIGHT,
        trend_weight: float = _TREND_WEIGHT,
        damping: float = _DAMPING,
    ) -> None:
        self._level_weight = level_weight
        self._trend_weight = trend_weight
        self._damping = damping
        self.is_known = False
        self.level_per_s = 0.0
        self.trend_per_s = 0.0  # change of the level per second

    def add(self, count: float) -> None:
        """Take in the count of the next second."""
        if not self.is_known:
            self.level_per_s, self.is_known = count, True
            return
        expected = self.level_per_s + self._damping * self.trend_per_s
        level = expected + self._level_weight * (count - expected)
        step = level - self.level_per_s
        self.trend_per_s = self._damping * self.trend_per_s + self._trend_weight * (
            step - self._damping * self.trend_per_s
        )
        self.level_per_s = level

    def add_empty(self, seconds: int) -> None:
        """Take in that many seconds with no arrival at all."""
        if seconds >= _FORGOTTEN_AFTER:
            self.level_per_s = self.trend_per_s = 0.0
            return
        for _ in range(seconds):
            self.add(0.0)

    def ahead_per_s(self, seconds: float) -> float:
        """The count forecast for `seconds` (>= 0) after the last one, never below 0."""
        reach: float = self._damping * (1.0 - self._damping**seconds) / (1.0 - self._damping)
        return max(self.level_per_s + self.trend_per_s * reach, 0.0)

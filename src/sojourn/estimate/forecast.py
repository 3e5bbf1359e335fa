"""How much traffic to expect by the time a replica started now is ready."""

from __future__ import annotations

from collections import deque

from sojourn.estimate.day_profile import DayProfile
from sojourn.estimate.forecast_score import ForecastScore
from sojourn.estimate.holt import DampedHolt

_FURTHEST_S = 60.0
_WINDOW_S = 10.0  # looked at past the cold start; what comes later can still be started later
_SMOOTHED_S = 10  # a second's count is mostly chance: what is judged is the mean of ten
_RAISE_MAX = 2.0
_CORRELATION_MIN = 0.3


class Forecast:
    """Raises a reactive estimate of demand when traffic is about to grow; it never lowers it.

    Two forecasters look from the end of a cold start to ten seconds later, at most a minute ahead: the damped trend
    of the last minute's one-second counts, and the same minute of yesterday if the 24-h autocorrelation is > 0.3.
    Each is scored by its own hits and switched off while it is worse than "it will stay as it is".

    Feed it the growing arrivals counter with every report. Memory is bounded (about 20 KB), a second costs O(1).

    Source:
        ALGORITHMS 5, last paragraph.
    """

    __slots__ = ("_arrivals", "_count", "_day", "_day_score", "_holt", "_in_minute", "_lead_s", "_recent", "_second",
                 "_trend_score")  # fmt: skip

    def __init__(self) -> None:
        self._holt = DampedHolt()
        self._day = DayProfile()
        self._trend_score = ForecastScore()
        self._day_score = ForecastScore()
        self._recent: deque[int] = deque(maxlen=_SMOOTHED_S)  # counts of the last closed seconds
        self._arrivals: int | None = None
        self._second = 0  # the one under way
        self._count = 0  # arrivals in it
        self._in_minute = 0  # arrivals in the closed seconds of the minute under way
        self._lead_s = 1.0

    def observe(self, now_s: float, arrivals: int, cold_start_s: float) -> None:
        """Take in a report.

        Args:
            now_s: Its instant; never earlier than that of the last one.
            arrivals: Arrivals so far, never fewer than before.
            cold_start_s: How long a start takes, in seconds; 0 while unknown.
        """
        self._lead_s = min(max(cold_start_s, 1.0), _FURTHEST_S)
        second = int(now_s)
        if self._arrivals is None:
            self._arrivals, self._second = arrivals, second
            return
        if second > self._second:
            self._close(second)
        self._count += arrivals - self._arrivals
        self._arrivals = arrivals

    @property
    def is_trend_on(self) -> bool:
        """Whether the trend is listened to."""
        return self._trend_score.is_on

    @property
    def is_day_on(self) -> bool:
        """Whether yesterday is listened to: its score is good and today resembles it."""
        return self._day_score.is_on and self._day.autocorrelation > _CORRELATION_MIN

    def raise_of(self, reactive_per_s: float) -> float:
        """The demand to size for, in [1, 2] times the reactive estimate.

        Args:
            reactive_per_s: What the last seconds ask for, >= 0 [1/s].
        """
        latest_s = min(self._lead_s + _WINDOW_S, _FURTHEST_S)
        expected = 0.0
        if self.is_trend_on:
            # A damped trend is monotone: its largest value is at one of the ends.
            expected = max(self._holt.ahead_per_s(self._lead_s), self._holt.ahead_per_s(latest_s))
        if self.is_day_on:
            expected = max(expected, *(self._yesterday(ahead_s) or 0.0 for ahead_s in (self._lead_s, latest_s)))
        return min(max(reactive_per_s, expected), _RAISE_MAX * reactive_per_s)

    def _yesterday(self, ahead_s: float) -> float | None:
        return self._day.rate_per_s(self._second + ahead_s)

    def _close(self, second: int) -> None:
        """End the second under way and the empty ones before `second`."""
        self._settle(self._second, self._count)
        self._holt.add(self._count)
        self._note_expected()
        empty = second - self._second - 1
        if empty:
            # Nothing is expected within a pause, but what was expected for it is judged.
            for passed in range(self._second + 1, min(second, self._second + 1 + int(_FURTHEST_S + _WINDOW_S))):
                self._settle(passed, 0)
            self._holt.add_empty(empty)
        minute = second // 60
        self._in_minute += self._count
        if minute > self._second // 60:
            self._day.close(self._second // 60, self._in_minute)
            self._in_minute = 0
            if minute - 1 > self._second // 60:
                self._day.close(minute - 1, 0)
        self._second, self._count = second, 0

    def _settle(self, second: int, count: int) -> None:
        self._recent.append(count)
        actual = self._persistence()
        self._trend_score.settle(second, actual)
        self._day_score.settle(second, actual)

    def _persistence(self) -> float:
        return sum(self._recent) / len(self._recent)

    def _note_expected(self) -> None:
        """Put down what either forecaster says of the ten seconds that end at the lead's far end."""
        lead = int(min(self._lead_s + _WINDOW_S, _FURTHEST_S))
        due, middle_s = self._second + lead, lead - _SMOOTHED_S / 2
        persistence = self._persistence()
        self._trend_score.predict(due, self._holt.ahead_per_s(middle_s), persistence)
        yesterday = self._yesterday(middle_s)
        if yesterday is not None:
            self._day_score.predict(due, yesterday, persistence)

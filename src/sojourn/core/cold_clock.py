"""How long a function has been without any replica, as a clock that runs only then."""

from __future__ import annotations


class ColdClock:
    """Runs while no replica takes work; a request's cold wait is the difference of two readings.

    `is_warm` says whether one does; `total_s` is the reading as long as it does.
    """

    __slots__ = ("_since_s", "is_warm", "total_s")

    def __init__(self) -> None:
        self.is_warm = False
        self.total_s = 0.0
        self._since_s: float | None = None  # it begins to run with the first look at it

    def reading_s(self, now_s: float) -> float:
        """Time without a replica until `now_s` [s]."""
        if self.is_warm:
            return self.total_s
        if self._since_s is None:
            self._since_s = now_s
        return self.total_s + (now_s - self._since_s)

    def turn(self, now_s: float) -> None:
        """The first replica has come, or the last one has gone, at `now_s`."""
        self.total_s = self.reading_s(now_s)
        self.is_warm = not self.is_warm
        self._since_s = now_s

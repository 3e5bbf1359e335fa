"""How long a function has been without any replica, as a clock that runs only then."""

from __future__ import annotations


class ColdClock:
    """Runs while no replica takes work; a request's cold wait is the difference of two readings.

    `is_warm` says whether one does; `total_s` is the reading as long as it does, and `loss_total_s` that part of it that
    began with the loss of the last replica.
    """

    __slots__ = ("_is_loss", "_since_s", "is_warm", "loss_total_s", "total_s")

    def __init__(self) -> None:
        self.is_warm = False
        self.total_s = 0.0
        self.loss_total_s = 0.0
        self._is_loss = False  # whether it runs, or will next, because a replica was lost
        self._since_s: float | None = None  # it begins to run with the first look at it

    def readings_s(self, now_s: float) -> tuple[float, float]:
        """Time without a replica until `now_s`, and that part of it that began with the loss of the last one [s]."""
        if self.is_warm:
            return self.total_s, self.loss_total_s
        if self._since_s is None:
            self._since_s = now_s
        runs_s = now_s - self._since_s
        return self.total_s + runs_s, self.loss_total_s + (runs_s if self._is_loss else 0.0)

    def lost(self) -> None:
        """The last replica has been lost; a time without replicas that has begun already has another reason."""
        self._is_loss = self._is_loss or self.is_warm

    def turn(self, now_s: float) -> None:
        """The first replica has come, or the last one has gone, at `now_s`."""
        self.total_s, self.loss_total_s = self.readings_s(now_s)
        self.is_warm = not self.is_warm
        if self.is_warm:
            self._is_loss = False
        self._since_s = now_s

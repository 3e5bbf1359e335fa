"""Whether a forecaster has lately been worth listening to."""

from __future__ import annotations

from collections import deque

_WINDOW = 60  # outcomes per window
_RUN = 3  # windows in a row that switch it off, or on again
_NOISE = 1.02  # errors this close are the same


class ForecastScore:
    """Compares a forecaster with persistence ("it will stay as it is") and switches it off while it is worse.

    Each minute of outcomes is one window. A window is bad if the forecaster's absolute errors sum to more than 1.02
    times those of persistence. Three bad windows in a row switch the forecaster off; it goes on being scored, and
    three good ones in a row bring it back. Memory is one entry per second of the lead.

    Source:
        ALGORITHMS 5; the yardstick is that of R. J. Hyndman, A. B. Koehler, "Another look at measures of forecast
        accuracy", 2006 (errors relative to the naive forecast).
    """

    __slots__ = ("_naive_error", "_outcomes", "_own_error", "_pending", "_run", "is_on")

    def __init__(self) -> None:
        self.is_on = True
        self._pending: deque[tuple[int, float, float]] = deque()  # (second it is for, forecast, persistence)
        self._own_error = 0.0
        self._naive_error = 0.0
        self._outcomes = 0
        self._run = 0  # windows in a row that speak against the present state

    def predict(self, second: int, forecast: float, persistence: float) -> None:
        """Note what is expected for a later second, in order of seconds."""
        self._pending.append((second, forecast, persistence))

    def settle(self, second: int, actual: float) -> None:
        """Judge what was expected for `second`; call it for every second there is a count of."""
        pending = self._pending
        while pending and pending[0][0] < second:  # the lead grew, or the second was passed over
            pending.popleft()
        while pending and pending[0][0] == second:
            _, forecast, persistence = pending.popleft()
            self._own_error += abs(forecast - actual)
            self._naive_error += abs(persistence - actual)
            self._outcomes += 1
        if self._outcomes >= _WINDOW:
            self._close()

    def _close(self) -> None:
        is_bad = self._own_error > _NOISE * self._naive_error
        self._run = self._run + 1 if is_bad == self.is_on else 0
        if self._run >= _RUN:
            self.is_on, self._run = not self.is_on, 0
        self._own_error = self._naive_error = 0.0
        self._outcomes = 0

"""When the next replica of a function may be started after some have failed."""

from __future__ import annotations

from math import inf

from sojourn.domain.rng import Rng

_BACKOFF_FIRST_S = 1.0
_BACKOFF_MAX_S = 60.0
_BACKOFF_JITTER = 0.2
_FAST_FAILURE_S = 10.0  # a replica that dies sooner after it was ready counts as failing to start
_CRASH_LOOP_AFTER = 5
_FREE_SUCCESSORS = 2


class Succession:
    """Counts fast failures in a row and lets more and more time pass after each.

    1, 2, 4 .. 60 s, each +-20 %, so that many functions do not start in step. A replica that could serve
    may have died of its work: its first two successors start at once. After five fast failures in a row
    the function is in a crash loop, until a replica becomes ready. A start that succeeds ends a row of
    starts that failed; a row of early deaths ends with a replica that outlives them.

    Args:
        rng: Chance for the jitter.

    Source:
        ALGORITHMS 9.
    """

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._failed_starts = 0
        self._early_deaths = 0
        self._newest_ready_at_s = inf
        self.start_after_s = -inf
        self.is_crash_loop = False
        self.last_cause = ""

    def failed(self, cause: str, ready_at_s: float | None, now_s: float) -> bool:
        """A replica failed at `now_s`, `ready_at_s` being when it became ready; whether a crash loop begins."""
        self.last_cause = cause
        self._forgive(now_s)
        if ready_at_s is None:
            self._failed_starts += 1
        elif now_s - ready_at_s < _FAST_FAILURE_S:
            self._early_deaths += 1
            if ready_at_s == self._newest_ready_at_s:
                self._newest_ready_at_s = inf  # it will prove nothing
        else:
            self._failed_starts = self._early_deaths = 0
        failures = self._failed_starts + self._early_deaths
        waits = failures - (_FREE_SUCCESSORS if ready_at_s is not None else 0)
        self.start_after_s = now_s + self._backoff_s(waits) if waits > 0 else now_s
        begins = failures >= _CRASH_LOOP_AFTER and not self.is_crash_loop
        self.is_crash_loop = self.is_crash_loop or begins
        return begins

    def became_ready(self, now_s: float) -> bool:
        """A replica is ready; whether a crash loop ends with that."""
        self.last_cause = ""
        self._failed_starts = 0
        self._forgive(now_s)
        self._newest_ready_at_s = now_s
        ended, self.is_crash_loop = self.is_crash_loop, False
        return ended

    def _forgive(self, now_s: float) -> None:
        """If the newest replica has outlived the early deaths before it, they count no more."""
        if now_s - self._newest_ready_at_s >= _FAST_FAILURE_S:
            self._early_deaths = 0
            self._newest_ready_at_s = inf

    def _backoff_s(self, failures: int) -> float:
        base_s = min(_BACKOFF_FIRST_S * 2.0 ** (failures - 1), _BACKOFF_MAX_S)
        return base_s * (1.0 + _BACKOFF_JITTER * (2.0 * self._rng.random() - 1.0))

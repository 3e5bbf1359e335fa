"""Whether a call that failed is tried again, and when: pure arithmetic over the time and the chance it is given."""

from __future__ import annotations

import threading

import msgspec

from sojourn.domain.rng import Rng
from sojourn.errors import ClientError, ConfigurationError, ConnectionFailedError, ConnectionLostError, RefusedError

_EXPONENT_MAX = 60  # past it the backoff is at its ceiling for any base; keeps the power a small number


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a client tries again what was not taken.

    Only what did not run is tried again: refusals (429, 503) and connections that could not be made, or broke before
    the whole request was sent; requests that only read, also if the connection broke later. The wait before the n-th
    retry is drawn evenly from [0, min(backoff_s_max, backoff_s x 2^(n-1))], after what `Retry-After` asks for, and no
    retry begins after the deadline of its call.

    Args:
        attempts_max: How often one call is sent at most, in [1, 20]; 1 never tries again.
        backoff_s: Ceiling of the first wait, in seconds, in (0, 60].
        backoff_s_max: Ceiling of every wait, in seconds, in [backoff_s, 600].
        budget_share: Retries that each call adds to the budget of its client, in [0, 1].
        budget_burst: Retries the budget holds at most, and at the start, in [0, 1000].

    Raises:
        ConfigurationError: All that is out of range, in one message.

    Source:
        Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015 (full jitter); Google SRE Book, ch. 21,
        "Handling Overload" (retries as a share of requests).
    """

    attempts_max: int = 5
    backoff_s: float = 0.1
    backoff_s_max: float = 5.0
    budget_share: float = 0.1
    budget_burst: float = 10.0

    def __post_init__(self) -> None:
        rules = [
            (1 <= self.attempts_max <= 20, f"attempts_max must be in [1, 20], not {self.attempts_max}"),
            (0 < self.backoff_s <= 60, f"backoff_s must be in (0, 60] seconds, not {self.backoff_s:g}"),
            (
                self.backoff_s <= self.backoff_s_max <= 600,
                f"backoff_s_max must be in [backoff_s, 600] seconds, not {self.backoff_s_max:g}",
            ),
            (0 <= self.budget_share <= 1, f"budget_share must be in [0, 1], not {self.budget_share:g}"),
            (0 <= self.budget_burst <= 1000, f"budget_burst must be in [0, 1000], not {self.budget_burst:g}"),
        ]
        faults = [text for is_good, text in rules if not is_good]
        if faults:
            raise ConfigurationError("retry policy: " + "; ".join(faults))

    def backoff_ceiling_s(self, retry: int) -> float:
        """Longest wait before the `retry`-th retry (1 is the first), in seconds."""
        return min(self.backoff_s_max, self.backoff_s * 2.0 ** min(retry - 1, _EXPONENT_MAX))


class RetryBudget:
    """The retries a client may still send, so that it never multiplies an overload; safe between threads.

    After n calls there were at most `burst + share x n` retries, whatever happened.

    Args:
        share: Retries each call adds, in [0, 1].
        burst: Retries it holds at most, and at the start, >= 0.
    """

    def __init__(self, share: float, burst: float) -> None:
        self._share = share
        self._burst = burst
        self._left = burst
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Retries it holds."""
        return self._left

    def call_began(self) -> None:
        """A call is sent for the first time."""
        with self._lock:
            self._left = min(self._burst, self._left + self._share)

    def take(self) -> bool:
        """Whether there is one retry left; it is used up then."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Again(msgspec.Struct, frozen=True):
    """Send it again after a wait.

    Args:
        wait_s: From now, in seconds, >= 0.
    """

    wait_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """Let the caller know.

    Args:
        why: Why it is not tried again; empty where trying again could not help.
    """

    why: str = ""


class Attempts:
    """The attempts of one call. Made when it begins; ask `after` about each failure.

    Args:
        policy: How to try again.
        budget: Of the client.
        rng: Chance.
        deadline_at_s: When the time of the call is over, on the clock of `now_s`.
        is_reading: Whether it changes nothing, so that it may run twice.
    """

    def __init__(
        self, policy: RetryPolicy, budget: RetryBudget, rng: Rng, *, deadline_at_s: float, is_reading: bool
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._rng = rng
        self._is_reading = is_reading
        self.deadline_at_s = deadline_at_s
        self.sent = 0
        budget.call_began()

    def left_s(self, now_s: float) -> float:
        """What is left of the call's time, in seconds."""
        return self.deadline_at_s - now_s

    def began(self) -> None:
        """The request is sent now."""
        self.sent += 1

    def after(self, error: ClientError, now_s: float) -> Again | GiveUp:
        """What to do about a failure at `now_s`; `Again` has taken its retry from the budget."""
        error.attempts = self.sent
        if not self._did_not_run(error):
            return GiveUp()
        if self.sent >= self._policy.attempts_max:
            return GiveUp(f"sent {self.sent} times, which is attempts_max")
        ceiling_s = self._policy.backoff_ceiling_s(self.sent)
        wait_s = (error.retry_after_s or 0.0) + ceiling_s * self._rng.random()
        if wait_s >= self.left_s(now_s):
            return GiveUp(f"the next attempt would come in {wait_s:.3g} s, after its time")
        if not self._budget.take():
            return GiveUp("the retry budget of this client is used up")
        return Again(wait_s)

    def _did_not_run(self, error: ClientError) -> bool:
        if isinstance(error, ConnectionLostError):
            return self._is_reading
        return isinstance(error, (RefusedError, ConnectionFailedError))

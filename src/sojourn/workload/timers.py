"""Functions called by a clock: rare, regular, several calls at a time, now and then one out of turn.

Most functions of a serverless platform look like this (Shahrad et al., ATC 2020): they decide what keep-alive
is worth, since every firing may find no replica.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from random import Random

from sojourn.workload.arrivals import poisson_between
from sojourn.workload.bounds import check_duration, fault_unless, refuse_faults

CALLS_MAX = 100_000


def timer(
    period_s: float,
    duration_s: float,
    rng: Random,
    *,
    jitter_s: float = 0.0,
    extra_share: float = 0.0,
    calls: int = 1,
    phase_s: float | None = None,
) -> Iterator[float]:
    """Calls every `period_s`, with some lateness, and a few in between. The mean rate is `rate_of_timer`.

    Args:
        period_s: Time from one firing to the next in seconds, > 0.
        duration_s: Length of the run in seconds, > 0.
        rng: Source of chance.
        jitter_s: Each call comes up to this late, uniformly, in seconds; in [0, period].
        extra_share: Calls out of turn (Poisson) per regular one, >= 0.
        calls: Calls at each firing, in [1, 100,000].
        phase_s: When the first firing comes, in [0, period); None: drawn uniformly, as if the run began anywhere.

    Raises:
        ConfigurationError: A value is out of range.
    """
    check_duration(duration_s)
    _check_timer(period_s, jitter_s, extra_share, calls)
    if phase_s is not None:
        refuse_faults("timer", [fault_unless(0 <= phase_s < period_s, "phase_s", "in [0, period)", phase_s)])
    first_s = rng.random() * period_s if phase_s is None else phase_s
    regular = _firings(first_s, period_s, duration_s, jitter_s, calls, rng)
    if extra_share == 0:
        return regular
    # Of its own chance: two iterators that share one would depend on who is asked first.
    own = Random(rng.getrandbits(64))  # noqa: S311 - arrivals are no secret
    extra = poisson_between(0.0, duration_s, extra_share * calls / period_s, own)
    return heapq.merge(regular, extra)


def rate_of_timer(period_s: float, *, extra_share: float = 0.0, calls: int = 1) -> float:
    """Mean arrival rate per second: `calls (1 + extra_share) / period`. Arguments as in `timer`."""
    _check_timer(period_s, 0.0, extra_share, calls)
    return calls * (1 + extra_share) / period_s


def burstiness_of_timer(period_s: float, *, jitter_s: float = 0.0, extra_share: float = 0.0, calls: int = 1) -> float:
    """Squared coefficient of variation of `timer`'s interarrival times; Poisson is 1. Arguments as in `timer`.

    With P the period, J the jitter, c the calls, x the extra share, a = x c and m = c (1 + x) / P:

    - without extra calls `(c / P^2) ((c-1) 2 J^2 / ((c+1)(c+2)) + (P - J (c-1)/(c+1))^2 + 2 c J^2 / ((c+1)^2 (c+2))) - 1`,
      which is c - 1 for no jitter and J^2 / (6 P^2) for one call;
    - with them, jitter left out, `2 m P (1/a - (1 - exp(-a)) / a^2) - 1`.

    Source:
        Spacings of c uniform points on [0, J] (David and Nagaraja, "Order Statistics"); with extra calls
        E[X^2] = 2 E[X] E[time to the next call from any instant], the least of an exponential and a uniform time.
    """
    _check_timer(period_s, jitter_s, extra_share, calls)
    if extra_share > 0:
        extra = extra_share * calls
        wait = 0.5 - extra / 6 if extra < 1e-4 else 1 / extra + math.expm1(-extra) / extra**2
        return 2 * calls * (1 + extra_share) * wait - 1
    jitter = jitter_s / period_s
    within = (calls - 1) * 2 * jitter**2 / ((calls + 1) * (calls + 2))
    between = (1 - jitter * (calls - 1) / (calls + 1)) ** 2
    spread = 2 * calls * jitter**2 / ((calls + 1) ** 2 * (calls + 2))
    return calls * (within + between + spread) - 1


def _firings(
    first_s: float, period_s: float, duration_s: float, jitter_s: float, calls: int, rng: Random
) -> Iterator[float]:
    number, random = 0, rng.random
    fires_at_s = first_s
    if jitter_s > 0:  # a run that begins anywhere may begin with calls of the firing before it
        number, fires_at_s = -1, first_s - period_s
    while fires_at_s < duration_s:
        if jitter_s == 0:
            for _ in range(calls):
                yield fires_at_s
        elif calls == 1:
            at_s = fires_at_s + random() * jitter_s
            if 0 <= at_s < duration_s:
                yield at_s
        else:
            # Jitter is at most the period, so that firings do not overlap.
            late = sorted(fires_at_s + random() * jitter_s for _ in range(calls))
            yield from (at_s for at_s in late if 0 <= at_s < duration_s)
        number += 1
        fires_at_s = first_s + number * period_s


def _check_timer(period_s: float, jitter_s: float, extra_share: float, calls: int) -> None:
    refuse_faults(
        "timer",
        [
            fault_unless(0 < period_s < math.inf, "period_s", "> 0 seconds", period_s),
            fault_unless(0 <= jitter_s <= period_s, "jitter_s", "in [0, period] seconds", jitter_s),
            fault_unless(0 <= extra_share < math.inf, "extra_share", ">= 0", extra_share),
            fault_unless(
                isinstance(calls, int) and 1 <= calls <= CALLS_MAX, "calls", f"a count in [1, {CALLS_MAX}]", calls
            ),
        ],
    )

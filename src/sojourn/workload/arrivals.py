"""Arrival times as plain iterators: Poisson, constant, on/off bursts, and steps of rates.

Each function checks its arguments at once and returns an iterator of instants in seconds, counted
from the start of the run, never decreasing and below the duration. Chance comes from the
`random.Random` that is passed in: the same seed gives the same arrivals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal

from sojourn.errors import ConfigurationError
from sojourn.workload.bounds import check_duration, check_rate, fault_unless, refuse_faults

Phases = Literal["exponential", "fixed"]


def poisson(rate_per_s: float, duration_s: float, rng: Random) -> Iterator[float]:
    """Arrivals independent of one another, as from many users; burstiness 1.

    Args:
        rate_per_s: Mean arrival rate, >= 0.
        duration_s: Length of the run in seconds, > 0.
        rng: Source of chance.

    Raises:
        ConfigurationError: A value is out of range.
    """
    check_rate(rate_per_s)
    check_duration(duration_s)
    return poisson_between(0.0, duration_s, rate_per_s, rng)


def constant(rate_per_s: float, duration_s: float) -> Iterator[float]:
    """Evenly spaced arrivals, the first at zero; burstiness 0. Arguments as in `poisson`."""
    check_rate(rate_per_s)
    check_duration(duration_s)
    # A hair of tolerance, so that 0.1 s at 30/s is three arrivals whatever the rounding.
    count = math.ceil(rate_per_s * duration_s - 1e-9)
    return (number / rate_per_s for number in range(count))


def on_off(
    rate_per_s: float,
    duration_s: float,
    rng: Random,
    *,
    on_share: float = 0.25,
    period_s: float = 4.0,
    phases: Phases = "exponential",
) -> Iterator[float]:
    """Bursts: Poisson arrivals at `rate_per_s / on_share` in on phases, none in off phases.

    The run begins at a random place of the cycle, so that it is stationary. `burstiness_of_on_off`
    gives the squared coefficient of variation of the interarrival times.

    Args:
        rate_per_s: Mean arrival rate over on and off phases together, >= 0.
        duration_s: Length of the run in seconds, > 0.
        rng: Source of chance.
        on_share: Share of time spent in on phases, in (0, 1].
        period_s: Mean length of one on and one off phase together, in seconds, > 0.
        phases: `exponential` phase lengths (an interrupted Poisson process), or `fixed` ones, which keep
            the mean rate even in short runs.

    Raises:
        ConfigurationError: A value is out of range.
    """
    check_rate(rate_per_s)
    check_duration(duration_s)
    _check_cycle(on_share, period_s, phases)
    return _on_off(rate_per_s, duration_s, rng, on_share, period_s, phases)


def burstiness_of_on_off(
    rate_per_s: float, *, on_share: float = 0.25, period_s: float = 4.0, phases: Phases = "exponential"
) -> float:
    """Squared coefficient of variation of `on_off`'s interarrival times; Poisson is 1.

    With m the mean rate, P the period and s the on share: `1 + 2 m P (1-s)^2` for exponential phases,
    `1 + (1-s)^2 (m P coth(m P / 2) - 2)` for fixed ones.

    Source:
        Exponential: the interrupted Poisson process (Kuczura 1973), c2 = 1 + 2 lambda a / (a+b)^2 with
        lambda = m/s, a = 1/(sP), b = 1/((1-s)P). Fixed: second moment of X + N (1-s) P, where X is
        exponential with rate m/s and N counts the off phases it crosses from a uniform start.
    """
    check_rate(rate_per_s)
    _check_cycle(on_share, period_s, phases)
    per_period = rate_per_s * period_s
    off_squared = (1 - on_share) ** 2
    if phases == "exponential":
        return 1 + 2 * per_period * off_squared
    if per_period == 0:
        return 1.0
    return 1 + off_squared * (per_period / math.tanh(per_period / 2) - 2)


def steps(pieces: Sequence[tuple[float, float]], rng: Random) -> Iterator[float]:
    """Poisson arrivals whose rate changes in steps, such as quiet, burst, quiet.

    Args:
        pieces: (rate per second >= 0, duration in seconds > 0), one after the other.
        rng: Source of chance.

    Raises:
        ConfigurationError: There are no pieces, or a value is out of range.
    """
    if not pieces:
        raise ConfigurationError("steps: give at least one (rate_per_s, duration_s) piece")
    for rate_per_s, duration_s in pieces:
        check_rate(rate_per_s)
        check_duration(duration_s)
    return _steps(list(pieces), rng)


def poisson_between(start_s: float, end_s: float, rate_per_s: float, rng: Random) -> Iterator[float]:
    """Poisson arrivals in one stretch of a run; the caller has checked the values.

    Args:
        start_s: Where the stretch begins, in seconds.
        end_s: Where it ends; nothing arrives at it or later.
        rate_per_s: Arrival rate within it, >= 0.
        rng: Source of chance.
    """
    if rate_per_s == 0:
        return
    # What `rng.expovariate` computes, to the bit, without a call of ours per arrival.
    random, log = rng.random, math.log
    at_s = start_s - log(1.0 - random()) / rate_per_s
    while at_s < end_s:
        yield at_s
        at_s -= log(1.0 - random()) / rate_per_s


def _steps(pieces: list[tuple[float, float]], rng: Random) -> Iterator[float]:
    began_at_s = 0.0
    for rate_per_s, duration_s in pieces:
        yield from poisson_between(began_at_s, began_at_s + duration_s, rate_per_s, rng)
        began_at_s += duration_s


def _on_off(
    rate_per_s: float, duration_s: float, rng: Random, on_share: float, period_s: float, phases: Phases
) -> Iterator[float]:
    on_s, off_s = on_share * period_s, (1 - on_share) * period_s
    if off_s == 0:
        yield from poisson_between(0.0, duration_s, rate_per_s, rng)
        return
    is_on = rng.random() < on_share
    # What is left of the phase the run begins in: a memoryless rest, or a uniform place in a fixed phase.
    rest_s = on_s if is_on else off_s
    ends_at_s = rng.expovariate(1 / rest_s) if phases == "exponential" else rng.random() * rest_s
    began_at_s = 0.0
    while began_at_s < duration_s:
        if is_on:
            yield from poisson_between(began_at_s, min(ends_at_s, duration_s), rate_per_s / on_share, rng)
        is_on = not is_on
        began_at_s = ends_at_s
        mean_s = on_s if is_on else off_s
        ends_at_s += rng.expovariate(1 / mean_s) if phases == "exponential" else mean_s


def _check_cycle(on_share: float, period_s: float, phases: str) -> None:
    refuse_faults(
        "on/off arrivals",
        [
            fault_unless(0 < on_share <= 1, "on_share", "in (0, 1]", on_share),
            fault_unless(0 < period_s < math.inf, "period_s", "> 0 seconds", period_s),
            fault_unless(phases in {"exponential", "fixed"}, "phases", '"exponential" or "fixed"', phases),
        ],
    )

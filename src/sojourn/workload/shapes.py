"""Arrivals whose rate follows a known curve: day and night, a flash crowd, a ramp.

Each is Poisson with a rate that depends on time, drawn by thinning: candidates come at the highest rate of a
short piece of the curve, and each is kept with the chance rate / highest rate. In all three the mean over the
run is the rate that was asked for, whatever part of the curve the run covers.

Burstiness: with m the mean rate and r(t) the curve, the squared coefficient of variation of the interarrival
times tends to `2 m mean(1 / r(t)) - 1` when many requests arrive while the curve hardly moves.

Source:
    Thinning: Lewis and Shedler (1979), "Simulation of nonhomogeneous Poisson processes by thinning". The
    burstiness follows from E[X^2] = integral of r(t) * 2 / r(t)^2 over the run, divided by the requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random

from sojourn.workload.bounds import check_duration, check_rate, fault_unless, refuse_faults

WEEK_DAYS, WEEKEND_DAYS = 7, 2
_PIECES_PER_DAY = 24
_PIECES_PER_DECAY = 4
_DECAYS = 12  # e^-12: the crowd has gone
_RAMP_PIECES = 32


def thinned(rate_at: Callable[[float], float], pieces: Iterable[tuple[float, float]], rng: Random) -> Iterator[float]:
    """Poisson arrivals with any curve of rates.

    Args:
        rate_at: Arrival rate per second at an instant in seconds from the start of the run, >= 0.
        pieces: (instant at which the piece ends, highest rate within it), one after the other from zero on; the
            last one ends the run. The tighter the bounds, the fewer candidates are thrown away.
        rng: Source of chance.
    """
    random, log = rng.random, math.log
    at_s = 0.0
    for end_s, highest_per_s in pieces:
        began_at_s = at_s
        if highest_per_s > 0:
            at_s -= log(1.0 - random()) / highest_per_s
            while at_s < end_s:
                if random() * highest_per_s < rate_at(at_s):
                    yield at_s
                at_s -= log(1.0 - random()) / highest_per_s
        # What was drawn past the end is forgotten: Poisson arrivals have no memory.
        at_s = max(end_s, began_at_s)


def diurnal(
    rate_per_s: float,
    duration_s: float,
    rng: Random,
    *,
    swing: float = 0.8,
    weekend: float = 1.0,
    period_s: float = 86_400.0,
    peak_at: float = 0.5,
    first_day: int = 1,
) -> Iterator[float]:
    """Day and night: the rate swings as a cosine, and is lower on the last two of each seven days.

    `r(t) = b w(day) (1 + swing cos(2 pi (t / period - peak_at)))`, with w the weekend factor on days six and
    seven and b such that the mean over the run is `rate_per_s`.

    Args:
        rate_per_s: Mean arrival rate over the run, >= 0.
        duration_s: Length of the run in seconds, > 0.
        rng: Source of chance.
        swing: How far peak and trough are from the day's mean, as a share of it, in [0, 1].
        weekend: Rate of the weekend over that of the other days, >= 0.
        period_s: Length of a day in seconds, > 0; shorten it to see a week in a short run.
        peak_at: When the peak comes, as a share of the day, in [0, 1].
        first_day: Day of the week on which the run begins, in [1, 7]; 6 and 7 are the weekend.

    Raises:
        ConfigurationError: A value is out of range.
    """
    check_rate(rate_per_s)
    check_duration(duration_s)
    _check_diurnal(swing, weekend, period_s, peak_at, first_day)
    before = first_day - 1
    share = _diurnal_integral(before + duration_s / period_s, swing, weekend, peak_at)
    share -= _diurnal_integral(before, swing, weekend, peak_at)
    base_per_s = rate_per_s * duration_s / period_s / share if share > 0 else 0.0
    angle, turn = 2 * math.pi / period_s, 2 * math.pi * peak_at
    cos, before_s = math.cos, before * period_s
    week_s, saturday_s = WEEK_DAYS * period_s, (WEEK_DAYS - WEEKEND_DAYS) * period_s

    def rate_at(at_s: float) -> float:
        level = 1 + swing * cos(angle * at_s - turn)
        return base_per_s * (level if (at_s + before_s) % week_s < saturday_s else level * weekend)

    factors = [1.0 if (before + day) % WEEK_DAYS < WEEK_DAYS - WEEKEND_DAYS else weekend for day in range(WEEK_DAYS)]
    return thinned(rate_at, _diurnal_pieces(base_per_s, duration_s, swing, factors, period_s, peak_at), rng)


def burstiness_of_diurnal(*, swing: float = 0.8, weekend: float = 1.0) -> float:
    """Squared coefficient of variation of `diurnal`'s interarrival times over whole weeks; Poisson is 1.

    With w1 = (5 + 2 weekend) / 7 and w2 = (5 + 2 / weekend) / 7: `2 w1 w2 / sqrt(1 - swing^2) - 1`. It grows
    without bound as the trough, or the weekend, falls silent.
    """
    _check_diurnal(swing, weekend, 1.0, 0.0, 1)
    if swing == 1 or weekend == 0:
        return math.inf
    work = WEEK_DAYS - WEEKEND_DAYS
    level = (work + WEEKEND_DAYS * weekend) / WEEK_DAYS
    inverse = (work + WEEKEND_DAYS / weekend) / WEEK_DAYS
    return 2 * level * inverse / math.sqrt(1 - swing**2) - 1


def flash_crowd(
    rate_per_s: float,
    duration_s: float,
    rng: Random,
    *,
    peak: float = 10.0,
    at_s: float | None = None,
    decay_s: float | None = None,
) -> Iterator[float]:
    """A steady load that jumps to a multiple of itself and decays exponentially back.

    `r(t) = b` before the jump, `b (1 + (peak - 1) exp(-(t - at) / decay))` after it, with b such that the mean
    over the run is `rate_per_s`.

    Args:
        rate_per_s: Mean arrival rate over the run, >= 0.
        duration_s: Length of the run in seconds, > 0.
        rng: Source of chance.
        peak: Rate right after the jump, as a multiple of the one before it, >= 1.
        at_s: When the jump comes, in [0, duration]; None: after a quarter of the run.
        decay_s: Time in seconds in which the excess falls to 1/e, > 0; None: a tenth of the run.

    Raises:
        ConfigurationError: A value is out of range.
    """
    check_rate(rate_per_s)
    jump_s, fall_s = _checked_crowd(duration_s, peak, at_s, decay_s)
    excess = peak - 1
    integral_s = duration_s + excess * fall_s * -math.expm1(-(duration_s - jump_s) / fall_s)
    base_per_s = rate_per_s * duration_s / integral_s
    exp = math.exp

    def rate_at(at_s: float) -> float:
        return base_per_s if at_s < jump_s else base_per_s * (1 + excess * exp((jump_s - at_s) / fall_s))

    return thinned(rate_at, _crowd_pieces(base_per_s, excess, jump_s, fall_s, duration_s), rng)


def burstiness_of_flash_crowd(
    duration_s: float, *, peak: float = 10.0, at_s: float | None = None, decay_s: float | None = None
) -> float:
    """Squared coefficient of variation of `flash_crowd`'s interarrival times; Poisson is 1. Arguments as there.

    With k = peak - 1, D the decay, U the time from the jump to the end and T the run: the mean of r/b is
    `(T + k D (1 - exp(-U/D))) / T`, that of b/r is `(T - U + D ln((exp(U/D) + k) / (1 + k))) / T`.
    """
    jump_s, fall_s = _checked_crowd(duration_s, peak, at_s, decay_s)
    excess, rest = peak - 1, (duration_s - jump_s) / fall_s
    level = (duration_s + excess * fall_s * -math.expm1(-rest)) / duration_s
    inverse_rest = rest + math.log1p(excess * math.exp(-rest)) - math.log1p(excess)
    return 2 * level * (jump_s + fall_s * inverse_rest) / duration_s - 1


def ramp(start_per_s: float, end_per_s: float, duration_s: float, rng: Random) -> Iterator[float]:
    """A rate that climbs, or falls, in a straight line; the mean is halfway.

    Args:
        start_per_s: Arrival rate at the beginning, >= 0.
        end_per_s: Arrival rate at the end, >= 0.
        duration_s: Length of the run in seconds, > 0.
        rng: Source of chance.

    Raises:
        ConfigurationError: A value is out of range.
    """
    check_rate(start_per_s)
    check_rate(end_per_s)
    check_duration(duration_s)
    slope = (end_per_s - start_per_s) / duration_s
    ends = [duration_s * number / _RAMP_PIECES for number in range(1, _RAMP_PIECES + 1)]
    step = abs(end_per_s - start_per_s) / _RAMP_PIECES
    # A line is highest at one end of each piece; a hair more covers the rounding.
    pieces = [
        (end_s, (start_per_s + slope * end_s + (step if slope < 0 else 0.0)) * (1 + 1e-12) + step * 1e-9)
        for end_s in ends
    ]
    return thinned(lambda at_s: start_per_s + slope * at_s, pieces, rng)


def burstiness_of_ramp(start_per_s: float, end_per_s: float) -> float:
    """Squared coefficient of variation of `ramp`'s interarrival times; Poisson is 1.

    `(e + s) ln(e / s) / (e - s) - 1` for rates s and e; without bound if one of them is zero.
    """
    check_rate(start_per_s)
    check_rate(end_per_s)
    if start_per_s == end_per_s:
        return 1.0
    if min(start_per_s, end_per_s) == 0:
        return math.inf
    return (end_per_s + start_per_s) * math.log(end_per_s / start_per_s) / (end_per_s - start_per_s) - 1


def _diurnal_integral(days: float, swing: float, weekend: float, peak_at: float) -> float:
    """Mean level times length of the first `days` of the curve, in days; a whole week is 5 + 2 weekend."""

    def within_day(share: float) -> float:
        turn = 2 * math.pi
        return share + swing / turn * (math.sin(turn * (share - peak_at)) + math.sin(turn * peak_at))

    work = WEEK_DAYS - WEEKEND_DAYS
    weeks, rest = divmod(days, WEEK_DAYS)
    total = weeks * (work + WEEKEND_DAYS * weekend)
    for day in range(WEEK_DAYS):
        part = min(max(rest - day, 0.0), 1.0)
        total += within_day(part) * (1.0 if day < work else weekend)
    return total


def _diurnal_pieces(
    base_per_s: float, duration_s: float, swing: float, factors: Sequence[float], period_s: float, peak_at: float
) -> Iterator[tuple[float, float]]:
    number, end_s = 0, 0.0
    levels = []
    for piece in range(_PIECES_PER_DAY):
        start, end = piece / _PIECES_PER_DAY, (piece + 1) / _PIECES_PER_DAY
        sides = max(math.cos(2 * math.pi * (start - peak_at)), math.cos(2 * math.pi * (end - peak_at)))
        has_peak = start <= peak_at % 1 <= end or start <= peak_at <= end
        levels.append(1 + swing * (1.0 if has_peak else sides) + 1e-9)
    while end_s < duration_s:
        day, piece = divmod(number, _PIECES_PER_DAY)
        number += 1
        end_s = min(period_s * number / _PIECES_PER_DAY, duration_s)
        # At a change of day the last instants may, by rounding, already belong to the next: allow for the higher.
        highest = max(factors[day % WEEK_DAYS], factors[number // _PIECES_PER_DAY % WEEK_DAYS])
        yield end_s, base_per_s * levels[piece] * highest


def _crowd_pieces(
    base_per_s: float, excess: float, jump_s: float, fall_s: float, duration_s: float
) -> Iterator[tuple[float, float]]:
    if jump_s > 0:
        yield jump_s, base_per_s
    for piece in range(_DECAYS * _PIECES_PER_DECAY):
        start_s = jump_s + fall_s * piece / _PIECES_PER_DECAY
        if start_s >= duration_s:
            return
        end_s = min(jump_s + fall_s * (piece + 1) / _PIECES_PER_DECAY, duration_s)
        yield end_s, base_per_s * (1 + excess * math.exp(-piece / _PIECES_PER_DECAY)) * (1 + 1e-12)
    yield duration_s, base_per_s * (1 + excess * math.exp(-_DECAYS))


def _check_diurnal(swing: float, weekend: float, period_s: float, peak_at: float, first_day: int) -> None:
    refuse_faults(
        "diurnal arrivals",
        [
            fault_unless(0 <= swing <= 1, "swing", "in [0, 1]", swing),
            fault_unless(0 <= weekend < math.inf, "weekend", "a factor >= 0", weekend),
            fault_unless(0 < period_s < math.inf, "period_s", "> 0 seconds", period_s),
            fault_unless(0 <= peak_at <= 1, "peak_at", "a share of the day in [0, 1]", peak_at),
            fault_unless(first_day in range(1, WEEK_DAYS + 1), "first_day", "a day of the week in [1, 7]", first_day),
        ],
    )


def _checked_crowd(duration_s: float, peak: float, at_s: float | None, decay_s: float | None) -> tuple[float, float]:
    check_duration(duration_s)
    jump_s = duration_s / 4 if at_s is None else at_s
    fall_s = duration_s / 10 if decay_s is None else decay_s
    refuse_faults(
        "flash crowd",
        [
            fault_unless(1 <= peak < math.inf, "peak", "a multiple >= 1", peak),
            fault_unless(0 <= jump_s <= duration_s, "at_s", f"within the run, in [0, {duration_s:g}] s", jump_s),
            fault_unless(0 < fall_s < math.inf, "decay_s", "> 0 seconds", fall_s),
        ],
    )
    return jump_s, fall_s

"""Which generator a recorded function resembles, and with which parameters.

The order of the questions is: does a clock call it (`timer`); does it follow day and night (`diurnal`); does it
vary more than chance would (`bursty`, or `mmpp` if it never stops); else it is `poisson`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from sojourn.workload.recorded import Counts, Instants, Recorded
from sojourn.workload.shapes import WEEK_DAYS, WEEKEND_DAYS
from sojourn.workload.statistics import (
    autocorrelations,
    burstiness,
    dispersion,
    gaps_of,
    mean_of,
    median_of,
)

DAY_S, HOUR_S = 86_400.0, 3600.0
_FIRINGS_MIN = 5
_REGULAR_SHARE = 0.7
_REGULAR_NEAR = 0.1
_EVEN_DISPERSION, _DENSE = 0.5, 0.75  # counts this even, and this many per interval, come from a clock
_RHYTHM_REQUESTS_MIN, _BURSTS_REQUESTS_MIN = 50, 20  # fewer tell nothing
_DAILY_CORRELATION = 0.3
_RISE, _AS_HIGH = 0.1, 0.9  # how far a peak stands out, and how near to the highest a shorter period must come
_WEEKEND_BELOW = 0.85
_MILD = 0.25  # squared CV of the rate below which it varies rather than stops
_BURSTY_ABOVE = 1.3


class Likeness(msgspec.Struct, frozen=True):
    """The generator that fits: its kind, the text for `--arrivals`, and the period found, in seconds."""

    kind: str
    arrivals: str
    period_s: float | None


def recognised(recorded: Recorded, bins: Sequence[float], bin_s: float, rate_per_s: float) -> Likeness:
    """Find the generator that fits one function.

    Args:
        recorded: What is known of it, with at least one request.
        bins: Requests in intervals of equal length over the whole recording.
        bin_s: Length of each in seconds.
        rate_per_s: Mean arrival rate over the recording, > 0.
    """
    found = _clockwork(recorded.times_s) if isinstance(recorded, Instants) else _clockwork_of_counts(recorded)
    if found is not None:
        return found
    return _diurnal(bins, bin_s, rate_per_s) or _bursty(recorded, bins, bin_s, rate_per_s)


def _clockwork(times_s: Sequence[float]) -> Likeness | None:
    """A timer, if the gaps between firings are alike; requests closer than half the mean gap are one firing."""
    if len(times_s) < _FIRINGS_MIN:
        return None
    close_s = 0.5 * (times_s[-1] - times_s[0]) / (len(times_s) - 1)
    starts, sizes = [times_s[0]], [1]
    for earlier, later in pairwise(times_s):
        if later - earlier > close_s:
            starts.append(later)
            sizes.append(1)
        else:
            sizes[-1] += 1
    gaps_s = gaps_of(starts)
    if len(gaps_s) < _FIRINGS_MIN - 1:
        return None
    middle_s = median_of(gaps_s)
    near = [gap_s for gap_s in gaps_s if abs(gap_s - middle_s) <= _REGULAR_NEAR * middle_s]
    calls = int(median_of(sizes))
    if len(near) < _REGULAR_SHARE * len(gaps_s) or middle_s <= 0:
        return None
    period_s = mean_of(near)
    # J^2 / 6 is the variance of a gap between two calls that are each up to J late.
    jitter_s = min(math.sqrt(6 * mean_of([(gap_s - period_s) ** 2 for gap_s in near])), period_s)
    extra = max(len(times_s) - len(starts) * calls, 0) / (len(starts) * calls)
    return _timer(period_s, calls, extra, jitter_s)


def _clockwork_of_counts(recorded: Counts) -> Likeness | None:
    counts, interval_s = recorded.counts, recorded.interval_s
    busy = [number for number, count in enumerate(counts) if count]
    mean, spread = mean_of(counts), dispersion(counts)
    if mean >= _DENSE and spread is not None and spread < _EVEN_DISPERSION and len(counts) >= _FIRINGS_MIN:
        return _timer(interval_s / mean, 1, 0.0, 0.0)
    gaps = gaps_of(busy)
    if len(gaps) < _FIRINGS_MIN - 1:
        return None
    gap, often = Counter(gaps).most_common(1)[0]
    # A clock may drift over the edge of an interval: a gap one shorter or longer counts if the usual one is long.
    near = often if gap < 1 / _REGULAR_NEAR else sum(abs(one - gap) <= 1 for one in gaps)
    if gap < 2 or near < _REGULAR_SHARE * len(gaps):
        return None
    calls = int(median_of([counts[number] for number in busy]))
    extra = max(recorded.requests - len(busy) * calls, 0) / (len(busy) * calls)
    return _timer(gap * interval_s, calls, extra, 0.0)


def _timer(period_s: float, calls: int, extra: float, jitter_s: float) -> Likeness:
    text = f"timer:period={_number(period_s)}s"
    if calls > 1:
        text += f",calls={calls}"
    if jitter_s > 1e-3 * period_s:
        text += f",jitter={_number(jitter_s)}s"
    if extra > 1e-3:
        text += f",extra={_number(extra)}"
    return Likeness("timer", text, period_s)


def _diurnal(bins: Sequence[float], bin_s: float, rate_per_s: float) -> Likeness | None:
    """A curve that comes again, mostly each day: the cosine nearest to it, if hours resemble those one period later."""
    per_hour = max(round(HOUR_S / bin_s), 1)
    hour_s = per_hour * bin_s
    hours = [sum(bins[start : start + per_hour]) for start in range(0, len(bins) - per_hour + 1, per_hour)]
    period = _rhythm(hours, round(DAY_S / hour_s))
    if period is None:
        return None
    whole = hours[: len(hours) // period * period]
    mean = mean_of(whole)
    # Each value stands for the middle of its hour.
    angles = [2 * math.pi * (place % period + 0.5) / period for place in range(len(whole))]
    real = 2 * mean_of([value * math.cos(angle) for value, angle in zip(whole, angles, strict=True)])
    imaginary = 2 * mean_of([value * math.sin(angle) for value, angle in zip(whole, angles, strict=True)])
    swing = min(math.hypot(real, imaginary) / mean, 1.0)
    peak_at = math.atan2(imaginary, real) / (2 * math.pi) % 1.0
    text = f"diurnal:swing={_number(swing)},peak_at={_number(peak_at)}"
    if period * hour_s != DAY_S:
        text += f",period={_number(period * hour_s)}s"
    else:
        weekend, first_day = _weekend([sum(whole[at : at + period]) for at in range(0, len(whole), period)])
        if weekend < _WEEKEND_BELOW:
            text += f",weekend={_number(weekend)},first_day={first_day}"
    return Likeness("diurnal", f"{text},rate={_number(rate_per_s)}", period * hour_s)


def _rhythm(hours: Sequence[float], per_day: int) -> int | None:
    """The period in hours: the shortest lag, of at most a day, at which the autocorrelation has a peak of its own.

    A day must have been seen twice, a shorter period four times.
    """
    longest = min(per_day + per_day // 2, len(hours) // 2)
    if per_day < 2 or longest < 2 or sum(hours) < _RHYTHM_REQUESTS_MIN:
        return None
    length = len(hours)
    # Fewer pairs at longer lags would pull each peak towards shorter ones: weigh them up again.
    known = enumerate(autocorrelations(hours, range(1, longest + 1)), start=1)
    found = [(value or 0.0) * length / (length - lag) for lag, value in known]
    # Chance alone correlates n values by 1/sqrt(n); one of a dozen lags may reach twice that.
    floor = max(_DAILY_CORRELATION, 3 / math.sqrt(length))
    peaks, lowest = {}, found[0]
    for lag in range(2, min(per_day + 1, longest) + 1):
        here = found[lag - 1]
        lowest = min(lowest, here)
        is_peak = here >= found[lag - 2] and (lag == longest or here >= found[lag])
        often = 2 if lag >= per_day - 1 else 4
        if is_peak and here >= floor and here > lowest + _RISE and length >= often * lag:
            peaks[lag] = here
    best = max(peaks.values(), default=0.0)
    period = min((lag for lag, height in peaks.items() if height >= _AS_HIGH * best), default=None)
    # 23 hours are a day seen through noise.
    return per_day if period is not None and period >= per_day - 1 and length >= 2 * per_day else period


def _weekend(days: Sequence[float]) -> tuple[float, int]:
    """How much lower the two calmest neighbouring days of a week are, and on which day of the week the first one is."""
    if len(days) < WEEK_DAYS:
        return 1.0, 1
    by_day = [mean_of(days[day::WEEK_DAYS]) for day in range(WEEK_DAYS)]
    total = sum(by_day)
    pairs = [by_day[day] + by_day[(day + 1) % WEEK_DAYS] for day in range(WEEK_DAYS)]
    calmest = min(range(WEEK_DAYS), key=pairs.__getitem__)
    others = (total - pairs[calmest]) / (WEEK_DAYS - WEEKEND_DAYS)
    # The recording's day `calmest` (from 0) is day six of the week.
    return pairs[calmest] / WEEKEND_DAYS / others if others > 0 else 1.0, (5 - calmest) % WEEK_DAYS + 1


def _bursty(recorded: Recorded, bins: Sequence[float], bin_s: float, rate_per_s: float) -> Likeness:
    """On and off, or two levels, if counts or gaps vary more than Poisson's; else Poisson.

    An on/off process with mean rate m, on share s and switching rate k = 1 / (P s (1-s)) has v = (1-s)/s as the
    squared coefficient of variation of its rate. Counts in intervals of length w then have the dispersion
    `1 + (2 m v / k) (1 - (1 - e^-kw) / (kw))`, and their autocorrelation falls by e^-kw per interval; gaps have the
    burstiness `1 + 2 m P (1-s)^2`.

    Source:
        Counts of a doubly stochastic Poisson process with exponential covariance (Cox and Isham, "Point
        Processes", 1980); gaps as in `arrivals.burstiness_of_on_off`.
    """
    spread = dispersion(bins) or 1.0
    gaps_vary = burstiness(recorded.times_s) if isinstance(recorded, Instants) else None
    by_chance = 1 + 4 * math.sqrt(2 / max(len(bins) - 1, 1))
    is_varied = spread > max(_BURSTY_ABOVE, by_chance)
    if gaps_vary is not None and isinstance(recorded, Instants):
        is_varied |= gaps_vary > max(_BURSTY_ABOVE, 1 + 8 / math.sqrt(recorded.requests))
    if not is_varied or recorded.requests < _BURSTS_REQUESTS_MIN:
        return Likeness("poisson", f"poisson:rate={_number(rate_per_s)}", None)
    first, second = (value or 0.0 for value in autocorrelations(bins, [1, 2]))
    fall = 3.0  # no memory from one interval to the next
    if 0.05 < first < 1:
        fall = -math.log(second / first if 0.05 < second < first else first)
    fall = min(max(fall, 1e-3), 20.0)
    switching_per_s = fall / bin_s
    varied = max(spread - 1, 1e-3) * switching_per_s / (2 * rate_per_s * (1 + math.expm1(-fall) / fall))
    if varied < _MILD:
        # A rate that never stops: two levels, as long each, with the same variance and memory.
        stay = f"{_number(2 / switching_per_s)}s"
        rates = f"{_number(1 + math.sqrt(varied))}/{_number(1 - math.sqrt(varied))}"
        return Likeness("mmpp", f"mmpp:rates={rates},stays={stay}/{stay},rate={_number(rate_per_s)}", None)
    on_share = max(1 / (1 + varied), 0.002)
    period_s = 1 / (switching_per_s * on_share * (1 - on_share))
    if gaps_vary is not None and gaps_vary > 1:
        period_s = (gaps_vary - 1) / (2 * rate_per_s * (1 - on_share) ** 2)
    text = f"bursty:on={_number(on_share)},period={_number(period_s)}s,phases=exponential,rate={_number(rate_per_s)}"
    return Likeness("bursty", text, None)


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:.0f}"

"""What a recorded workload is like: rates, peaks, burstiness, memory, rhythm, and the generator that fits."""

from __future__ import annotations

import math
from array import array
from collections import Counter

import msgspec

from sojourn.errors import ConfigurationError
from sojourn.workload.recognition import recognised
from sojourn.workload.recorded import Counts, Instants, Recorded
from sojourn.workload.statistics import autocorrelations, burstiness, dispersion
from sojourn.workload.trace import Trace

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
BINS_MAX = 20_000_000
_HARDLY_CUT = 0.05  # of the last minute may be missing
ALL = "all together"


class Shape(msgspec.Struct, frozen=True):
    """Figures of one function, or of all together. What a recording cannot tell is None.

    Args:
        function: Its name.
        requests: Recorded in all.
        mean_rate_per_s: Over the whole recording.
        peak_second_per_s: Rate in the busiest second; only instants tell.
        peak_minute_per_s: Rate in the busiest minute, or in the busiest interval if those are longer.
        burstiness: Squared coefficient of variation of interarrival times; Poisson is 1. Only instants tell.
        dispersion: Variance over mean of the counts per minute (or longer interval); Poisson is 1.
        autocorrelation_minute: Of those counts, one minute apart, in [-1, 1]; likewise an hour and a day.
        autocorrelation_hour: One hour apart.
        autocorrelation_day: 24 hours apart.
        empty_minutes: Share of minutes (or longer intervals) without a request, in [0, 1].
        period_s: Of the clock or the day it follows; None if it follows none.
        kind: The generator that fits.
        arrivals: That generator with parameters, as `--arrivals` reads it.
    """

    function: str
    requests: int
    mean_rate_per_s: float
    peak_second_per_s: float | None
    peak_minute_per_s: float
    burstiness: float | None
    dispersion: float | None
    autocorrelation_minute: float | None
    autocorrelation_hour: float | None
    autocorrelation_day: float | None
    empty_minutes: float
    period_s: float | None
    kind: str
    arrivals: str


class Fit(msgspec.Struct, frozen=True):
    """All functions of a trace, in its order, and their sum."""

    duration_s: float
    functions: tuple[Shape, ...]
    total: Shape


def fit_trace(trace: Trace) -> Fit:
    """Measure each function of a trace and all of them together.

    Raises:
        ConfigurationError: The trace has no length, or is so long that its minutes cannot be counted.
    """
    functions = tuple(shape_of(name, recorded, trace.duration_s) for name, recorded in trace.functions.items())
    if len(functions) == 1:
        return Fit(trace.duration_s, functions, msgspec.structs.replace(functions[0], function=ALL))
    return Fit(trace.duration_s, functions, shape_of(ALL, trace.total(), trace.duration_s))


def shape_of(name: str, recorded: Recorded, duration_s: float) -> Shape:
    """Measure one recording.

    Args:
        name: What to call it.
        recorded: Instants or counts.
        duration_s: Length of the recording in seconds, > 0.

    Raises:
        ConfigurationError: It has no length, or so great a one that its minutes cannot be counted.
    """
    bins, bin_s = bins_of(recorded, duration_s)
    busiest = max(bins)
    if len(bins) > 1 and duration_s < (len(bins) - _HARDLY_CUT) * bin_s:
        bins.pop()  # cut short by the end of the recording, it would pass for a quiet one
    minute, hour, day = autocorrelations(bins, [max(round(lag_s / bin_s), 1) for lag_s in (MINUTE_S, HOUR_S, DAY_S)])
    is_silent = recorded.requests == 0
    likeness = None if is_silent else recognised(recorded, bins, bin_s, recorded.requests / duration_s)
    return Shape(
        function=name,
        requests=recorded.requests,
        mean_rate_per_s=recorded.requests / duration_s,
        peak_second_per_s=_peak_second(recorded),
        peak_minute_per_s=busiest / min(bin_s, duration_s),  # of a trace of seconds: never below its mean
        burstiness=burstiness(recorded.times_s) if isinstance(recorded, Instants) else None,
        dispersion=dispersion(bins),
        autocorrelation_minute=minute if bin_s <= MINUTE_S else None,
        autocorrelation_hour=hour if bin_s <= HOUR_S else None,
        autocorrelation_day=day if bin_s <= DAY_S else None,
        empty_minutes=bins.count(0.0) / len(bins),
        period_s=likeness.period_s if likeness is not None else None,
        kind=likeness.kind if likeness is not None else "silent",
        arrivals=likeness.arrivals if likeness is not None else "",
    )


def bins_of(recorded: Recorded, duration_s: float) -> tuple[array[float], float]:
    """Requests per minute, or per recorded interval if those are longer, and the length of each in seconds.

    Raises:
        ConfigurationError: The recording has no length, or more than twenty million minutes.
    """
    if not 0 < duration_s < math.inf:
        raise ConfigurationError("the trace has no length: all of its requests arrive at once, or there is only one")
    bin_s = MINUTE_S
    if isinstance(recorded, Counts) and recorded.interval_s > MINUTE_S:
        bin_s = recorded.interval_s
    count = max(math.ceil(duration_s / bin_s - 1e-6), 1)
    if count > BINS_MAX:
        raise ConfigurationError(
            f"the trace is {duration_s:g} s long; {BINS_MAX:,} minutes is the most. Are its times in seconds?"
        )
    return recorded.binned(bin_s, count), bin_s


def _peak_second(recorded: Recorded) -> float | None:
    if isinstance(recorded, Counts):
        return max(recorded.counts, default=0) / 1.0 if recorded.interval_s == 1 else None
    return float(max(Counter(map(int, recorded.times_s)).values(), default=0))

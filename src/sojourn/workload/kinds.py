"""The kinds of arrivals by name: one table for reading texts, for help and for errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import msgspec

from sojourn.workload.arrivals import constant, on_off, poisson
from sojourn.workload.bounds import check_rate, fault_unless, refuse_faults
from sojourn.workload.modulated import mean_rate_of_mmpp, mmpp
from sojourn.workload.recorded import WITHIN
from sojourn.workload.shapes import diurnal, flash_crowd, ramp
from sojourn.workload.timers import rate_of_timer, timer
from sojourn.workload.values import Reader, choice, count, duration_s, names, number, several

Values = Mapping[str, Any]
Builder = Callable[[Values, float, float, Random], Iterator[float]]


class Parameter(msgspec.Struct, frozen=True):
    """One `name=value` of a text; without a default it is left to the run or the trace."""

    name: str
    read: Reader
    default: str
    about: str


class Kind(msgspec.Struct, frozen=True):
    """A kind of arrivals: what it is, its parameters, and the generator (none for a trace)."""

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    build: Builder | None

    @property
    def written(self) -> str:
        """How it begins in a text."""
        return f"{self.name}:FILE" if self.build is None else self.name


_RATE = Parameter("rate", number, "", "mean rate per second, if the run gives none")


def _poisson(_: Values, rate_per_s: float, run_s: float, rng: Random) -> Iterator[float]:
    return poisson(rate_per_s, run_s, rng)


def _constant(_: Values, rate_per_s: float, run_s: float, __: Random) -> Iterator[float]:
    return constant(rate_per_s, run_s)


def _bursty(values: Values, rate_per_s: float, run_s: float, rng: Random) -> Iterator[float]:
    cycle = {"on_share": values["on"], "period_s": values["period"], "phases": values["phases"]}
    return on_off(rate_per_s, run_s, rng, **cycle)


def _mmpp(values: Values, rate_per_s: float, run_s: float, rng: Random) -> Iterator[float]:
    mean = mean_rate_of_mmpp(values["rates"], values["stays"])
    refuse_faults("mmpp", [fault_unless(mean > 0, "rates", "levels of which one is > 0", values["rates"])])
    scale = rate_per_s / mean
    return mmpp([rate * scale for rate in values["rates"]], values["stays"], run_s, rng)


def _diurnal(values: Values, rate_per_s: float, run_s: float, rng: Random) -> Iterator[float]:
    curve = {"swing": values["swing"], "period_s": values["period"], "peak_at": values["peak_at"]}
    week = {"weekend": values["weekend"], "first_day": values["first_day"]}
    return diurnal(rate_per_s, run_s, rng, **curve, **week)


def _flash(values: Values, rate_per_s: float, run_s: float, rng: Random) -> Iterator[float]:
    return flash_crowd(rate_per_s, run_s, rng, peak=values["peak"], at_s=values.get("at"), decay_s=values.get("decay"))


def _ramp(values: Values, rate_per_s: float, run_s: float, rng: Random) -> Iterator[float]:
    start, end = values["from"], values["to"]
    is_good = min(start, end) >= 0 and max(start, end) > 0
    refuse_faults("ramp", [fault_unless(is_good, "from and to", ">= 0, one of them > 0", (start, end))])
    scale = 2 * rate_per_s / (start + end)
    return ramp(start * scale, end * scale, run_s, rng)


def _timer(values: Values, rate_per_s: float, run_s: float, rng: Random) -> Iterator[float]:
    check_rate(rate_per_s)
    calls, extra = values["calls"], values["extra"]
    if rate_per_s == 0:
        return iter(())
    period_s = rate_of_timer(1.0, calls=calls, extra_share=extra) / rate_per_s
    # A rate stretches the whole pattern, as it stretches a trace: jitter keeps its share of the period.
    stretch = period_s / values["period"] if "period" in values else 1.0
    return timer(period_s, run_s, rng, jitter_s=values["jitter"] * stretch, extra_share=extra, calls=calls)


_LISTED = (
    Kind("poisson", "independent of one another, as from many users", (_RATE,), _poisson),
    Kind("constant", "evenly spaced", (_RATE,), _constant),
    Kind(
        "bursty",
        "on and off: Poisson bursts, then silence",
        (
            Parameter("on", number, "0.25", "share of time in bursts, in (0, 1]"),
            Parameter("period", duration_s, "4s", "mean length of a burst and its silence"),
            Parameter("phases", choice("fixed", "exponential"), "fixed", "their lengths: fixed or exponential"),
            _RATE,
        ),
        _bursty,
    ),
    Kind(
        "mmpp",
        "a rate that jumps at random between levels",
        (
            Parameter("rates", several(number), "1/10", "levels relative to one another, joined by /"),
            Parameter("stays", several(duration_s), "50s/5s", "mean stay at each level, joined by /"),
            _RATE,
        ),
        _mmpp,
    ),
    Kind(
        "diurnal",
        "day and night, with a calmer weekend",
        (
            Parameter("swing", number, "0.8", "peak and trough from the day's mean, as a share of it, in [0, 1]"),
            Parameter("weekend", number, "1", "rate on days six and seven over that of the others"),
            Parameter("period", duration_s, "1d", "length of a day"),
            Parameter("peak_at", number, "0.5", "when in the day the peak comes, in [0, 1]"),
            Parameter("first_day", count, "1", "day of the week the run begins with, in [1, 7]"),
            _RATE,
        ),
        _diurnal,
    ),
    Kind(
        "flash",
        "a flash crowd: a jump, then exponential decay",
        (
            Parameter("peak", number, "10", "rate after the jump over the one before it"),
            Parameter("at", duration_s, "", "when it comes; else after a quarter of the run"),
            Parameter("decay", duration_s, "", "time to lose 63 % of the excess; else a tenth of the run"),
            _RATE,
        ),
        _flash,
    ),
    Kind(
        "ramp",
        "a rate that climbs or falls in a straight line",
        (
            Parameter("from", number, "0", "rate at the beginning, relative to the end's"),
            Parameter("to", number, "1", "rate at the end"),
            _RATE,
        ),
        _ramp,
    ),
    Kind(
        "timer",
        "calls by the clock, and a few out of turn",
        (
            Parameter("period", duration_s, "", "from firing to firing; else what the rate asks for"),
            Parameter("jitter", duration_s, "0", "each call is up to this late"),
            Parameter("extra", number, "0", "calls out of turn per regular one"),
            Parameter("calls", count, "1", "calls at each firing"),
            _RATE,
        ),
        _timer,
    ),
    Kind(
        "trace",
        "recorded arrivals from a CSV file, played as they were or stretched to a rate",
        (
            Parameter("function", names, "", "only these, joined by +; else all"),
            Parameter("start", duration_s, "0", "skip what comes before"),
            Parameter("end", duration_s, "", "leave out what comes after"),
            Parameter("speedup", number, "1", "compress time by this factor"),
            Parameter("share", number, "1", "requests kept or, above 1, repeated, at random"),
            Parameter(
                "scale", choice("time", "rate"), "time", "reach the run's rate by stretching time, or like share"
            ),
            Parameter("within", choice(*WITHIN), "uniform", "counts become instants: uniform, even, or a burst"),
            Parameter("burst", duration_s, "2s", "length of that burst"),
        ),
        None,
    ),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _LISTED}
"""All kinds, in the order in which help lists them."""

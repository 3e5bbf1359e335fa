"""The text form of a workload, such as `poisson`, `diurnal:swing=0.6,period=1h` or `trace:FILE,speedup=10`."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from sojourn.errors import ConfigurationError
from sojourn.workload.bounds import check_duration, fault_unless, refuse_faults
from sojourn.workload.kinds import KINDS, Kind
from sojourn.workload.timers import rate_of_timer
from sojourn.workload.trace import Trace
from sojourn.workload.trace_file import ONLY_FUNCTION, read_trace

_OPTION = re.compile(r"\s*([A-Za-z_]+)\s*=(.*)", re.DOTALL)
# A run for the check of parameters, longer than any instant they may name, and so slow that any jitter fits.
_LONG_S, _SLOW_PER_S = 1e12, 1e-9


class ArrivalSpec(msgspec.Struct, frozen=True):
    """Which arrivals were asked for: a kind of the table `KINDS`, its parameters' values, perhaps a trace."""

    kind: str
    values: Mapping[str, Any]
    trace: Trace | None = None

    @property
    def needs_rate(self) -> bool:
        """Whether a run must give a rate; a trace brings its own, and so do `rate=` and a timer's `period=`."""
        return self.trace is None and self._own_rate_per_s is None

    @property
    def duration_s(self) -> float | None:
        """Length of the trace in seconds, as it is played without a rate; None for what has no end."""
        return self.trace.duration_s if self.trace is not None else None

    def times(self, rate_per_s: float | None, duration_s: float, rng: Random) -> Iterator[float]:
        """Arrival instants in seconds over the run, of all functions together.

        Args:
            rate_per_s: Mean arrival rate, > 0; None keeps a trace's or the text's own. A trace is stretched in
                time to it, or with `scale=rate` thinned or repeated.
            duration_s: Length of the run in seconds, > 0.
            rng: Source of chance.

        Raises:
            ConfigurationError: A rate or duration is missing or out of range.
        """
        if self.trace is None:
            return self._generated(rate_per_s, duration_s, rng)
        check_duration(duration_s)
        ready = self.played(self.trace, rate_per_s, rng)
        times = ready.times(rng, within=self.values["within"], burst_s=self.values["burst"])
        return _until(duration_s, times)

    def by_function(self, rate_per_s: float | None, duration_s: float, rng: Random) -> dict[str, Iterator[float]]:
        """Arrival instants by the name of the function; generated ones are one function, `all`. See `times`."""
        if self.trace is None:
            return {ONLY_FUNCTION: self._generated(rate_per_s, duration_s, rng)}
        check_duration(duration_s)
        ready = self.played(self.trace, rate_per_s, rng)
        by_function = ready.by_function(rng, within=self.values["within"], burst_s=self.values["burst"])
        return {name: _until(duration_s, times) for name, times in by_function.items()}

    @property
    def _own_rate_per_s(self) -> float | None:
        if "rate" in self.values:
            return float(self.values["rate"])
        if self.kind == "timer" and "period" in self.values:
            return rate_of_timer(self.values["period"], calls=self.values["calls"], extra_share=self.values["extra"])
        return None

    def _generated(self, rate_per_s: float | None, duration_s: float, rng: Random) -> Iterator[float]:
        rate = self._own_rate_per_s if rate_per_s is None else rate_per_s
        build = KINDS[self.kind].build
        if rate is None or build is None:
            raise ConfigurationError(f"arrivals {self.kind!r} need a rate in requests per second")
        return build(self.values, rate, duration_s, rng)

    def played(self, trace: Trace, rate_per_s: float | None, rng: Random) -> Trace:
        """A trace as this text plays it: thinned or repeated, and brought to a rate if one is given; see `times`."""
        if self.values["share"] != 1:
            trace = trace.scaled(self.values["share"], rng)
        if rate_per_s is None:
            return trace
        if not 0 < rate_per_s < math.inf:
            raise ConfigurationError(
                f"the arrival rate of a trace must be a number of requests per second > 0, not {rate_per_s!r}"
            )
        if not math.isfinite(trace.mean_rate_per_s):
            raise ConfigurationError("a trace whose requests all arrive at once cannot be stretched to a rate")
        factor = rate_per_s / trace.mean_rate_per_s
        return trace.scaled(factor, rng) if self.values["scale"] == "rate" else trace.faster(factor)


def parse_arrivals(text: str) -> ArrivalSpec:
    """Read `KIND`, `KIND:name=value,...` or `trace:FILE[,name=value,...]`; a trace is read at once.

    Raises:
        ConfigurationError: The kind, a parameter or a value is not known (what is known is listed, all faults at
            once), or the trace cannot be read.
    """
    name, colon, rest = text.strip().partition(":")
    kind = KINDS.get(name)
    if kind is None or (kind.build is None and not rest.strip()) or (colon and not rest.strip()):
        near = difflib.get_close_matches(name.lower(), KINDS, n=1)
        hint = f"; did you mean {KINDS[near[0]].written!r}?" if near else ""
        raise ConfigurationError(f"arrivals {text!r} are not known; write one of {arrivals_listed()}{hint}")
    path, options = _path_and_options(rest) if kind.build is None else ("", rest.split(",") if rest else [])
    values = _values(kind, options, f"arrivals {text!r}")
    if kind.build is not None:
        spec = ArrivalSpec(name, values)
        try:
            spec.times(_SLOW_PER_S if spec.needs_rate else None, _LONG_S, Random(0))  # noqa: S311 - only its arguments are checked
        except ConfigurationError as err:
            raise ConfigurationError(f"arrivals {text!r}: {_as_typed(str(err), kind)}") from err
        return spec
    _check_trace_values(values, text)
    trace = read_trace(path, functions=values.get("function"))
    if values["start"] > 0 or "end" in values:
        trace = trace.between(values["start"], values.get("end"))
    return ArrivalSpec(name, values, trace.faster(values["speedup"]))


def _as_typed(fault: str, kind: Kind) -> str:
    """What a generator says of its arguments, by the names that are typed: `on` is its `on_share`, `period` its `period_s`."""
    for parameter in kind.parameters:
        fault = re.sub(rf"\b{parameter.name}_(?:s|share|per_s)\b", parameter.name, fault)
    return fault


def _until(end_s: float, times: Iterator[float]) -> Iterator[float]:
    for at_s in times:
        if at_s >= end_s:
            return
        yield at_s


def arrivals_listed() -> str:
    """The kinds as people write them, on one line, for help and errors."""
    return ", ".join(kind.written for kind in KINDS.values())


def _check_trace_values(values: Mapping[str, Any], text: str) -> None:
    refuse_faults(
        f"arrivals {text!r}",
        [
            fault_unless(values["speedup"] > 0, "speedup", "> 0", values["speedup"]),
            fault_unless(values["share"] > 0, "share", "> 0", values["share"]),
            fault_unless(values["burst"] > 0, "burst", "> 0 seconds", values["burst"]),
            fault_unless(
                "end" not in values or values["end"] > values["start"], "end", "after start", values.get("end")
            ),
        ],
    )


def _path_and_options(rest: str) -> tuple[str, list[str]]:
    """Options are the `name=value` pieces at the end, unless there is a file of that very name."""
    pieces = rest.split(",")
    first = len(pieces)
    for length in range(first, 0, -1):
        if Path(",".join(pieces[:length])).is_file():
            return ",".join(pieces[:length]), pieces[length:]
    while first > 1 and _OPTION.fullmatch(pieces[first - 1]):
        first -= 1
    return ",".join(pieces[:first]), pieces[first:]


def _values(kind: Kind, options: list[str], place: str) -> dict[str, Any]:
    known = {parameter.name: parameter for parameter in kind.parameters}
    values = {name: parameter.read(parameter.default) for name, parameter in known.items() if parameter.default}
    faults, seen = [], set()
    for option in options:
        found = _OPTION.fullmatch(option)
        if found is None:
            faults.append(f"{option.strip()!r} is no name=value")
            continue
        name, written = found[1].lower(), found[2].strip()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            faults.append(f"{kind.name} has no parameter {name!r}{hint}; it has {', '.join(known)}")
        elif name in seen:
            faults.append(f"{name} is given twice")
        else:
            seen.add(name)
            try:
                values[name] = known[name].read(written)
            except ValueError as err:
                faults.append(f"{name} must be {err}, not {written!r}")
    refuse_faults(place, faults)
    return values

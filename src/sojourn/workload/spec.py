"""The text form of a workload: `poisson`, `constant`, `bursty` or `trace:FILE`."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from random import Random

import msgspec

from sojourn.errors import ConfigurationError
from sojourn.workload.arrivals import constant, on_off, poisson
from sojourn.workload.trace import read_trace, replay

KINDS = ("poisson", "constant", "bursty", "trace:FILE")
BURST_ON_SHARE = 0.25
BURST_PERIOD_S = 4.0


class ArrivalSpec(msgspec.Struct, frozen=True):
    """Which kind of arrivals was asked for; `recorded_s` holds a trace's instants in seconds."""

    kind: str
    recorded_s: array[float] | None = None

    @property
    def needs_rate(self) -> bool:
        """Whether a rate must be given; a trace brings its own."""
        return self.recorded_s is None

    def times(self, rate_per_s: float | None, duration_s: float, rng: Random) -> Iterator[float]:
        """Arrival instants in seconds over the run.

        Bursts are on for a quarter of each four-second cycle, at four times the mean rate. A trace is
        played as recorded, or stretched to `rate_per_s` if one is given.

        Raises:
            ConfigurationError: A rate or duration is missing or out of range.
        """
        if self.recorded_s is not None:
            return replay(self.recorded_s, rate_per_s=rate_per_s, duration_s=duration_s)
        if rate_per_s is None:
            raise ConfigurationError(f"arrivals {self.kind!r} need a rate in requests per second")
        if self.kind == "constant":
            return constant(rate_per_s, duration_s)
        if self.kind == "bursty":
            # Fixed phases keep the mean rate that was asked for, also in a run of a few cycles.
            return on_off(rate_per_s, duration_s, rng, on_share=BURST_ON_SHARE, period_s=BURST_PERIOD_S, phases="fixed")
        return poisson(rate_per_s, duration_s, rng)


def parse_arrivals(text: str) -> ArrivalSpec:
    """Read `poisson`, `constant`, `bursty` or `trace:FILE`; a trace is read at once.

    Raises:
        ConfigurationError: The text is none of these, or the trace cannot be read.
    """
    kind, _, path = text.strip().partition(":")
    if kind in {"poisson", "constant", "bursty"} and not path:
        return ArrivalSpec(kind)
    if kind == "trace" and path:
        return ArrivalSpec(kind, read_trace(path))
    raise ConfigurationError(f"arrivals {text!r} are not known; write one of {', '.join(KINDS)}")

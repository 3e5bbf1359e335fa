"""How long a simulated run will take and how much memory, told before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from random import Random
from typing import Final

import msgspec

from sojourn.report.axis import number_text
from sojourn.sim.scenario import Prepared, Scenario

ASK_BEYOND_S: Final = 60.0
# Measured on CPython 3.11: latencies and batch sizes as arrays, and once more sorted as lists at the end.
_BYTES_PER_REQUEST: Final = 72
_BYTES_PER_FUNCTION: Final = 400_000
_SMALL_REQUESTS: Final = 200_000
_SMALL_FUNCTION_S: Final = 50_000.0
_WARM_UP_S: Final = 0.4
_WARM_UP_S_MAX: Final = 4.0
_ENOUGH_REQUESTS: Final = 500
_TELLING_SHARE: Final = 0.01
_COUNTED: Final = 100_000
_UNITS: Final = (("years", 365 * 86_400.0), ("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a run will come to.

    Args:
        requests: About how many.
        time_s: About how long it takes on this machine, in seconds; 0 if it is too small to be worth measuring, infinite if
            not even its beginning was over in a few seconds.
        requests_per_s: The speed that was measured; None if none was.
        memory_bytes: Memory it needs at most.
    """

    requests: float
    time_s: float
    requests_per_s: float | None
    memory_bytes: float

    def text(self) -> str:
        """The estimate in words."""
        speed = f" at {self.requests_per_s:,.0f} requests per second" if self.requests_per_s else ""
        requests = f"about {number_text(float(f'{self.requests:.3g}'))} requests"
        if self.requests < 1.0:
            requests = "hardly any requests"
        return f"{requests}, {long_text(self.time_s)}{speed}"


def estimate(scenario: Scenario, *, clock: Callable[[], float] = time.perf_counter) -> Estimate:
    """Count the requests and measure the speed with a short stretch of the run itself (half a second, or a few where there is more to it).

    Args:
        scenario: What is to run.
        clock: Seconds of this machine.
    """
    requests = expected_requests(scenario)
    memory_bytes = requests * _BYTES_PER_REQUEST + len(scenario.functions) * _BYTES_PER_FUNCTION
    # Even idle functions report, and are weighed against the others.
    function_s = len(scenario.functions) ** 2 * scenario.duration_s
    if requests <= _SMALL_REQUESTS and function_s <= _SMALL_FUNCTION_S:
        return Estimate(requests=requests, time_s=0.0, requests_per_s=None, memory_bytes=memory_bytes)
    seen, reached_s, took_s = _warm_up(scenario, clock)
    if reached_s == inf:  # the whole run is over already
        return Estimate(requests=requests, time_s=took_s, requests_per_s=None, memory_bytes=memory_bytes)
    by_time_s = took_s * scenario.duration_s / reached_s if reached_s > 0 else inf
    return Estimate(
        requests=requests,
        time_s=took_s * max(requests / seen, 1.0) if seen >= _ENOUGH_REQUESTS else by_time_s,
        requests_per_s=seen / took_s if seen >= _ENOUGH_REQUESTS else None,
        memory_bytes=memory_bytes,
    )


class _Enough(Exception):  # noqa: N818 - no error
    """The stretch has told enough."""


def _warm_up(scenario: Scenario, clock: Callable[[], float]) -> tuple[int, float, float]:
    """Simulate for a moment: (requests, virtual seconds, infinite if that was all, seconds of this machine)."""
    prepared: Prepared | None = None
    began_s = clock()

    def look(_event: object, now_s: float, _actions: list[object]) -> None:
        took_s = clock() - began_s
        if took_s < _WARM_UP_S or prepared is None:
            return
        is_telling = now_s >= _TELLING_SHARE * scenario.duration_s or requests_so_far(prepared) >= _ENOUGH_REQUESTS
        if is_telling or took_s >= _WARM_UP_S_MAX:
            raise _Enough

    prepared = Prepared(msgspec.structs.replace(scenario, transient_s=0.0), observe=look)
    try:
        prepared.go()
    except _Enough:
        reached_s = prepared.simulation.now_s if prepared.simulation is not None else 0.0
    else:
        reached_s = inf
    return requests_so_far(prepared), reached_s, max(clock() - began_s, 1e-9)


def requests_so_far(prepared: Prepared) -> int:
    """Requests that have arrived in a run, its transient left out."""
    simulation = prepared.simulation
    return sum(result.sent for result in simulation.results.values()) if simulation is not None else 0


def expected_requests(scenario: Scenario) -> float:
    """About how many requests all functions get; few are counted, of many the mean is taken."""
    looked_at = max(_COUNTED // len(scenario.functions), 500)
    return sum(
        each.traffic.requests_expected(scenario.duration_s, Random(0), looked_at=looked_at)  # noqa: S311 - a look ahead
        for each in scenario.functions
    )


def long_text(value_s: float) -> str:
    """A long time for people, roughly: `40 seconds`, `12 minutes`, `3 hours`."""
    if value_s == inf:
        return "an unknown time"
    for unit, size_s in _UNITS:
        if value_s >= 2 * size_s or unit == "seconds":
            return f"{number_text(float(f'{value_s / size_s:.2g}'))} {unit}"
    raise AssertionError("the last unit takes all")

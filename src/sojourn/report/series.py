"""What a run's plots are drawn from: one row per request, and sums of it by interval of time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from sojourn.domain.request import Outcome
from sojourn.report.statistics import mean_batch_size, quantile

INTERVALS_MAX = 80
_ARRIVALS_PER_INTERVAL = 25  # fewer would make a quantile of each interval mere noise


class RunSeries(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of a run as columns of equal length.

    Args:
        arrival_at_s: Instants from the start of the run, in seconds, ascending.
        latency_s: Latency of each request in seconds, however it ended.
        outcome: How each request ended.
        batch_size: Size of the batch each was served in; 0 if unknown.
        duration_s: Length of the arrivals in seconds, > 0.
    """

    arrival_at_s: Sequence[float]
    latency_s: Sequence[float]
    outcome: Sequence[Outcome]
    batch_size: Sequence[int]
    duration_s: float


class Interval(msgspec.Struct, frozen=True):
    """Sums over one stretch of time, by arrival.

    Args:
        start_s: Where it begins, in seconds.
        end_s: Where it ends, in seconds.
        arrivals: Requests that arrived in it.
        good: Of these, served within the objective (served at all, without one).
        latency_s_p50: Median latency of its served requests, None if there are none.
        latency_s_p99: Their 99th percentile.
        batch_size_mean: Mean over its batches, None if unknown.
    """

    start_s: float
    end_s: float
    arrivals: int
    good: int
    latency_s_p50: float | None
    latency_s_p99: float | None
    batch_size_mean: float | None

    @property
    def span_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


def intervals_of(series: RunSeries, objective_s: float | None) -> list[Interval]:
    """Cut a run into at most eighty intervals of a round length, fewer if requests are few; the last may be shorter."""
    wanted = min(INTERVALS_MAX, max(1, len(series.arrival_at_s) // _ARRIVALS_PER_INTERVAL))
    width_s = round_step(series.duration_s / wanted)
    count = max(1, math.ceil(series.duration_s / width_s - 1e-9))
    rows: list[list[int]] = [[] for _ in range(count)]
    for index, at_s in enumerate(series.arrival_at_s):
        rows[min(int(at_s / width_s), count - 1)].append(index)
    return [
        _interval(series, indices, number * width_s, min((number + 1) * width_s, series.duration_s), objective_s)
        for number, indices in enumerate(rows)
    ]


def batches_by_size(series: RunSeries) -> dict[int, float]:
    """How many batches of each size there were, ascending.

    A batch of b is told to each of its b requests, so each counts as 1/b of a batch.
    """
    counts: dict[int, int] = {}
    for size in series.batch_size:
        if size > 0:
            counts[size] = counts.get(size, 0) + 1
    return {size: counts[size] / size for size in sorted(counts)}


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `least` (> 0)."""
    power = 10.0 ** math.floor(math.log10(least))
    for factor in (1, 2, 5):
        if factor * power >= least * (1 - 1e-9):
            return factor * power
    return 10 * power


def _interval(
    series: RunSeries, indices: list[int], start_s: float, end_s: float, objective_s: float | None
) -> Interval:
    latencies_s = sorted(series.latency_s[index] for index in indices if series.outcome[index] is Outcome.SERVED)
    good = len(latencies_s)
    if objective_s is not None:
        good = sum(latency_s <= objective_s for latency_s in latencies_s)
    sizes = (series.batch_size[index] for index in indices)
    return Interval(
        start_s,
        end_s,
        len(indices),
        good,
        quantile(latencies_s, 0.5),
        quantile(latencies_s, 0.99),
        mean_batch_size(sizes),
    )

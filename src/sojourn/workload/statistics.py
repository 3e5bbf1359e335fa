"""Figures of a series: its mean, dispersion and autocorrelation, and how regular the gaps between instants are."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from operator import mul, sub


def mean_of(values: Sequence[float]) -> float:
    """Arithmetic mean; 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def deviations(values: Sequence[float]) -> array[float]:
    """Each value less the mean."""
    mean = mean_of(values)
    return array("d", (value - mean for value in values))


def dispersion(counts: Sequence[float]) -> float | None:
    """Variance over mean of counts; Poisson is 1. None if there are no requests, or fewer than two counts.

    Source:
        Cox and Lewis (1966), "The Statistical Analysis of Series of Events": index of dispersion for counts.
    """
    mean = mean_of(counts)
    if len(counts) < 2 or mean <= 0:
        return None
    away = deviations(counts)
    return math.fsum(map(mul, away, away)) / len(counts) / mean


def burstiness(times_s: Sequence[float]) -> float | None:
    """Squared coefficient of variation of interarrival times; Poisson is 1. None for fewer than two gaps, or none > 0."""
    if len(times_s) < 3:
        return None
    gaps_s = array("d", (later - earlier for earlier, later in pairwise(times_s)))
    mean_s = mean_of(gaps_s)
    if mean_s <= 0:
        return None
    away = deviations(gaps_s)
    return math.fsum(map(mul, away, away)) / len(gaps_s) / mean_s**2


def autocorrelation(values: Sequence[float], lag: int) -> float | None:
    """Correlation of a series with itself some steps later, in [-1, 1]; see `autocorrelations`."""
    return autocorrelations(values, [lag])[0]


def autocorrelations(values: Sequence[float], lags: Sequence[int]) -> list[float | None]:
    """Correlation of a series with itself at several lags.

    None for a lag that leaves fewer than half as many pairs as it is long, and for a series that never changes.

    Args:
        values: One per step.
        lags: In steps, >= 1.

    Source:
        Box and Jenkins: `sum (x_t - m)(x_{t+k} - m) / sum (x_t - m)^2`, with the mean of the whole series.
    """
    away = deviations(values)
    square = math.fsum(map(mul, away, away))
    if square <= 1e-12 * max(len(away), 1):
        return [None for _ in lags]
    return [
        sum(map(mul, away, away[lag:])) / square if len(away) >= 1.5 * lag and len(away) > lag else None for lag in lags
    ]


def gaps_of(positions: Sequence[float]) -> list[float]:
    """Differences of neighbours."""
    return list(map(sub, positions[1:], positions))


def median_of(values: Sequence[float]) -> float:
    """The middle value, the lower one of two; the values must not be empty."""
    return sorted(values)[(len(values) - 1) // 2]

"""How measured times scatter around what is expected: spread, quantiles, memory and drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import exp, log, sqrt
from typing import Final, NamedTuple

LAGS: Final = 10
_VALUES_PER_LAG: Final = 4  # a correlation of fewer pairs is noise itself


class Ratio(NamedTuple):
    """Measured over expected time of one batch, > 0; `group` is what it has in common with others, `at_s` when it was."""

    group: Hashable
    at_s: float
    value: float


def quantiles(ratios: Sequence[Ratio], count: int) -> list[float]:
    """The values at `count` even shares from 0 to 1, each group counting the same however many it has.

    Args:
        ratios: At least one.
        count: How many, >= 2.
    """
    weights = _weights(ratios)
    ordered = sorted(zip((ratio.value for ratio in ratios), weights, strict=True))
    found, reached, at = [], 0.0, -1
    for number in range(count):
        share = number / (count - 1)
        while at < 0 or (reached < share - 1e-9 and at < len(ordered) - 1):
            at += 1
            reached += ordered[at][1]
        found.append(ordered[at][0])
    return found


def sigma(ratios: Sequence[Ratio]) -> float:
    """Standard deviation of the ratios' logarithm, each group counting the same."""
    weights = _weights(ratios)
    logs = [log(ratio.value) for ratio in ratios]
    centre = sum(value * weight for value, weight in zip(logs, weights, strict=True))
    return sqrt(sum(weight * (value - centre) ** 2 for value, weight in zip(logs, weights, strict=True)))


def autocorrelation(ratios: Sequence[Ratio]) -> list[float]:
    """Correlation of the ratios' logarithm with itself 1, 2, ... batches later, as far as there are enough."""
    logs = [log(ratio.value) for ratio in ratios]
    lags = min(LAGS, len(logs) // _VALUES_PER_LAG)
    if not lags:
        return []
    centre = sum(logs) / len(logs)
    off = [value - centre for value in logs]
    variance = sum(value * value for value in off)
    if variance <= 0.0:
        return [0.0] * lags
    return [sum(a * b for a, b in zip(off, off[lag:], strict=False)) / variance for lag in range(1, lags + 1)]


def drift(ratios: Sequence[Ratio]) -> float:
    """Relative change from the first to the last ratio, along a straight line through their logarithms."""
    begun_at_s, ended_at_s = ratios[0].at_s, ratios[-1].at_s
    count = len(ratios)
    mean_at_s = sum(ratio.at_s for ratio in ratios) / count
    spread = sum((ratio.at_s - mean_at_s) ** 2 for ratio in ratios)
    if spread <= 0.0:
        return 0.0
    slope = sum((ratio.at_s - mean_at_s) * log(ratio.value) for ratio in ratios) / spread
    return exp(slope * (ended_at_s - begun_at_s)) - 1.0


def _weights(ratios: Sequence[Ratio]) -> list[float]:
    members = Counter(ratio.group for ratio in ratios)
    return [1.0 / (members[ratio.group] * len(members)) for ratio in ratios]

"""How much work each request brings: one size per request, heavy-tailed as real items are.

A size is a weight in whatever unit the model counts (tokens, pixels, seconds); its mean and burstiness (squared
coefficient of variation) come with it, so that load can be reckoned before a run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random
from statistics import NormalDist

from sojourn.workload.bounds import fault_unless, refuse_faults

_NORMAL = NormalDist()


def equal_sizes(size: float = 1.0) -> Iterator[float]:
    """All requests alike.

    Args:
        size: Of each, > 0.

    Raises:
        ConfigurationError: It is out of range.
    """
    refuse_faults("sizes", [fault_unless(0 < size < math.inf, "size", "> 0", size)])
    return _endless(size)


def pareto_sizes(rng: Random, *, shape: float = 1.5, smallest: float = 1.0, largest: float = 1000.0) -> Iterator[float]:
    """Sizes with a tail that falls as a power: a few requests are as much work as all others. Without end.

    Args:
        rng: Source of chance.
        shape: The tail's exponent, > 0; the lower, the heavier. Web objects have about 1.1 to 1.5.
        smallest: Least size, > 0.
        largest: Greatest size, > smallest.

    Raises:
        ConfigurationError: A value is out of range.

    Source:
        Bounded Pareto by inversion: `smallest (1 - u (1 - (smallest/largest)^shape))^(-1/shape)`. Shape of web
        objects: Crovella and Bestavros (1997).
    """
    _check_pareto(shape, smallest, largest)
    return _pareto(rng.random, -math.expm1(shape * math.log(smallest / largest)), -1 / shape, smallest, largest)


def lognormal_sizes(
    rng: Random, *, median: float = 1.0, sigma: float = 1.0, smallest: float = 0.0, largest: float = math.inf
) -> Iterator[float]:
    """Sizes whose logarithm is normal: most near the median, some many times it. Without end.

    Args:
        rng: Source of chance.
        median: Of the sizes before they are bounded, > 0.
        sigma: Standard deviation of their logarithm, > 0.
        smallest: Least size, >= 0. Sizes beyond the bounds are not clipped but left out.
        largest: Greatest size, > smallest.

    Raises:
        ConfigurationError: A value is out of range, or the bounds leave (almost) nothing.
    """
    low, high = _checked_lognormal(median, sigma, smallest, largest)
    return _lognormal(rng.random, math.log(median), sigma, low, high, (smallest, largest))


def mean_of_pareto(*, shape: float = 1.5, smallest: float = 1.0, largest: float = 1000.0) -> float:
    """Mean of `pareto_sizes`. Arguments as there."""
    _check_pareto(shape, smallest, largest)
    return _pareto_moment(1, shape, smallest, largest)


def burstiness_of_pareto(*, shape: float = 1.5, smallest: float = 1.0, largest: float = 1000.0) -> float:
    """Squared coefficient of variation of `pareto_sizes`. Arguments as there."""
    _check_pareto(shape, smallest, largest)
    return _pareto_moment(2, shape, smallest, largest) / _pareto_moment(1, shape, smallest, largest) ** 2 - 1


def mean_of_lognormal(
    *, median: float = 1.0, sigma: float = 1.0, smallest: float = 0.0, largest: float = math.inf
) -> float:
    """Mean of `lognormal_sizes`. Arguments as there."""
    return _lognormal_moment(1, median, sigma, smallest, largest)


def burstiness_of_lognormal(
    *, median: float = 1.0, sigma: float = 1.0, smallest: float = 0.0, largest: float = math.inf
) -> float:
    """Squared coefficient of variation of `lognormal_sizes`, `exp(sigma^2) - 1` without bounds. Arguments as there."""
    second = _lognormal_moment(2, median, sigma, smallest, largest)
    return second / _lognormal_moment(1, median, sigma, smallest, largest) ** 2 - 1


def _endless(size: float) -> Iterator[float]:
    while True:
        yield size


def _pareto(random: Callable[[], float], span: float, power: float, smallest: float, largest: float) -> Iterator[float]:
    while True:
        yield min(smallest * (1.0 - random() * span) ** power, largest)


def _lognormal(
    random: Callable[[], float], mu: float, sigma: float, low: float, high: float, bounds: tuple[float, float]
) -> Iterator[float]:
    inverse, exp, (smallest, largest), span = _NORMAL.inv_cdf, math.exp, bounds, high - low
    while True:
        place = low + span * random()
        if 0.0 < place < 1.0:
            yield min(max(exp(mu + sigma * inverse(place)), smallest), largest)


def _pareto_moment(order: int, shape: float, smallest: float, largest: float) -> float:
    """E[size^order]: the density `shape smallest^shape x^(-shape-1) / (1 - (smallest/largest)^shape)` integrated."""
    scale = shape * smallest**shape / -math.expm1(shape * math.log(smallest / largest))
    power = order - shape
    if abs(power) < 1e-9:
        return float(scale * math.log(largest / smallest))
    return float(scale * (largest**power - smallest**power) / power)


def _lognormal_moment(order: int, median: float, sigma: float, smallest: float, largest: float) -> float:
    """E[size^order] of the truncated distribution: the normal's bounds move by order * sigma."""
    low, high = _checked_lognormal(median, sigma, smallest, largest)
    moved_low = _place(smallest, median, sigma, -order * sigma)
    moved_high = _place(largest, median, sigma, -order * sigma)
    return median**order * math.exp((order * sigma) ** 2 / 2) * (moved_high - moved_low) / (high - low)


def _place(size: float, median: float, sigma: float, shift: float = 0.0) -> float:
    if size <= 0:
        return 0.0
    return 1.0 if size == math.inf else _NORMAL.cdf(math.log(size / median) / sigma + shift)


def _check_pareto(shape: float, smallest: float, largest: float) -> None:
    refuse_faults(
        "Pareto sizes",
        [
            fault_unless(0 < shape <= 100, "shape", "in (0, 100]", shape),
            fault_unless(0 < smallest < math.inf, "smallest", "> 0", smallest),
            fault_unless(smallest < largest < math.inf, "largest", "finite and above the smallest", largest),
        ],
    )


def _checked_lognormal(median: float, sigma: float, smallest: float, largest: float) -> tuple[float, float]:
    refuse_faults(
        "lognormal sizes",
        [
            fault_unless(0 < median < math.inf, "median", "> 0", median),
            fault_unless(0 < sigma <= 10, "sigma", "in (0, 10]", sigma),
            fault_unless(0 <= smallest < math.inf, "smallest", ">= 0", smallest),
            fault_unless(smallest < largest, "largest", "above the smallest", largest),
        ],
    )
    low, high = _place(smallest, median, sigma), _place(largest, median, sigma)
    kept = high - low
    refuse_faults(
        "lognormal sizes",
        [fault_unless(kept > 1e-9, "the bounds", "such that some sizes lie between them", (smallest, largest))],
    )
    return low, high

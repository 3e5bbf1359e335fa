"""Means with Student's confidence intervals, and the only verdicts these allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import exp, fsum, inf, lgamma, log, log1p, sqrt

import msgspec

CONFIDENCE = 0.95
_STEPS_MAX = 300
_TINY = 1e-300
_CLOSE = 1e-15


class MeanInterval(msgspec.Struct, frozen=True):
    """A mean over replications, and where the true mean lies with the confidence asked for.

    Args:
        mean: Of the values.
        low: Lower end; None if one value alone says nothing of its spread.
        high: Upper end; None likewise.
        count: Number of values, >= 1.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def half_width(self) -> float:
        """Half the length of the interval; infinite if nothing is known of it."""
        return inf if self.low is None or self.high is None else (self.high - self.low) / 2

    def clipped(self, low: float, high: float) -> MeanInterval:
        """The same without what cannot be, such as a share above 1."""
        if self.low is None or self.high is None:
            return self
        return MeanInterval(self.mean, min(max(self.low, low), high), min(max(self.high, low), high), self.count)

    def is_above(self, value: float) -> bool:
        """Whether the whole interval is above a value."""
        return self.low is not None and self.low > value

    def is_below(self, value: float) -> bool:
        """Whether the whole interval is below a value."""
        return self.high is not None and self.high < value

    def is_apart_from(self, other: MeanInterval) -> bool:
        """Whether two intervals do not overlap, so that the means differ even if the runs have nothing in common."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return False
        return self.low > other.high or self.high < other.low


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> MeanInterval:
    """Mean of independent replications with its confidence interval.

    Args:
        values: One per replication, at least one.
        confidence: In (0, 1).

    Source:
        W. S. Gosset ("Student"), "The probable error of a mean", 1908: mean +- t(n - 1) s / sqrt(n).
    """
    count = len(values)
    mean = fsum(values) / count
    if count < 2:
        return MeanInterval(mean, None, None, count)
    variance = fsum((value - mean) ** 2 for value in values) / (count - 1)
    half_width = student_quantile(0.5 + confidence / 2, count - 1) * sqrt(variance / count)
    return MeanInterval(mean, mean - half_width, mean + half_width, count)


def paired_difference(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> MeanInterval:
    """Mean of `first - second`, pair by pair; with the same arrivals in each pair it is far sharper than two intervals.

    Args:
        first: One value per seed.
        second: Values of the same seeds in the same order.
        confidence: In (0, 1).

    Source:
        Common random numbers: A. M. Law, "Simulation Modeling and Analysis", 5th ed., 11.2 and 10.2.1 (paired t).
    """
    return mean_interval([one - other for one, other in zip(first, second, strict=True)], confidence)


def confidence_of_each(comparisons: int, confidence: float = CONFIDENCE) -> float:
    """Confidence each of several comparisons needs so that all of them together have `confidence`.

    Args:
        comparisons: How many, >= 1.
        confidence: Of all together, in (0, 1).

    Source:
        Bonferroni's inequality. With one comparison per rival of the best it bounds the chance that the policy that is
        truly best is ever called worse: B. L. Nelson and F. J. Matejcik, "Using common random numbers for
        indifference-zone selection and multiple comparisons in simulation", Management Science 41, 1995.
    """
    return 1.0 - (1.0 - confidence) / max(comparisons, 1)


@lru_cache(maxsize=256)
def student_quantile(share: float, degrees: int) -> float:
    """Quantile of Student's t distribution.

    Args:
        share: In [0.5, 1).
        degrees: Degrees of freedom, >= 1.
    """
    tail = 2.0 * (1.0 - share)
    if tail >= 1.0:
        return 0.0
    # The two-sided tail of t is I_x(degrees/2, 1/2) at x = degrees / (degrees + t^2), which grows with x.
    x = _root(lambda x: incomplete_beta(degrees / 2, 0.5, x) - tail)
    return sqrt(degrees * (1.0 - x) / x)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for a, b > 0 and x in [0, 1].

    Source:
        NIST Digital Library of Mathematical Functions, 8.17.22 (continued fraction), evaluated by the method of Lentz;
        8.17.4 (symmetry) where the fraction would converge slowly.
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    return front / _beta_fraction(a, b, x)


def _beta_fraction(a: float, b: float, x: float) -> float:
    value = numerator = 1.0
    denominator = 0.0
    for step in range(1, _STEPS_MAX):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1.0 / _away_from_zero(1.0 + term * denominator)
        numerator = _away_from_zero(1.0 + term / numerator)
        factor = numerator * denominator
        value *= factor
        if abs(factor - 1.0) < _CLOSE:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _root(rising: Callable[[float], float]) -> float:
    """Where a function that grows from below to above zero on (0, 1) is zero, by bisection on a logarithmic scale."""
    low, high = -700.0, 0.0  # logarithms: far tails with one degree of freedom lie near zero
    for _ in range(200):
        middle = (low + high) / 2
        if rising(exp(middle)) < 0.0:
            low = middle
        else:
            high = middle
    return exp((low + high) / 2)

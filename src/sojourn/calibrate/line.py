"""A line through what batches of several sizes took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

STALL: Final = 3.0  # times the median


class Point(NamedTuple):
    """The mean time of batches of one size, in seconds."""

    size: int
    mean_s: float


class Line(NamedTuple):
    """`alpha_s * size + beta_s`, both >= 0; `r2` is None where sizes do not differ."""

    alpha_s: float
    beta_s: float
    r2: float | None

    def at(self, size: int) -> float:
        """The fitted time of a batch of `size` [s]."""
        return self.alpha_s * size + self.beta_s


def steady_mean(values: Sequence[float]) -> float:
    """The mean, in which no value counts for more than three times the median.

    A machine that stalls for a moment once says nothing of the batch size it happened to hit; how often it does is
    for the quantiles to tell.
    """
    ordered = sorted(values)
    cap = STALL * ordered[len(ordered) // 2]
    return sum(min(value, cap) for value in ordered) / len(ordered)


def fitted_line(points: Sequence[Point]) -> Line:
    """The line with the least sum of squared *relative* errors, neither falling nor below zero.

    Noise grows with the time a batch takes, so each point is weighed with the inverse of its square; otherwise the
    largest batch would decide alone. With one size there is no slope: all is told to be per batch.

    Args:
        points: One per size, at least one; means >= 0.

    Source:
        Non-negative least squares in two unknowns: if the free solution has a negative part, the best one lies on
        an edge (Lawson, Hanson, "Solving Least Squares Problems", 1974, ch. 23).
    """
    floor_s = max(max(point.mean_s for point in points) * 1e-3, 1e-9)
    weighed = [(point.size, point.mean_s, 1.0 / max(point.mean_s, floor_s) ** 2) for point in points]
    total = sum(weight for _, _, weight in weighed)
    mean_b = sum(b * weight for b, _, weight in weighed) / total
    mean_y = sum(y * weight for _, y, weight in weighed) / total
    spread = sum(weight * (b - mean_b) ** 2 for b, _, weight in weighed)
    if len({point.size for point in points}) == 1:
        return Line(0.0, mean_y, None)
    alpha_s = sum(weight * (b - mean_b) * (y - mean_y) for b, y, weight in weighed) / spread
    beta_s = mean_y - alpha_s * mean_b
    if alpha_s < 0.0:
        alpha_s, beta_s = 0.0, mean_y
    elif beta_s < 0.0:
        squares = sum(weight * b * b for b, _, weight in weighed)
        alpha_s, beta_s = sum(weight * b * y for b, y, weight in weighed) / squares, 0.0
    all_of_it = sum(weight * (y - mean_y) ** 2 for _, y, weight in weighed)
    left = sum(weight * (y - alpha_s * b - beta_s) ** 2 for b, y, weight in weighed)
    return Line(alpha_s, beta_s, 1.0 - left / all_of_it if all_of_it > 0.0 else 1.0)

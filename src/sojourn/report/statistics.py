"""Exact statistics of a finished run: quantiles from sorted values, means over batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec


class LatencyQuantiles(msgspec.Struct, frozen=True):
    """Exact quantiles of the latency of served requests, in seconds; None if nothing was served."""

    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    max: float | None

    @classmethod
    def of(cls, ordered: Sequence[float]) -> LatencyQuantiles:
        """The quantiles of latencies in ascending order."""
        return cls(*(quantile(ordered, share) for share in (0.5, 0.9, 0.99, 0.999, 1.0)))


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None if there are none.

    Args:
        ordered: Values in ascending order.
        share: In (0, 1]; 1 gives the maximum.
    """
    if not ordered:
        return None
    # The tolerance keeps 0.99 x 100 from becoming the 100th value by a rounding error.
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def mean_batch_size(sizes: Iterable[int]) -> float | None:
    """Mean over batches, from the size each *request* was told; None if unknown (sizes of 0 are skipped).

    A batch of b is told to each of its b requests, so each counts as 1/b of a batch; a plain mean over
    requests would count large batches more often.
    """
    requests, batches = 0, 0.0
    for size in sizes:
        if size > 0:
            requests += 1
            batches += 1 / size
    return requests / batches if requests else None

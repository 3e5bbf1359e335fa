"""Exact statistics of a finished run: quantiles from sorted values, means over batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


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

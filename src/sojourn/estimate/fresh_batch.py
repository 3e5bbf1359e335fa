"""Which size of batches of the newest requests serves the most in time, when more arrive than can be served."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

_STEP = 1.12  # from one size looked at to the next; goodput is flat around its most


class FreshBatch(msgspec.Struct, frozen=True, gc=False):
    """How large batches of the newest are best, and what they bring.

    Args:
        size: Requests per batch, >= 1.
        goodput_per_s: Requests in time per second of replica time, >= 0; 0 if none can be in time [1/s].
    """

    size: int
    goodput_per_s: float


def best_fresh_batch(
    mean_by_size_s: Sequence[float],
    ratios: Sequence[float],
    latency_s: float,
    arrivals_per_s: float,
    cap: int,
    near: int = 1,
) -> FreshBatch:
    """The batch of the newest with the most requests in time per second.

    The `i`-th newest has waited `i / lam` when its batch begins. If the batch takes `r * l(b)`, those in time are the
    ones that arrived in the last `S - r * l(b)`, so that a batch brings `E[min(b, lam * (S - r * l(b))+)]` in `l(b)`.

    Args:
        mean_by_size_s: Mean service time `l` by batch size, monotone; index 0 unused [s].
        ratios: Quantiles of measured over mean time, ascending and evenly spaced; at least one.
        latency_s: The objective's latency `S` [s].
        arrivals_per_s: Arrival rate `lam`, > 0 [1/s].
        cap: Largest size to consider, in [1, len(mean_by_size_s) - 1].
        near: Where to look first, >= 1: the answer of before, if there was one.

    Source:
        docs/adr/0016-newest-first.md.
    """
    best = _fresh_batch(min(near, cap), mean_by_size_s, ratios, latency_s, arrivals_per_s)
    for is_upwards in (True, False):
        while True:
            size = best.size
            size = (
                min(max(int(size * _STEP), size + 1), cap) if is_upwards else max(min(int(size / _STEP), size - 1), 1)
            )
            if size == best.size:
                break
            other = _fresh_batch(size, mean_by_size_s, ratios, latency_s, arrivals_per_s)
            if other.goodput_per_s < best.goodput_per_s or (is_upwards and other.goodput_per_s == best.goodput_per_s):
                break
            best = other
    return best


def _fresh_batch(
    size: int, mean_by_size_s: Sequence[float], ratios: Sequence[float], latency_s: float, arrivals_per_s: float
) -> FreshBatch:
    """What batches of this size bring."""
    time_s = mean_by_size_s[size]
    if time_s <= 0.0:
        return FreshBatch(size, 0.0)
    surely = bisect_right(ratios, (latency_s - size / arrivals_per_s) / time_s)
    possibly = bisect_right(ratios, latency_s / time_s, surely)
    in_time = float(surely * size)
    for ratio in ratios[surely:possibly]:
        in_time += (latency_s - ratio * time_s) * arrivals_per_s
    return FreshBatch(size, in_time / (len(ratios) * time_s))

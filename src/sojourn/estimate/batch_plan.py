"""Which size of batches serves the most in time when replicas are always busy: of the newest, or in order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import msgspec

_STEP = 1.12  # from one size looked at to the next; goodput is flat around its most


class BatchPlan(msgspec.Struct, frozen=True, gc=False):
    """How large batches are best, and what they bring.

    Args:
        size: Requests per batch, >= 1.
        goodput_per_s: Requests in time per second of replica time, >= 0; 0 if none can be in time [1/s].
    """

    size: int
    goodput_per_s: float


class BusyReplicas(msgspec.Struct, frozen=True):
    """Replicas that are never idle, and how long their batches take.

    Args:
        mean_by_size_s: Mean service time `l` by batch size, monotone; index 0 unused [s].
        ratios: Quantiles of measured over mean time, ascending and evenly spaced; at least one.
        latency_s: The objective's latency `S` [s].
        cap: Largest batch, in [1, len(mean_by_size_s) - 1].
    """

    mean_by_size_s: Sequence[float]
    ratios: Sequence[float]
    latency_s: float
    cap: int

    def of_the_newest(self, arrivals_per_s: float, near: int = 1) -> BatchPlan:
        """The best batch of the newest, while more arrive than are served.

        The `i`-th newest has waited `i / lam` when its batch begins. If the batch takes `r * l(b)`, those in time are
        the ones that arrived in the last `S - r * l(b)`: a batch brings `E[min(b, lam * (S - r * l(b))+)]` in `l(b)`.

        Args:
            arrivals_per_s: Arrival rate `lam`, > 0 [1/s].
            near: Where to look first, >= 1: the size of before, if there was one.

        Source:
            docs/adr/0018-newest-first.md.
        """
        return self._best(lambda size: self._brings(size, arrivals_per_s), near)

    def in_order(self, replicas: int, near: int = 1) -> BatchPlan:
        """The best batch in the order of arrival, of staggered replicas that refuse whom they cannot serve.

        Its members arrived evenly between two batches, in `l(b) / n`; otherwise as `of_the_newest`.

        Args:
            replicas: How many, >= 1.
            near: Where to look first, >= 1: the size of before, if there was one.
        """
        return self._best(lambda size: self._brings(size, replicas * size / self.mean_by_size_s[size]), near)

    def _brings(self, size: int, arrivals_per_s: float) -> BatchPlan:
        time_s, ratios = self.mean_by_size_s[size], self.ratios
        surely = bisect_right(ratios, (self.latency_s - size / arrivals_per_s) / time_s)
        possibly = bisect_right(ratios, self.latency_s / time_s, surely)
        in_time = float(surely * size)
        for ratio in ratios[surely:possibly]:
            in_time += (self.latency_s - ratio * time_s) * arrivals_per_s
        return BatchPlan(size, in_time / (len(ratios) * time_s))

    def _best(self, brings: Callable[[int], BatchPlan], near: int) -> BatchPlan:
        """Uphill from where to look first; downwards also over sizes too large to bring anything."""
        best = brings(min(near, self.cap))
        while best.size < self.cap:
            other = brings(min(max(int(best.size * _STEP), best.size + 1), self.cap))
            if other.goodput_per_s <= best.goodput_per_s:
                break
            best = other
        while best.size > 1:
            other = brings(min(int(best.size / _STEP), best.size - 1))
            if other.goodput_per_s < best.goodput_per_s:
                break
            best = other
        return best

"""The least replica time a request can cost: what every bound of this package is built from."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from math import inf

import msgspec

from sojourn.sim.replica import ModelledService
from sojourn.study.noise import Noise


class LeastWork(msgspec.Struct, frozen=True):
    """What batches cost at least, for requests that shall be on time.

    Args:
        by_size_s: Least mean time of a batch with this many of them, ascending; index 0 is size 1 [s].
        latency_s: The objective's latency [s].
        noise: How times vary around these means, so that a batch may be faster than its mean.
        on_time_share: Largest share of requests that can be on time, each alone on an idle replica; in [0, 1].
        start_s: Least time from the decision to start a replica until it is ready [s].
        first_ready_s: Least time until the very first replica is ready [s].
    """

    by_size_s: tuple[float, ...]
    latency_s: float
    noise: Noise
    on_time_share: float
    start_s: float = 0.0
    first_ready_s: float = 0.0

    @property
    def is_noisy(self) -> bool:
        """Whether a batch may be faster than its mean."""
        return self.noise.is_any

    @property
    def per_request_s(self) -> float:
        """Least replica time per request in any batch; infinite if nothing can be on time."""
        return min((time_s / size for size, time_s in enumerate(self.by_size_s, 1)), default=inf)

    def reach_s(self, size: int) -> float:
        """How far apart requests may arrive that are on time in one batch of at least `size`."""
        return self.latency_s if self.is_noisy else self.latency_s - self.by_size_s[size - 1]


def least_work(service: ModelledService, largest_batch: int, latency_s: float) -> LeastWork:
    """The least a modelled replica's batches cost.

    Taken out, each of which only makes them cheaper: stragglers, jitter of transport, failures, deaths, crowded starts,
    and the later part of a drift (its smallest factor counts all along).

    Args:
        service: How replicas behave.
        largest_batch: Most items of one batch, >= 1.
        latency_s: The objective's latency [s].
    """
    noise = Noise.of(service)
    factor = min([1.0, *(factor for _, factor in service.drift)]) * noise.mean
    times_s = [service.mean_s(size) * factor + service.overhead_s for size in range(1, largest_batch + 1)]
    # Late or foreign items may fill a batch, so a batch with b on-time requests may be any one at least as large.
    for size in range(largest_batch - 1, 0, -1):
        times_s[size - 1] = min(times_s[size - 1], times_s[size])
    # Without noise a batch that takes longer than the objective has nobody on time.
    kept = times_s if noise.is_any else times_s[: bisect_right(times_s, latency_s)]
    alone_s = (times_s[0] - service.overhead_s) / factor
    allowed = (latency_s - service.overhead_s) / (alone_s * factor) if alone_s > 0.0 else inf
    start_s, first_ready_s = _starts(service)
    return LeastWork(
        by_size_s=tuple(kept),
        latency_s=latency_s,
        noise=noise,
        on_time_share=noise.share_below(allowed * noise.mean) if kept else 0.0,
        start_s=start_s,
        first_ready_s=first_ready_s,
    )


def least_costs_s(arrivals_s: Sequence[float], work: LeastWork) -> list[float]:
    """Least replica time of each request, given who else arrives near it; infinite where none can be on time [s].

    A request served on time in a batch of `b` pays at least a `b`-th of its time, and all on-time members of the batch
    arrived within `reach_s(b)`. So `b` is at most the most arrivals in any stretch of that length around the request.

    Args:
        arrivals_s: Instants, ascending [s].
        work: What batches cost.
    """
    costs_s = [inf] * len(arrivals_s)
    sizes = len(work.by_size_s)
    first = 1
    while first <= sizes:
        # For sizes first to last the reach of the first is taken: it is the longest.
        last = sizes if work.is_noisy else min(2 * first - 1, sizes)
        cheapest_s, best_s = [inf] * first, inf
        for size in range(first, last + 1):
            best_s = min(best_s, work.by_size_s[size - 1] / size)
            cheapest_s.append(best_s)
        around = _most_around(arrivals_s, work.reach_s(first))
        for index, count in enumerate(around):
            costs_s[index] = min(costs_s[index], cheapest_s[min(count, last)])
        if max(around, default=0) <= last:
            break
        first = last + 1
    return costs_s


def _most_around(arrivals_s: Sequence[float], reach_s: float) -> list[int]:
    """For each arrival: most arrivals in any stretch of this length that holds it."""
    reach_s += 1e-9
    count = len(arrivals_s)
    most, end = [0] * count, 0
    best: deque[tuple[int, int]] = deque()  # (start, arrivals of the stretch from it), the largest first
    for index, at_s in enumerate(arrivals_s):
        while end < count and arrivals_s[end] <= at_s + reach_s:
            end += 1
        here = end - index
        while best and best[-1][1] <= here:
            best.pop()
        best.append((index, here))
        while arrivals_s[best[0][0]] < at_s - reach_s:
            best.popleft()
        most[index] = best[0][1]
    return most


def _starts(service: ModelledService) -> tuple[float, float]:
    """Least time of any start, and of the very first."""
    if service.starts is not None:
        return 0.0, 0.0
    phases = service.start_phases
    if phases is None:
        return service.cold_start_s, service.cold_start_s
    if phases.sigma:
        return 0.0, 0.0  # a lucky start has no lower end
    forked_s = phases.spawn_s + phases.load_s + phases.warm_up_s
    return forked_s, forked_s + phases.import_s

"""What a number of replicas is worth to one function."""

from __future__ import annotations

from math import inf

from sojourn.domain.demand import ServiceTimes
from sojourn.estimate.capacity import largest_useful_batch
from sojourn.estimate.queueing import erlang_c, quantile_of_waiting_s
from sojourn.policy.allocation.port import Demand

_UTILIZATION_MAX = 0.95
_TAIL = 0.01
_LEAST_S = 1e-9  # while times are unknown a batch is taken to cost nothing


def utility(demand: Demand, replicas: int) -> float:
    """How well `replicas` serve the demand, in [0, 1]: 1 if nobody is refused and the predicted p99 is within S.

    `(1 - refused share) * min(1, S / p99)`. Up to a utilization of 0.95 nobody is refused; past it the queue is taken
    to be held at 0.95 and the rest refused, so that a function in overload still shows what one more replica brings.
    The p99 is that of the wait for one of n servers plus that of the service, at the batch size that serves it best
    while it carries the traffic. While service times are unknown, it is the share of the want that is met.

    Args:
        demand: The function's.
        replicas: >= 0.

    Source:
        Faro (EuroSys 2025) for the form of the utility and its relaxation; ALGORITHMS 6.
    """
    service, arrivals_per_s, latency_s = demand.service, demand.arrivals_per_s, demand.latency_s
    if service is None:
        return min(replicas / demand.wanted, 1.0) if demand.wanted else 1.0
    if arrivals_per_s <= 0.0:
        return 1.0
    if replicas == 0:
        return 0.0
    servers = replicas * demand.slots
    mean_s, p95_s = service.mean_by_size_s, service.p95_by_size_s
    largest = largest_useful_batch(p95_s, latency_s, servers, min(service.size_cap, len(mean_s) - 1))
    carried_per_s, carried = _UTILIZATION_MAX * servers * largest / max(mean_s[largest], _LEAST_S), 1.0
    if carried_per_s < arrivals_per_s:
        carried = carried_per_s / arrivals_per_s
    else:
        carried_per_s = arrivals_per_s
    if latency_s == inf:
        return carried
    p99_s = _p99_s(service, largest, servers, carried_per_s, latency_s)
    return carried if p99_s <= latency_s else carried * (latency_s / p99_s)


def _p99_s(service: ServiceTimes, largest: int, servers: int, carried_per_s: float, enough_s: float) -> float:
    """The predicted p99 at the best of three batch sizes that carry the traffic, or at the first with `enough_s` [s]."""
    mean_s, p95_s = service.mean_by_size_s, service.p95_by_size_s
    # Rates grow with the batch, so the first size that carries them is found by bisection.
    low, high, busy = 1, largest, _UTILIZATION_MAX * servers
    while low < high:
        middle = (low + high) // 2
        if busy * middle >= carried_per_s * mean_s[middle]:
            high = middle
        else:
            low = middle + 1
    best_s, tried = inf, 0
    for size in (low, (low + largest) // 2, largest):
        p99_s = p95_s[size]
        if size == tried or p99_s >= best_s:  # waiting only adds to it
            continue
        tried = size
        p99_s += _wait_s(max(mean_s[size], _LEAST_S), servers, carried_per_s / size, size)
        if p99_s <= enough_s:
            return p99_s
        best_s = min(best_s, p99_s)
    return best_s


def _wait_s(service_s: float, servers: int, batches_per_s: float, size: int) -> float:
    """p99 of a request's wait: for the next of the staggered servers, and behind batches that wait before it [s]."""
    waiting = erlang_c(servers, batches_per_s * service_s)
    if waiting <= _TAIL:
        return 0.0
    stagger_s = service_s / servers * (1.0 - _TAIL / waiting)
    return stagger_s + quantile_of_waiting_s(waiting, servers, batches_per_s, service_s, 1.0 / size, 1.0 - _TAIL)

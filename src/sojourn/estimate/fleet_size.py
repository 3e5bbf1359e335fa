"""How many replicas carry a rate within an objective, and what so many can carry."""

from __future__ import annotations

from math import inf

from sojourn.domain.demand import ServiceTimes
from sojourn.estimate.capacity import largest_useful_batch

_UTILIZATION_MAX = 0.98  # of many replicas
_LOSS_OF_ONE = 0.03  # what a single one loses more
_FORESIGHT = 2  # under more traffic batches will be larger than those tried so far
_UNBOUND_UTILIZATION = 0.85  # without an objective


def sustainable_per_s(service: ServiceTimes, latency_s: float, replicas: int, slots: int = 1) -> tuple[float, int]:
    """The rate `replicas` carry with 99 % inside the objective, and the batch size they do it with.

    Args:
        service: Service times.
        latency_s: The objective's latency, or infinity without an objective.
        replicas: How many, >= 0.
        slots: Batches one replica runs at once, >= 1.

    Returns:
        Requests per second and batch size; (0, 0) for no replicas.

    Source:
        ALGORITHMS 4. The utilisation that still holds 99 % is from our own simulations: 0.95 of one
        replica's capacity, rising to 0.98.
    """
    servers = replicas * slots
    if servers <= 0:
        return 0.0, 0
    cap = min(_FORESIGHT * service.size_cap, len(service.mean_by_size_s) - 1)
    if latency_s == inf:
        duration_s = service.mean_by_size_s[cap]
        return (_UNBOUND_UTILIZATION * servers * cap / duration_s if duration_s > 0 else inf), cap
    table_s = service.mean_by_size_s if servers == 1 else service.p95_by_size_s
    size = largest_useful_batch(table_s, latency_s, servers, cap)
    duration_s = service.mean_by_size_s[size]
    if duration_s <= 0.0:
        return inf, size
    utilization = _UTILIZATION_MAX - _LOSS_OF_ONE / servers
    return utilization * servers * size / duration_s, size


def replicas_for(
    service: ServiceTimes, latency_s: float, arrivals_per_s: float, most: int, slots: int = 1
) -> tuple[float, int]:
    """The fewest replicas that carry a rate, as a real number and as a batch size; at most `most`.

    The real number is what the last replica is used of: 4.6 means that five are needed and four are too few.

    Args:
        service: Service times.
        latency_s: The objective's latency, or infinity.
        arrivals_per_s: The rate to carry, >= 0 [1/s].
        most: Where to stop looking, >= 1.
        slots: Batches one replica runs at once, >= 1.
    """
    before_per_s, size = 0.0, 1
    for replicas in range(1, most + 1):
        per_s, size = sustainable_per_s(service, latency_s, replicas, slots)
        if per_s >= arrivals_per_s:
            share = (
                (arrivals_per_s - before_per_s) / (per_s - before_per_s) if per_s not in (before_per_s, inf) else 0.0
            )
            return replicas - 1 + min(max(share, 0.0), 1.0), size
        before_per_s = per_s
    return float(most), size

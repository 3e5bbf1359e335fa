"""Capacity arithmetic shared by batching, admission and scaling."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import ceil

from sojourn.estimate.service_time import ServiceTimeModel

_RETRY_AFTER_MAX_S = 60.0


def largest_useful_batch(p95_by_size_s: Sequence[float], latency_s: float, replicas: int, cap: int) -> int:
    """Largest batch size `b*` with which `replicas` staggered replicas hold `latency_s`, at least 1.

    With `n` staggered replicas the next one is free within `Q(b)/n`, so a request that just missed a
    batch still makes it if `Q(b) * (1 + 1/n) <= S`; one replica gives the known half-S rule.

    Args:
        p95_by_size_s: p95 of the service time by batch size, monotone; index 0 unused [s].
        latency_s: The objective's latency `S` [s].
        replicas: Ready replicas (batches that can run at once), >= 1.
        cap: Largest size to consider, in [1, len(p95_by_size_s) - 1].

    Source:
        Nexus (SOSP'19) for one replica; ALGORITHMS 2 for the staggered form.
    """
    bound_s = latency_s / (1.0 + 1.0 / max(replicas, 1))
    return max(bisect_right(p95_by_size_s, bound_s, 1, cap + 1) - 1, 1)


def largest_batch_within(duration_by_size_s: Sequence[float], budget_s: float, cap: int) -> int:
    """Largest batch size whose duration is at most `budget_s`; 0 if not even one item fits."""
    return bisect_right(duration_by_size_s, budget_s, 1, cap + 1) - 1


def needed_batch(
    alpha_s: float,
    beta_s: float,
    arrivals_per_s: float,
    replicas: int,
    cap: int,
    utilization: float = 0.85,
) -> int:
    """Smallest batch size `b_need` with which `replicas` carry `arrivals_per_s`, in [1, cap].

    At batch size `b` the load is `alpha*lam + beta*lam/b` busy replicas; only the second term can
    be saved by larger batches.

    Args:
        alpha_s: Time per item [s].
        beta_s: Time per batch [s].
        arrivals_per_s: Arrival rate `lam` [1/s].
        replicas: Ready replicas, >= 1.
        cap: Largest size to consider.
        utilization: Share of replica time to plan with, in (0, 1].
    """
    spare = utilization * replicas - alpha_s * arrivals_per_s
    if spare <= 0.0:
        return cap
    return min(max(ceil(beta_s * arrivals_per_s / spare), 1), cap)


def capacity_per_s(mean_by_size_s: Sequence[float], size: int, replicas: int) -> float:
    """Requests per second that `replicas` serve in batches of `size`; infinite while times are unknown."""
    duration_s = mean_by_size_s[size]
    return replicas * size / duration_s if duration_s > 0.0 else float("inf")


def drain_time_s(waiting: int, slots: int, model: ServiceTimeModel) -> float:
    """How long a queue needs, in whole seconds within [1, 60]: advice for Retry-After.

    Args:
        waiting: Requests queued.
        slots: Batches that can run at once.
        model: Learnt service times.
    """
    if not slots:
        return 1.0
    rate = capacity_per_s(model.mean_by_size_s, max(min(model.largest_seen, model.largest_batch), 1), slots)
    return min(max(ceil(waiting / rate), 1.0), _RETRY_AFTER_MAX_S)

"""How large batches of the newest are best, against plain sums over every size."""

from __future__ import annotations

from math import exp
from statistics import NormalDist

import pytest

from sojourn.estimate.batch_plan import BatchPlan, BusyReplicas

LATENCY_S = 0.1


def times_s(alpha_s: float, beta_s: float, largest: int = 64) -> list[float]:
    return [0.0, *(alpha_s * size + beta_s for size in range(1, largest + 1))]


def ratios(sigma: float) -> tuple[float, ...]:
    """Eight quantiles of lognormal noise with mean 1."""
    normal = NormalDist(-sigma * sigma / 2, sigma) if sigma else None
    return tuple(exp(normal.inv_cdf((place + 0.5) / 8)) if normal else 1.0 for place in range(8))


def goodput_per_s(size: int, mean_s: list[float], spread: tuple[float, ...], arrivals_per_s: float) -> float:
    """One member after the other: the i-th newest has waited a middle of its interval, and has a chance each."""
    in_time = 0.0
    for place in range(size * 100):
        waited_s = (place + 0.5) / 100 / arrivals_per_s
        in_time += sum(waited_s + ratio * mean_s[size] <= LATENCY_S for ratio in spread) / len(spread) / 100
    return in_time / mean_s[size]


def busy(alpha_s: float, beta_s: float, sigma: float, cap: int = 64) -> BusyReplicas:
    return BusyReplicas(times_s(alpha_s, beta_s), ratios(sigma), LATENCY_S, cap)


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.3])
@pytest.mark.parametrize(("alpha_s", "beta_s", "arrivals_per_s"), [(0.001, 0.02, 1200.0), (0.004, 0.008, 900.0)])
def test_it_is_the_best_of_all_sizes_within_a_step(alpha_s, beta_s, arrivals_per_s, sigma):
    """Within two per cent of the most that any size brings, and what it says it brings is what it brings."""
    replicas = busy(alpha_s, beta_s, sigma)
    mean_s, spread = replicas.mean_by_size_s, replicas.ratios
    most = max(goodput_per_s(size, mean_s, spread, arrivals_per_s) for size in range(1, 65))
    found = replicas.of_the_newest(arrivals_per_s)
    assert found.goodput_per_s == pytest.approx(goodput_per_s(found.size, mean_s, spread, arrivals_per_s), rel=0.005)
    assert found.goodput_per_s >= 0.98 * most


def test_more_arrivals_and_regular_times_allow_larger_batches():
    """20 ms + 1 ms x b: 20 + b + b / 1.2 <= 100 allows 43 at 1,200 a second, 6,000 more, noise fewer, the cap no more."""
    regular = busy(0.001, 0.02, 0.0).of_the_newest(1200.0).size
    assert 38 <= regular <= 43
    assert busy(0.001, 0.02, 0.0).of_the_newest(6000.0).size > regular
    assert busy(0.001, 0.02, 0.2).of_the_newest(1200.0).size < regular
    assert busy(0.001, 0.02, 0.0, cap=20).of_the_newest(1200.0).size == 20


@pytest.mark.parametrize(("replicas", "largest"), [(1, 30), (4, 60)])
def test_in_order_staggered_replicas_allow_what_the_stagger_leaves(replicas, largest):
    """20 ms + 1 ms x b with b (1 + 1 / n) <= 100 ms: 30 alone, 60 with four, and all in them are in time."""
    found = busy(0.001, 0.02, 0.0).in_order(replicas)
    assert found.size == pytest.approx(largest, abs=0.06 * largest)
    assert found.goodput_per_s == pytest.approx(largest / (0.02 + 0.001 * largest), rel=0.03)


@pytest.mark.parametrize("near", [1, 7, 30, 64, 500])
def test_where_it_looks_first_matters_little(near):
    """From any size the same goodput is found, within the step."""
    replicas = busy(0.001, 0.02, 0.2)
    from_one = replicas.of_the_newest(1200.0)
    assert replicas.of_the_newest(1200.0, near).goodput_per_s == pytest.approx(from_one.goodput_per_s, rel=0.02)


def test_nobody_is_in_time_where_one_alone_takes_too_long():
    """A batch of one in 150 ms: nothing to gain."""
    assert busy(0.0, 0.15, 0.0).of_the_newest(100.0, near=20) == BatchPlan(1, 0.0)

"""How large batches of the newest are best, against plain sums over every size."""

from __future__ import annotations

from math import exp
from statistics import NormalDist

import pytest

from sojourn.estimate.fresh_batch import FreshBatch, best_fresh_batch

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


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.3])
@pytest.mark.parametrize(("alpha_s", "beta_s", "arrivals_per_s"), [(0.001, 0.02, 1200.0), (0.004, 0.008, 900.0)])
def test_it_is_the_best_of_all_sizes_within_a_step(alpha_s, beta_s, arrivals_per_s, sigma):
    """Within two per cent of the most that any size brings, and what it says it brings is what it brings."""
    mean_s, spread = times_s(alpha_s, beta_s), ratios(sigma)
    most = max(goodput_per_s(size, mean_s, spread, arrivals_per_s) for size in range(1, 65))
    found = best_fresh_batch(mean_s, spread, LATENCY_S, arrivals_per_s, 64)
    assert found.goodput_per_s == pytest.approx(goodput_per_s(found.size, mean_s, spread, arrivals_per_s), rel=0.005)
    assert found.goodput_per_s >= 0.98 * most


def test_more_arrivals_and_regular_times_allow_larger_batches():
    """20 ms + 1 ms x b: 20 + b + b / 1.2 <= 100 allows 43 at 1,200 a second, 6,000 more, noise fewer, the cap no more."""
    mean_s = times_s(0.001, 0.02)
    regular = best_fresh_batch(mean_s, ratios(0.0), LATENCY_S, 1200.0, 64).size
    assert 38 <= regular <= 43
    assert best_fresh_batch(mean_s, ratios(0.0), LATENCY_S, 6000.0, 64).size > regular
    assert best_fresh_batch(mean_s, ratios(0.2), LATENCY_S, 1200.0, 64).size < regular
    assert best_fresh_batch(mean_s, ratios(0.0), LATENCY_S, 1200.0, 20).size == 20


@pytest.mark.parametrize("near", [1, 7, 30, 64, 500])
def test_where_it_looks_first_matters_little(near):
    """From any size the same goodput is found, within the step."""
    mean_s, spread = times_s(0.001, 0.02), ratios(0.2)
    from_one = best_fresh_batch(mean_s, spread, LATENCY_S, 1200.0, 64)
    found = best_fresh_batch(mean_s, spread, LATENCY_S, 1200.0, 64, near)
    assert found.goodput_per_s == pytest.approx(from_one.goodput_per_s, rel=0.02)


def test_nobody_is_in_time_where_one_alone_takes_too_long():
    """A batch of one in 150 ms: nothing to gain."""
    assert best_fresh_batch(times_s(0.0, 0.15), ratios(0.0), LATENCY_S, 100.0, 8).goodput_per_s == 0.0
    assert best_fresh_batch([0.0, 0.0], ratios(0.0), LATENCY_S, 100.0, 1) == FreshBatch(1, 0.0)

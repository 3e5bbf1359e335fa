"""How many replicas carry a rate, against cases worked out by hand."""

from __future__ import annotations

from math import inf

import pytest

from sojourn.domain.demand import ServiceTimes
from sojourn.estimate.fleet_size import replicas_for, sustainable_per_s


def times(alpha_s, beta_s, largest=32, spread=1.0, cap=None) -> ServiceTimes:
    """Exactly `alpha b + beta`, the p95 `spread` times that."""
    mean_s = (0.0, *(alpha_s * size + beta_s for size in range(1, largest + 1)))
    return ServiceTimes(1, mean_s, tuple(spread * value for value in mean_s), cap or largest, 1000)


FAST = times(0.0005, 0.005)  # 5 ms + 0.5 ms b
GPU = times(0.001, 0.020, largest=64)


@pytest.mark.parametrize(
    ("latency_s", "replicas", "size"),
    [
        # Q(b) (1 + 1/n) <= S, hence b <= (S / (1 + 1/n) - 20 ms) / 1 ms
        (0.1, 1, 30),  # 50 ms
        (0.1, 2, 46),  # 66.7 ms
        (0.1, 4, 60),  # 80 ms
        (0.1, 9, 64),  # 90 ms, but 64 is the largest
        (0.03, 1, 1),  # not even one fits: one it is
    ],
)
def test_more_replicas_allow_larger_batches(latency_s, replicas, size):
    """The staggered rule: n replicas in turn let a batch use nearly all of S, one only half of it."""
    per_s, used = sustainable_per_s(GPU, latency_s, replicas)
    assert used == size
    utilization = 0.98 - 0.03 / replicas
    assert per_s == pytest.approx(utilization * replicas * size / (0.001 * size + 0.020))


def test_the_example_of_the_step_benchmark():
    """5 ms + 0.5 ms b, b <= 8, S = 100 ms: a replica has 889/s, 0.95 of it alone; 1500/s need 1.9 of two."""
    fast = times(0.0005, 0.005, largest=8)
    assert sustainable_per_s(fast, 0.1, 1) == (pytest.approx(0.95 * 8 / 0.009), 8)
    need, size = replicas_for(fast, 0.1, 1500.0, 8)
    second_per_s = 0.965 * 2 * 8 / 0.009 - 0.95 * 8 / 0.009
    assert (need, size) == (pytest.approx(1 + (1500 - 0.95 * 8 / 0.009) / second_per_s), 8)


def test_slots_count_like_replicas():
    """Two replicas of three slots carry what six of one slot carry."""
    assert sustainable_per_s(GPU, 0.1, 2, slots=3) == sustainable_per_s(GPU, 0.1, 6)


def test_several_are_sized_by_the_p95_and_one_by_the_mean():
    """With p95 = 1.5 x mean, two replicas must leave room for slow batches: 1.5 (b + 20) <= 66.7 ms."""
    noisy = times(0.001, 0.020, largest=64, spread=1.5)
    assert sustainable_per_s(noisy, 0.1, 1)[1] == 30
    assert sustainable_per_s(noisy, 0.1, 2)[1] == 24


def test_batches_far_larger_than_any_tried_are_not_counted_on():
    """Twice the largest size that may be tried now is believed, not more."""
    assert sustainable_per_s(times(0.001, 0.020, largest=64, cap=10), 0.1, 2)[1] == 20


def test_without_an_objective_full_batches_at_85_percent():
    """Nothing bounds the batch but what may be tried."""
    assert sustainable_per_s(GPU, inf, 2) == (pytest.approx(0.85 * 2 * 64 / 0.084), 64)


def test_no_replicas_carry_nothing_and_times_of_nothing_carry_everything():
    """The edges."""
    assert sustainable_per_s(GPU, 0.1, 0) == (0.0, 0)
    assert sustainable_per_s(times(0.0, 0.0), 0.1, 1)[0] == inf
    assert replicas_for(times(0.0, 0.0), 0.1, 1e9, 4)[0] == 0.0


@pytest.mark.parametrize("per_s", [0.0, 1.0, 500.0, 2000.0, 10_000.0])
def test_the_number_is_the_least_that_carries_the_rate(per_s):
    """Rounded up it is enough, and one fewer is too few."""
    need, _ = replicas_for(FAST, 0.1, per_s, 100)
    count = -int(-need // 1)
    assert sustainable_per_s(FAST, 0.1, count)[0] >= per_s
    assert count == 0 or sustainable_per_s(FAST, 0.1, count - 1)[0] < per_s


def test_the_fraction_is_what_the_last_replica_is_used_of():
    """One replica of 1448/s that is to carry 1400/s is used to 97 %."""
    one_per_s = 0.95 * 32 / (0.0005 * 32 + 0.005)
    assert replicas_for(FAST, 0.1, 1400.0, 9)[0] == pytest.approx(1400 / one_per_s)


def test_what_cannot_be_carried_takes_all_there_is():
    """The search ends at the bound, also where no number would ever do."""
    assert replicas_for(GPU, 0.1, 1e9, 7)[0] == 7.0
    assert replicas_for(GPU, 0.001, 100.0, 2)[0] == 2.0

"""Capacity arithmetic, against worked examples."""

from __future__ import annotations

import pytest

from sojourn.estimate.capacity import (
    capacity_per_s,
    largest_batch_within,
    largest_useful_batch,
    needed_batch,
)

# 5 ms + 0.5 ms x b
TIMES_S = [0.0] + [0.005 + 0.0005 * b for b in range(1, 65)]


@pytest.mark.parametrize(
    ("latency_s", "replicas", "expected"),
    [
        (0.050, 1, 40),  # 2 Q(b) <= 50 ms: Q(40) = 25 ms
        (0.050, 4, 64),  # 1.25 Q(b) <= 50 ms: Q(64) = 37 ms, the cap
        (0.020, 4, 22),  # Q(22) = 16 ms
        (0.001, 1, 1),  # infeasible: still one at a time
    ],
)
def test_largest_useful_batch(latency_s, replicas, expected):
    """The staggered rule Q(b) (1 + 1/n) <= S, clipped to at least one and at most the cap."""
    assert largest_useful_batch(TIMES_S, latency_s, replicas, 64) == expected


def test_largest_batch_within_a_budget():
    """Exactly the budget still fits; less than one item's time fits nothing."""
    assert largest_batch_within([0.0, 1.0, 2.0, 3.0, 4.0], 3.0, 4) == 3
    assert largest_batch_within([0.0, 1.0, 2.0, 3.0, 4.0], 2.99, 4) == 2
    assert largest_batch_within([0.0, 1.0, 2.0, 3.0, 4.0], 9.0, 2) == 2
    assert largest_batch_within(TIMES_S, 0.0054, 64) == 0


@pytest.mark.parametrize(
    ("arrivals_per_s", "replicas", "expected"),
    [
        (10, 1, 1),  # ample: eager
        (1000, 1, 15),  # 5 / (0.85 - 0.5) = 14.3
        (1000, 4, 2),  # 5 / (3.4 - 0.5) = 1.7
        (2000, 1, 32),  # past saturation: as large as possible
    ],
)
def test_needed_batch(arrivals_per_s, replicas, expected):
    """The smallest batch with which the replicas keep up."""
    assert needed_batch(0.0005, 0.005, arrivals_per_s, replicas, 32) == expected


def test_capacity_of_full_batches():
    """32 in 21 ms are 1,523 a second; while times are unknown capacity is not bounded."""
    assert capacity_per_s(TIMES_S, 32, 1) == pytest.approx(1523.8, abs=0.1)
    assert capacity_per_s([0.0] * 33, 32, 1) == float("inf")

"""Exact random counts."""

import math
from collections import Counter
from random import Random

import pytest

from sojourn.workload.draws import binomial, poisson_count, shared_out


def moments(values):
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / len(values)


@pytest.mark.parametrize(
    ("tries", "chance"), [(10, 0.3), (10, 0.9), (500, 0.02), (1000, 0.4), (1000, 0.97), (10**6, 0.25)]
)
def test_binomial_counts_have_mean_and_variance(tries, chance):
    """By few successes, by few failures, and by halving."""
    rng = Random(1)
    mean, variance = moments([binomial(tries, chance, rng) for _ in range(8000)])
    assert mean == pytest.approx(tries * chance, abs=4 * math.sqrt(tries * chance * (1 - chance) / 8000))
    assert variance == pytest.approx(tries * chance * (1 - chance), rel=0.08)


def test_binomial_counts_have_the_distribution_not_only_its_moments():
    """Each value of 60 tries at 0.5 (which is halved) comes as often as its probability says."""
    rng, draws = Random(2), 40_000
    seen = Counter(binomial(60, 0.5, rng) for _ in range(draws))
    for value in range(20, 41):
        expected = draws * math.comb(60, value) / 2**60
        assert abs(seen[value] - expected) < 5 * math.sqrt(expected) + 1


def test_halving_counts_each_try_once():
    """The least number of tries that is halved, often: one try too many would be six standard errors."""
    rng = Random(5)
    mean = sum(binomial(50, 0.5, rng) for _ in range(100_000)) / 100_000
    assert mean == pytest.approx(25, abs=4 * math.sqrt(12.5 / 100_000))


@pytest.mark.parametrize("mean", [0.0, 0.4, 12.0, 80.0, 5000.0])
def test_poisson_counts_have_mean_and_variance(mean):
    """By multiplication, and by the instant of a later arrival."""
    rng = Random(3)
    found, variance = moments([poisson_count(mean, rng) for _ in range(8000)])
    assert found == pytest.approx(mean, abs=4 * math.sqrt(mean / 8000))
    assert variance == pytest.approx(mean, rel=0.08)


def test_certain_and_impossible_tries():
    """Nothing is drawn where nothing is open."""
    assert [binomial(7, 0.0, Random(1)), binomial(7, 1.0, Random(1)), binomial(0, 0.5, Random(1))] == [0, 7, 0]


def test_what_is_shared_out_adds_up():
    """Parts have their shares, and nothing is lost."""
    rng = Random(4)
    parts = [shared_out(1000, [0.2, 0.0, 0.5, 0.3], rng) for _ in range(200)]
    assert all(sum(part) == 1000 and part[1] == 0 for part in parts)
    assert sum(part[2] for part in parts) / 200 == pytest.approx(500, abs=5)

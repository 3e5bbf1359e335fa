"""Sizes of requests: means and burstiness against the formulas, bounds, refusal of bad values."""

import math
from itertools import islice
from random import Random

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload import sizes


def figures(stream, count=200_000):
    """Mean and squared coefficient of variation, least and greatest."""
    values = list(islice(stream, count))
    mean = sum(values) / count
    return mean, sum((value - mean) ** 2 for value in values) / count / mean**2, min(values), max(values)


@pytest.mark.parametrize("shape", [0.9, 1.0, 1.5, 2.0, 3.0])
def test_pareto_sizes_have_the_formulas_mean_and_burstiness(shape):
    """Also where a moment's formula has a pole (shapes 1 and 2)."""
    tail = {"shape": shape, "smallest": 2.0, "largest": 200.0}
    mean, varied, least, greatest = figures(sizes.pareto_sizes(Random(1), **tail))
    assert mean == pytest.approx(sizes.mean_of_pareto(**tail), rel=0.02)
    assert varied == pytest.approx(sizes.burstiness_of_pareto(**tail), rel=0.1)
    assert least >= 2
    assert greatest <= 200


@pytest.mark.parametrize("bounds", [{}, {"smallest": 5.0, "largest": 80.0}, {"largest": 10.0}])
def test_lognormal_sizes_have_the_formulas_mean_and_burstiness(bounds):
    """With no bounds, with two, and with one that cuts off half."""
    body = {"median": 10.0, "sigma": 0.8, **bounds}
    mean, varied, least, greatest = figures(sizes.lognormal_sizes(Random(2), **body))
    assert mean == pytest.approx(sizes.mean_of_lognormal(**body), rel=0.02)
    assert varied == pytest.approx(sizes.burstiness_of_lognormal(**body), rel=0.1)
    assert bounds.get("smallest", 0) <= least
    assert greatest <= bounds.get("largest", math.inf)


def test_unbounded_lognormal_burstiness_is_the_textbooks():
    """exp(sigma^2) - 1."""
    assert sizes.burstiness_of_lognormal(sigma=0.5) == pytest.approx(math.expm1(0.25))
    assert sizes.mean_of_lognormal(median=3, sigma=0.5) == pytest.approx(3 * math.exp(0.125))


def test_equal_sizes_and_seeds():
    """All alike; and the same seed gives the same sizes."""
    assert list(islice(sizes.equal_sizes(3.0), 3)) == [3.0, 3.0, 3.0]
    for make in (sizes.pareto_sizes, sizes.lognormal_sizes):
        assert list(islice(make(Random(3)), 50)) == list(islice(make(Random(3)), 50))
        assert list(islice(make(Random(3)), 50)) != list(islice(make(Random(4)), 50))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda rng: sizes.equal_sizes(0), "size"),
        (lambda rng: sizes.pareto_sizes(rng, shape=0), "shape"),
        (lambda rng: sizes.pareto_sizes(rng, smallest=5, largest=5), "largest"),
        (lambda rng: sizes.pareto_sizes(rng, largest=math.inf), "largest"),
        (lambda rng: sizes.lognormal_sizes(rng, median=0, sigma=-1), r"median.*sigma"),
        (lambda rng: sizes.lognormal_sizes(rng, median=1, sigma=0.1, smallest=1e6), "bounds"),
    ],
)
def test_bad_values_are_refused_at_once(make, what):
    """The call raises, not the first size."""
    with pytest.raises(ConfigurationError, match=what):
        make(Random(1))

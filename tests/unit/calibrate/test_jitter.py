"""What is told of the scatter of times."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.calibrate.jitter import Ratio, autocorrelation, drift, quantiles, sigma


def ratios(values, group=1):
    """One ratio per second."""
    return [Ratio(group, float(at), value) for at, value in enumerate(values)]


def test_sigma_of_lognormal_noise_is_found_again():
    """Ten thousand samples tell it to a few percent."""
    rng = random.Random(1)
    found = sigma(ratios([rng.lognormvariate(0.0, 0.2) for _ in range(10_000)]))
    assert found == pytest.approx(0.2, rel=0.03)


def test_each_group_counts_the_same_however_many_samples_it_has():
    """The size that was measured most often does not decide alone."""
    many, few = [Ratio(1, 0.0, 1.0)] * 1000, [Ratio(2, 0.0, 4.0)] * 10
    assert sigma(many + few) == pytest.approx(math.log(2.0))
    spread = quantiles(many + few, 101)
    assert spread[49] == 1.0
    assert spread[51] == 4.0


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=300))
def test_quantiles_are_those_of_the_sorted_values(values):
    """Of one group: in order, from the least to the greatest, each the plain quantile."""
    found = quantiles(ratios(values), 101)
    ordered = sorted(values)
    assert found == sorted(found)
    assert (found[0], found[-1]) == (ordered[0], ordered[-1])
    for percent in (50, 95):
        rank = max(math.ceil(percent / 100 * len(ordered) - 1e-6), 1)
        assert found[percent] == ordered[rank - 1]


def test_autocorrelation_tells_noise_from_waves():
    """Independent noise has next to none; what alternates has -1 at lag one and +1 at lag two."""
    rng = random.Random(2)
    noise = autocorrelation(ratios([rng.lognormvariate(0.0, 0.1) for _ in range(2000)]))
    assert len(noise) == 10
    assert all(abs(value) < 0.08 for value in noise)
    waves = autocorrelation(ratios([0.9, 1.1] * 500))
    assert waves[0] == pytest.approx(-1.0, abs=0.01)
    assert waves[1] == pytest.approx(1.0, abs=0.01)


def test_too_few_or_equal_values_have_no_correlation():
    """There is nothing to divide by, and nothing to be told from three samples."""
    assert autocorrelation(ratios([1.0, 1.1, 1.2])) == []
    assert autocorrelation(ratios([1.0] * 8)) == [0.0, 0.0]


def test_drift_is_the_change_from_beginning_to_end():
    """A machine that slows down by a fifth meanwhile; and one that does not."""
    slower = ratios([1.2 ** (at / 99) for at in range(100)])
    assert drift(slower) == pytest.approx(0.2)
    assert drift(ratios([1.0] * 10)) == 0.0
    assert drift([Ratio(1, 5.0, 1.3)]) == 0.0

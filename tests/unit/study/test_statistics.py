"""Student's intervals against published tables, and verdicts only where there is evidence."""

from random import Random

import pytest

from sojourn.study.statistics import (
    MeanInterval,
    confidence_of_each,
    incomplete_beta,
    mean_interval,
    paired_difference,
    student_quantile,
)


@pytest.mark.parametrize(
    ("share", "degrees", "expected"),
    [
        (0.975, 1, 12.7062047),
        (0.975, 2, 4.30265273),
        (0.975, 4, 2.77644511),
        (0.95, 9, 1.83311293),
        (0.995, 29, 2.75638590),
        (0.9995, 3, 12.9239786),
        (0.975, 1000, 1.96233908),
        (0.5, 7, 0.0),
    ],
)
def test_quantiles_are_those_of_the_tables(share, degrees, expected):
    """Student's t as printed in statistical tables."""
    assert student_quantile(share, degrees) == pytest.approx(expected, rel=1e-7)


def test_incomplete_beta_has_its_closed_forms():
    """I_x(1, b) = 1 - (1 - x)^b and I_x(a, 1) = x^a, also where symmetry is used."""
    for x in (0.0, 0.01, 0.3, 0.77, 0.999, 1.0):
        assert incomplete_beta(1.0, 2.5, x) == pytest.approx(1 - (1 - x) ** 2.5, abs=1e-12)
        assert incomplete_beta(3.5, 1.0, x) == pytest.approx(x**3.5, abs=1e-12)


def test_an_interval_of_a_worked_example():
    """Five values: mean 3, standard deviation sqrt(2.5), t(4) = 2.776."""
    interval = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.mean == 3.0
    assert interval.half_width == pytest.approx(2.77644511 * (2.5 / 5) ** 0.5)


def test_one_value_has_no_interval_and_decides_nothing():
    """A single seed says nothing of the spread, so nothing is above, below or apart."""
    one = mean_interval([0.7])
    assert (one.low, one.high) == (None, None)
    assert not one.is_above(0.0)
    assert not one.is_below(1.0)
    assert not one.is_apart_from(MeanInterval(5.0, 5.0, 5.0, 3))


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Of 2,000 intervals of 95 %, each from five normal values, about 95 % hold the true mean."""
    rng = Random(7)
    held = 0
    for _ in range(2000):
        interval = mean_interval([rng.gauss(10.0, 3.0) for _ in range(5)])
        held += interval.low <= 10.0 <= interval.high
    assert 0.935 < held / 2000 < 0.965


def test_pairs_see_what_single_intervals_do_not():
    """A small difference under large common chance: intervals overlap, the paired difference excludes zero."""
    rng = Random(3)
    common = [rng.gauss(0.0, 10.0) for _ in range(6)]
    first = [value + 1.0 + rng.gauss(0.0, 0.1) for value in common]
    assert not mean_interval(first).is_apart_from(mean_interval(common))
    assert paired_difference(first, common).is_above(0.0)


def test_many_comparisons_need_more_confidence_each():
    """Five comparisons at 95 % together: 99 % each; a wider interval than one alone."""
    assert confidence_of_each(5) == pytest.approx(0.99)
    assert mean_interval([1.0, 2.0, 3.0], 0.99).half_width > mean_interval([1.0, 2.0, 3.0]).half_width


def test_what_cannot_be_is_cut_off():
    """A share is not above one, whatever the interval says."""
    assert MeanInterval(0.99, 0.97, 1.01, 4).clipped(0.0, 1.0) == MeanInterval(0.99, 0.97, 1.0, 4)

"""Figures of series, against their definitions."""

import pytest

from sojourn.workload.statistics import (
    autocorrelation,
    autocorrelations,
    burstiness,
    dispersion,
    gaps_of,
    mean_of,
    median_of,
)


def test_autocorrelation_is_the_textbooks():
    """Of 1, 2, 3, 4 at lag 1: 0.25, by hand."""
    assert autocorrelation([1, 2, 3, 4], 1) == pytest.approx(0.25)
    assert autocorrelation([1, -1] * 50, 1) == pytest.approx(-0.99)
    assert autocorrelation([1, -1] * 50, 2) == pytest.approx(0.98)


def test_what_cannot_be_told_is_none():
    """Too short a series for the lag, or one that never changes."""
    assert autocorrelations([1, 2, 1, 2, 1], [1, 3, 4, 9]) == [
        pytest.approx(-0.8),
        pytest.approx(-0.4),
        None,
        None,
    ]
    assert autocorrelations([3, 3, 3, 3], [1, 2]) == [None, None]
    assert autocorrelation([], 1) is None


def test_dispersion_and_burstiness_by_hand():
    """Counts 0 and 2: variance over mean is 1. Gaps 1 and 3: variance 1 over squared mean 4."""
    assert dispersion([0, 2, 0, 2]) == 1
    assert burstiness([0, 1, 4]) == 0.25
    assert dispersion([5]) is dispersion([0, 0]) is burstiness([1, 2]) is burstiness([1, 1, 1]) is None


def test_plain_figures():
    """Mean, lower median, gaps."""
    assert [mean_of([1, 2, 6]), mean_of([]), median_of([3, 1, 2]), median_of([4, 1, 2, 3])] == [3, 0, 2, 2]
    assert gaps_of([1, 4, 6]) == [3, 2]

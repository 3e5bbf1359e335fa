"""The log histogram: its quantiles against a sort, merging, and what lies outside its range."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.slo.histogram import LARGEST, RELATIVE_ERROR_MAX, SMALLEST, LogHistogram

VALUES = st.lists(st.floats(SMALLEST * 1.1, LARGEST), min_size=1, max_size=300)


def filled(values):
    """A histogram that saw these values."""
    histogram = LogHistogram()
    for value in values:
        histogram.observe(value)
    return histogram


def test_promised_error_is_at_most_1_083_percent():
    """The bound that the documentation states follows from the base."""
    assert 0.0108 < RELATIVE_ERROR_MAX < 0.010831


@given(VALUES, st.floats(0, 1))
def test_quantile_is_within_the_promised_error_of_a_sort(values, p):
    """Whatever the values and the share, a sort gives the same answer up to the promised error."""
    exact = sorted(values)[max(1, ceil(p * len(values))) - 1]
    estimate = filled(values).quantile(p)
    assert abs(estimate - exact) <= exact * RELATIVE_ERROR_MAX * (1 + 1e-9)


@given(VALUES, VALUES, st.floats(0, 1))
def test_merged_histograms_answer_as_one_that_saw_everything(left, right, p):
    """Merging loses nothing and leaves the other one as it was."""
    merged, other = filled(left), filled(right)
    merged.merge(other)
    assert merged.quantile(p) == filled(left + right).quantile(p)
    assert merged.count == len(left) + len(right)
    assert other.count == len(right)


def test_values_outside_the_range_are_counted_at_its_ends():
    """Zero, negative, huge and non-numbers do not raise and are not lost."""
    histogram = filled([0.0, -1.0, float("nan"), float("inf"), 1e300])
    assert histogram.count == 5
    assert histogram.quantile(0) == pytest.approx(SMALLEST, rel=0.03)
    assert histogram.quantile(1) == pytest.approx(LARGEST, rel=0.03)


def test_no_values_no_quantile():
    """An empty histogram says None, also after it was cleared."""
    histogram = filled([1.0])
    histogram.clear()
    assert histogram.quantile(0.5) is None


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_share_outside_0_to_1_is_refused(p):
    """A percentile given as 99 instead of 0.99 is an error, not an answer."""
    with pytest.raises(ValueError, match="share"):
        filled([1.0]).quantile(p)

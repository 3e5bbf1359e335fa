"""Lines through the times of batches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.calibrate.line import Point, fitted_line, steady_mean

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


@given(
    alpha_s=st.floats(1e-6, 10.0),
    beta_s=st.floats(0.0, 10.0),
    sizes=st.lists(st.integers(1, 4096), min_size=2, max_size=20, unique=True),
)
def test_points_on_a_line_give_that_line(alpha_s, beta_s, sizes):
    """Whatever the sizes, slope and offset come back, and the line explains everything."""
    line = fitted_line([Point(size, alpha_s * size + beta_s) for size in sizes])
    for size in sizes:
        assert line.at(size) == pytest.approx(alpha_s * size + beta_s, rel=1e-6)
    assert line.alpha_s >= 0.0
    assert line.beta_s >= 0.0
    assert line.r2 == pytest.approx(1.0, abs=1e-6)


@given(st.lists(st.tuples(st.integers(1, 4096), st.floats(0.0, 1e3)), min_size=1, max_size=20))
def test_no_line_falls_or_lies_below_zero(pairs):
    """A batch never takes less than nothing, and a larger one never less than a smaller one."""
    line = fitted_line([Point(*pair) for pair in pairs])
    assert line.alpha_s >= 0.0
    assert line.beta_s >= 0.0
    assert line.r2 is None or line.r2 <= 1.0 + 1e-9


def test_falling_times_give_a_flat_line_and_steep_ones_one_through_zero():
    """At the edges the best line that is allowed is taken, not the free one cut off."""
    assert fitted_line([Point(1, 3.0), Point(2, 2.0), Point(4, 1.0)]).alpha_s == 0.0
    steep = fitted_line([Point(1, 0.5), Point(2, 2.0), Point(4, 6.0)])
    assert steep.beta_s == 0.0
    # By hand, with weights 1 / mean^2: sum(b / y) / sum(b^2 / y^2).
    assert steep.alpha_s == pytest.approx((2.0 + 1.0 + 4 / 6) / (4.0 + 1.0 + 16 / 36))


def test_a_single_size_is_told_to_be_per_batch():
    """Nothing is known of a slope then, and nothing is claimed."""
    line = fitted_line([Point(1, 0.02)])
    assert (line.alpha_s, line.beta_s, line.r2) == (0.0, 0.02, None)


def test_errors_count_relative_to_the_time_so_that_small_batches_have_a_say():
    """The largest batch, 5 % off, does not move the line away from where the small ones lie."""
    points = [Point(size, 0.005 + 0.001 * size) for size in SIZES[:-1]]
    line = fitted_line([*points, Point(32, (0.005 + 0.032) * 1.05)])
    assert line.at(1) == pytest.approx(0.006, rel=0.02)


def test_r2_falls_where_the_line_does_not_fit():
    """A step is no line."""
    stepped = fitted_line([Point(size, 0.01 if size < 8 else 0.04) for size in SIZES])
    assert stepped.r2 < 0.9


def test_a_stall_counts_for_no_more_than_three_times_the_median():
    """One batch hit by a stall of the machine does not raise the mean of its size without bound."""
    assert steady_mean([0.01] * 9 + [5.0]) == pytest.approx(0.012)
    assert steady_mean([0.01, 0.02, 0.03]) == pytest.approx(0.02)

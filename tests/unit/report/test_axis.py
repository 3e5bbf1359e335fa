"""Axes and number texts."""

from itertools import pairwise

import pytest

from sojourn.report.axis import Axis, duration_text, number_text, round_top, share_text
from sojourn.report.series import round_step


@pytest.mark.parametrize(
    ("least", "step"), [(1, 1), (1.01, 2), (0.03, 0.05), (0.06, 0.1), (7, 10), (20, 20), (1e-6, 1e-6), (0.3, 0.5)]
)
def test_steps_are_one_two_or_five(least, step):
    """The next round number upwards, at any magnitude."""
    assert round_step(least) == pytest.approx(step)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.07), (0, 40), (3, 17), (0, 123_456), (0, 2e-5)])
def test_ticks_are_round_inside_and_few(low, high):
    """Between one and about the number asked for, evenly spaced, ends included when round."""
    ticks = Axis(low, high, 0, 100).ticks(6)
    assert 2 <= len(ticks) <= 7
    assert low <= ticks[0] <= ticks[-1] <= high * (1 + 1e-9)
    gaps = {round((later - earlier) / (ticks[1] - ticks[0]), 6) for earlier, later in pairwise(ticks)}
    assert gaps == {1.0}


def test_pixels_follow_values_and_stop_at_the_ends():
    """An upward axis has its high end at the smaller pixel; values outside stay in the picture."""
    axis = Axis(0, 10, 220, 20)
    assert [axis.px(value) for value in (0, 5, 10, 99, -1)] == [220, 120, 20, 20, 220]


@pytest.mark.parametrize(("value", "top"), [(0.052, 0.06), (100, 100), (101, 120), (0.001, 0.001)])
def test_tops_are_round(value, top):
    """No more than a step above the value."""
    assert round_top(value, 6) == pytest.approx(top)


@pytest.mark.parametrize(
    ("value_s", "text"),
    [(None, "n/a"), (0.0, "0 ms"), (0.0000521, "52.1 µs"), (0.05, "50 ms"), (1.234, "1.23 s"), (float("nan"), "n/a")],
)
def test_durations_have_the_unit_that_suits_them(value_s, text):
    """Three digits and a unit."""
    assert duration_text(value_s) == text


def test_an_axis_keeps_one_unit():
    """Ticks of an axis up to two seconds are all in seconds."""
    assert [duration_text(value_s, 2.0) for value_s in (0, 0.5, 2)] == ["0 s", "0.5 s", "2 s"]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "n/a"),
        (0, "0 %"),
        (1, "100 %"),
        (0.5, "50.0 %"),
        (0.001, "0.1 %"),
        (0.00042, "0.04 %"),
        (1e-5, "0.001 %"),
        (1e-9, "under 0.001 %"),
        (0.9899, "98.9 %"),
        (0.99, "99.00 %"),
        (0.99999, "99.999 %"),
        (0.9999999, "99.999 %"),
        (0.9997, "99.970 %"),
        (1 - 1e-15, "99.999 %"),
    ],
)
def test_shares_never_round_to_all_or_nothing(share, text):
    """A missed objective never reads as met because of rounding, and a few misses never read as none."""
    assert share_text(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12, "12"), (0.25, "0.25"), (1234.5, "1,234"), (1e6, "1,000,000")]
)
def test_numbers_are_short(value, text):
    """Thousands apart, no needless digits."""
    assert number_text(value) == text

"""The upper edge of traffic: what is more than chance, in windows up to twice a start."""

from __future__ import annotations

from math import sqrt

import pytest

from sojourn.domain.demand import DemandReport
from sojourn.estimate.demand import DemandHistory
from sojourn.estimate.envelope import envelope

STEP_S = 0.05


def traffic(*pieces) -> tuple[DemandHistory, float]:
    """Even arrivals of (rate, seconds) one after the other; the history and its end."""
    made, now_s, arrivals = DemandHistory(), 0.0, 0.0
    made.add(DemandReport(function="f"), 0.0)
    for per_s, seconds in pieces:
        for _ in range(round(seconds / STEP_S)):
            now_s += STEP_S
            arrivals += per_s * STEP_S
            made.add(DemandReport(function="f", arrivals=round(arrivals)), now_s)
    return made, now_s


def test_steady_traffic_is_its_mean():
    """Short windows lie below it, for what they have more than it could be chance."""
    seen = envelope(*traffic((100, 30)), cold_start_s=5.0)
    assert (seen.per_s, seen.window_s) == (pytest.approx(100, rel=0.02), 10.0)


@pytest.mark.parametrize(("age_s", "window_s"), [(0.5, 0.5), (1.0, 1.0), (2.0, 2.0), (5.0, 5.0)])
def test_a_step_is_seen_by_the_window_it_has_just_filled(age_s, window_s):
    """From 10 to 1000/s: its count less the chance of it, over its length."""
    seen = envelope(*traffic((10, 30), (1000, age_s)), cold_start_s=5.0)
    count, chance = 1000 * age_s, 3.0 if window_s == 0.5 else 2.0
    assert seen.window_s == window_s
    assert seen.per_s == pytest.approx((count - chance * sqrt(count)) / window_s, rel=0.02)


@pytest.mark.parametrize(("cold_start_s", "longest_s"), [(0.0, 2.0), (1.0, 2.0), (2.4, 2.0), (2.5, 5.0), (5.0, 10.0)])
def test_windows_reach_twice_a_start_and_at_least_two_seconds(cold_start_s, longest_s):
    """A burst that has been over for a second is remembered by the windows that still hold it, and no others."""
    burst = traffic((0, 30), (1000, 1.0), (0, 1.0))
    seen = envelope(*burst, cold_start_s=cold_start_s)
    assert seen.window_s == 2.0
    later = traffic((0, 30), (1000, 1.0), (0, 3.5))
    longer = envelope(*later, cold_start_s=cold_start_s)
    assert longer.window_s == (5.0 if longest_s >= 5.0 else 10.0)


def test_a_few_arrivals_at_once_are_chance():
    """Four in half a second after a long nothing: two standard deviations of four are four."""
    seen = envelope(*traffic((0, 30), (8, 0.5)), cold_start_s=1.0)
    assert (seen.per_s, seen.window_s) == (pytest.approx(0.4, abs=0.11), 10.0)


def test_in_its_first_seconds_the_mean_is_over_what_there_is():
    """Two seconds of data are told as two seconds, not as ten."""
    seen = envelope(*traffic((50, 2)), cold_start_s=0.0)
    assert (seen.per_s, seen.window_s) == (pytest.approx(50, rel=0.02), pytest.approx(2.0))

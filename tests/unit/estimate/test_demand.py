"""Counts in windows, from growing counters."""

from __future__ import annotations

from math import inf

import pytest

from sojourn.domain.demand import DemandReport
from sojourn.estimate.demand import DemandHistory


def history(*points, is_quiet=False, **fields) -> DemandHistory:
    """Reports of (instant, arrivals so far); the last one quiet or not."""
    made = DemandHistory()
    for index, (at_s, arrivals) in enumerate(points):
        last = is_quiet and index == len(points) - 1
        made.add(DemandReport(function="f", arrivals=arrivals, is_quiet=last, **fields), at_s)
    return made


def test_a_window_counts_the_growth_in_it():
    """Ten a second for ten seconds: ten in one, fifty in five."""
    made = history(*((at_s / 4, at_s * 10 // 4) for at_s in range(41)))
    assert made.arrivals(10.0, 1.0) == pytest.approx(10, abs=1)
    assert made.arrivals(10.0, 5.0) == pytest.approx(50, abs=1)
    assert made.arrivals_per_s(10.0, 5.0) == pytest.approx(10, rel=0.05)


def test_between_two_reports_arrivals_are_taken_to_be_evenly_spread():
    """A window that begins in the middle of a period takes half of its count."""
    made = history((0.0, 0), (1.0, 100), (2.0, 300))
    assert made.arrivals(2.0, 1.5) == pytest.approx(250)
    assert made.arrivals(2.25, 0.75) == pytest.approx(100)


def test_what_was_before_the_first_report_is_not_counted():
    """A counter that begins at a thousand is no burst of a thousand."""
    made = history((50.0, 1000), (50.25, 1010))
    assert made.arrivals(50.25, 10.0) == 10
    assert made.arrivals_per_s(50.25, 10.0) == pytest.approx(40)
    assert made.covered_s(50.25, 10.0) == pytest.approx(0.25)


def test_before_any_report_there_is_no_data_rather_than_zero():
    """Nothing is known: infinitely old."""
    made = DemandHistory()
    assert made.age_s(3.0) == inf
    assert (made.arrivals(3.0, 1.0), made.arrivals_per_s(3.0, 1.0), made.mean_in_flight(3.0, 1.0)) == (0, 0, 0)
    assert made.first_at_s is None


def test_a_quiet_functions_data_never_ages_but_a_silent_ones_does():
    """Silence was announced by the one and is a fault of the other."""
    assert history((0.0, 0), (5.0, 9), is_quiet=True).age_s(500.0) == 0.0
    assert history((0.0, 0), (5.0, 9)).age_s(500.0) == 495.0
    assert history((0.0, 0), (5.0, 9), is_quiet=True).arrivals(500.0, 60.0) == 0


def test_time_averages_weigh_each_gauge_by_its_time():
    """Two in flight for 3 s, then six for 1 s: three on average; over the last second six."""
    made = DemandHistory()
    for at_s, ongoing in ((10.0, 2), (13.0, 6)):
        made.add(DemandReport(function="f", ongoing=ongoing, replicas=ongoing // 2), at_s)
    assert made.mean_in_flight(14.0, 4.0) == pytest.approx(3.0)
    assert made.mean_in_flight(14.0, 60.0) == pytest.approx(3.0)
    assert made.mean_in_flight(14.0, 1.0) == pytest.approx(6.0)
    assert made.mean_replicas(14.0, 4.0) == pytest.approx(1.5)


def test_served_and_busy_time_are_windowed_as_well():
    """The last half of a steady growth is half of it."""
    made = DemandHistory()
    for at_s in range(11):
        made.add(DemandReport(function="f", served=at_s * 4, busy_s=at_s * 0.5), float(at_s))
    assert made.served(10.0, 5.0) == 20
    assert made.busy_s(10.0, 5.0) == pytest.approx(2.5)


def test_an_hour_of_reports_is_bounded_and_old_windows_stay_right():
    """Thinned to one a second past 15 s and to ten minutes in all; a minute's count is still exact to a second's."""
    made = DemandHistory()
    for quarter in range(4 * 3600):
        made.add(DemandReport(function="f", arrivals=quarter * 5), quarter / 4)
    assert len(made._points) < 800
    now_s = 3600 - 0.25
    for window_s in (0.5, 10, 60, 500):
        assert made.arrivals(now_s, window_s) == pytest.approx(20 * window_s, abs=1)

"""Curves of rates: means, the curve itself, and burstiness against the formulas."""

import math
from random import Random

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.recorded import Instants
from sojourn.workload.shapes import (
    burstiness_of_diurnal,
    burstiness_of_flash_crowd,
    burstiness_of_ramp,
    diurnal,
    flash_crowd,
    ramp,
    thinned,
)
from sojourn.workload.statistics import burstiness


def near(count, expected):
    """Within four standard deviations of a Poisson count."""
    return abs(count - expected) <= 4 * math.sqrt(expected) + 1


@pytest.mark.parametrize(("duration_s", "first_day"), [(700, 1), (130, 1), (330, 5), (1000, 7), (40, 3)])
def test_a_diurnal_run_has_the_mean_rate_whatever_part_of_the_week_it_covers(duration_s, first_day):
    """Also a part of a day, and a run across two weekends."""
    rhythm = {"swing": 0.9, "weekend": 0.3, "period_s": 100, "peak_at": 0.6, "first_day": first_day}
    assert near(len(list(diurnal(100, duration_s, Random(2), **rhythm))), 100 * duration_s)


def test_days_peak_where_told_and_weekends_are_calmer():
    """Hour by hour the counts follow the cosine; days six and seven have the weekend's share."""
    times_s = list(diurnal(2000, 70, Random(4), swing=0.8, weekend=0.5, period_s=10, peak_at=0.25))
    days = Instants(times_s).binned(10.0, 7)
    base = 2000 * 7 / 6 * 10
    assert [near(count, base * (1.0 if day < 5 else 0.5)) for day, count in enumerate(days)] == [True] * 7
    hours = Instants(times_s).binned(1.0, 70)
    for hour in range(10):
        start, end = (2 * math.pi * (place / 10 - 0.25) for place in (hour, hour + 1))
        level = 1 + 0.8 * (math.sin(end) - math.sin(start)) / (end - start)
        assert near(sum(hours[day * 10 + hour] for day in range(5)), 5 * base / 10 * level)


def test_a_week_may_begin_on_any_day():
    """First day 6: two calm days, five busy ones."""
    days = Instants(list(diurnal(500, 70, Random(4), weekend=0.2, period_s=10, first_day=6))).binned(10.0, 7)
    assert [count < 3000 for count in days] == [True, True, False, False, False, False, False]


@pytest.mark.parametrize(("swing", "weekend"), [(0.0, 1.0), (0.8, 1.0), (0.6, 0.4), (0.95, 0.7)])
def test_diurnal_burstiness_is_that_of_the_formula(swing, weekend):
    """Two weeks with a hundred thousand requests."""
    times_s = list(diurnal(150, 700, Random(6), swing=swing, weekend=weekend, period_s=50))
    assert burstiness(times_s) == pytest.approx(burstiness_of_diurnal(swing=swing, weekend=weekend), rel=0.05)


@pytest.mark.parametrize("crowd", [{}, {"peak": 40.0, "at_s": 10.0, "decay_s": 3.0}, {"at_s": 0.0, "decay_s": 500.0}])
def test_a_flash_crowd_has_the_mean_rate_and_the_formulas_burstiness(crowd):
    """By default, with a sharp crowd, and with one that the whole run is too short for."""
    times_s = list(flash_crowd(3000, 100, Random(8), **crowd))
    assert near(len(times_s), 300_000)
    assert burstiness(times_s) == pytest.approx(burstiness_of_flash_crowd(100, **crowd), rel=0.03)


def test_a_crowd_comes_and_goes_as_told():
    """Before it the base rate, right after it the peak, one decay later 1 + 9/e of the base."""
    times_s = list(flash_crowd(1000, 100, Random(8), peak=10, at_s=50, decay_s=10))
    seconds = Instants(times_s).binned(1.0, 100)
    base = sum(seconds[:50]) / 50
    assert base == pytest.approx(1000 * 100 / (100 + 9 * 10 * (1 - math.exp(-5))), rel=0.03)
    assert seconds[50] / base == pytest.approx(1 + 9 * 10 * (1 - math.exp(-0.1)), rel=0.05)
    assert seconds[60] / base == pytest.approx(1 + 9 * 10 * (math.exp(-1) - math.exp(-1.1)), rel=0.08)


@pytest.mark.parametrize(("start", "end"), [(100, 2000), (2000, 100), (500, 500)])
def test_a_ramp_is_straight_up_or_down(start, end):
    """Each tenth has its own mean, and burstiness is that of the formula."""
    times_s = list(ramp(start, end, 100, Random(9)))
    tenths = Instants(times_s).binned(10.0, 10)
    for place, count in enumerate(tenths):
        assert near(count, 10 * (start + (end - start) * (place + 0.5) / 10))
    assert burstiness(times_s) == pytest.approx(burstiness_of_ramp(start, end), rel=0.05)


def test_what_falls_silent_is_bursty_without_bound():
    """A trough, a weekend or an end with no requests; and no requests at all are no fault."""
    assert burstiness_of_diurnal(swing=1.0) == burstiness_of_diurnal(weekend=0) == burstiness_of_ramp(0, 5) == math.inf
    assert list(diurnal(0, 100, Random(1))) == list(ramp(0, 0, 100, Random(1))) == []
    silent = diurnal(10, 20, Random(1), weekend=0, period_s=10, first_day=6)
    assert list(silent) == []


def test_thinning_takes_any_curve():
    """A square wave with a silent half."""
    times_s = list(thinned(lambda at_s: 100.0 if at_s % 2 < 1 else 0.0, [(50.0, 100.0), (100.0, 100.0)], Random(2)))
    assert near(len(times_s), 5000)
    assert all(at_s % 2 < 1 for at_s in times_s)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda rng: diurnal(-1, 10, rng), "arrival rate"),
        (lambda rng: diurnal(1, 0, rng), "duration"),
        (lambda rng: diurnal(1, 10, rng, swing=1.5, weekend=-1), r"swing.*weekend"),
        (lambda rng: diurnal(1, 10, rng, period_s=0), "period_s"),
        (lambda rng: diurnal(1, 10, rng, peak_at=2), "peak_at"),
        (lambda rng: diurnal(1, 10, rng, first_day=0), "first_day"),
        (lambda rng: flash_crowd(1, 10, rng, peak=0.5), "peak"),
        (lambda rng: flash_crowd(1, 10, rng, at_s=11), "at_s"),
        (lambda rng: flash_crowd(1, 10, rng, decay_s=0), "decay_s"),
        (lambda rng: ramp(1, math.nan, 10, rng), "arrival rate"),
    ],
)
def test_bad_values_are_refused_at_once(make, what):
    """The call itself raises, not the first arrival."""
    with pytest.raises(ConfigurationError, match=what):
        make(Random(1))

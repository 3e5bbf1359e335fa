"""What the forecast raises, when it holds its tongue, and that it comes back."""

from __future__ import annotations

from math import pi, sin
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.estimate.day_profile import DayProfile
from sojourn.estimate.forecast import Forecast
from sojourn.estimate.forecast_score import ForecastScore
from sojourn.estimate.holt import DampedHolt

COLD_START_S = 10.0


class Traffic:
    """Counts that come second by second, Poisson around a rate."""

    def __init__(self, seed=1):
        self.rng = Random(seed)
        self.forecast = Forecast()
        self.now_s = 0.0
        self.arrivals = 0
        self.forecast.observe(0.0, 0, COLD_START_S)

    def second(self, count):
        self.now_s += 1.0
        self.arrivals += round(count)
        # The report at a full second tells what came before it.
        self.forecast.observe(self.now_s - 1e-6, self.arrivals, COLD_START_S)

    def noisy(self, rate_per_s):
        self.second(max(self.rng.gauss(rate_per_s, rate_per_s**0.5), 0.0))


def test_steady_traffic_is_left_alone():
    """At 200/s for ten minutes no estimate is raised by more than noise."""
    traffic = Traffic()
    raised = []
    for _ in range(600):
        traffic.noisy(200.0)
        raised.append(traffic.forecast.raise_of(200.0))
    assert max(raised[60:]) < 230.0


def test_a_ramp_is_seen_before_it_arrives():
    """At +5/s every second, a start of 10 s is asked for with most of the rise until then."""
    traffic = Traffic()
    for _ in range(60):
        traffic.noisy(100.0)
    for second in range(120):
        traffic.noisy(100.0 + 5.0 * second)
    now = 700.0
    assert now + 15.0 < traffic.forecast.raise_of(now) < now + 120.0


def test_falling_traffic_is_not_lowered():
    """It only ever raises."""
    traffic = Traffic()
    for second in range(300):
        traffic.noisy(1000.0 - 3.0 * second)
    assert traffic.forecast.raise_of(150.0) == 150.0


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=100), st.floats(0, 1e4))
def test_within_once_and_twice_the_reactive_estimate(counts, reactive_per_s):
    """Whatever came before."""
    traffic = Traffic()
    for count in counts:
        traffic.second(count)
    assert reactive_per_s <= traffic.forecast.raise_of(reactive_per_s) <= 2.0 * reactive_per_s


def test_a_trend_that_misleads_is_switched_off_and_comes_back():
    """Traffic that turns round every 25 s belies each trend within minutes; long ramps afterwards earn it back."""
    traffic = Traffic()
    for second in range(900):
        traffic.second(500.0 + 400.0 * sin(2 * pi * second / 44.0))
    assert not traffic.forecast.is_trend_on
    assert traffic.forecast.raise_of(100.0) == 100.0
    for second in range(900):
        traffic.noisy(500.0 + 4.0 * second)
    assert traffic.forecast.is_trend_on
    assert traffic.forecast.raise_of(4000.0) > 4050.0


def rate_of_day(second):
    """Quiet but for a steep rise at noon of each day, which no trend can know of."""
    return 200.0 if 43_200 <= second % 86_400 < 57_600 else 50.0


def test_yesterday_warns_of_todays_rise():
    """Two days of the same shape: a little before noon the third day's estimate is raised, in the morning it is not."""
    traffic = Traffic()
    noon_s = 2 * 86_400 + 43_200
    while traffic.now_s < noon_s - 15:
        traffic.noisy(rate_of_day(traffic.now_s))
        if traffic.now_s == noon_s - 3600:
            assert traffic.forecast.raise_of(50.0) < 65.0
    assert traffic.forecast.is_day_on
    assert traffic.forecast.raise_of(50.0) == 100.0


def test_a_long_pause_costs_nothing_and_is_counted_as_empty():
    """After days of silence (no reports at all) nothing is expected, and the profile says zero."""
    traffic = Traffic()
    for _ in range(100):
        traffic.noisy(100.0)
    for pause_s in (100, 4 * 86_400):
        traffic.now_s += pause_s
        traffic.second(1)
        assert traffic.forecast.raise_of(60.0) == 60.0
    assert not traffic.forecast.is_day_on


def test_holt_follows_a_line_and_damps_it():
    """On a pure ramp of 2 per second it learns level and trend; far ahead it stops at damping / (1 - damping)."""
    holt = DampedHolt(damping=0.999)
    for second in range(2000):
        holt.add(2.0 * second)
    assert holt.level_per_s == pytest.approx(3998.0, rel=0.01)
    assert holt.ahead_per_s(10) - holt.level_per_s == pytest.approx(20.0, rel=0.1)
    short = DampedHolt(damping=0.9)
    short.level_per_s, short.trend_per_s = 10.0, 1.0
    assert short.ahead_per_s(1) == pytest.approx(10.9)
    assert short.ahead_per_s(1000) == pytest.approx(19.0)
    short.trend_per_s = -5.0
    assert short.ahead_per_s(1000) == 0.0


def test_a_score_needs_three_windows_in_a_row_either_way():
    """Two bad minutes and a good one change nothing; three bad ones switch off, three good ones on."""
    score, second = ForecastScore(), 0

    def minute(forecast):
        nonlocal second
        for _ in range(60):
            second += 1
            score.predict(second, forecast, 11.0)
            score.settle(second, 10.0)

    states = []
    for forecast in (15.0, 15.0, 10.0, 15.0, 15.0, 15.0, 10.0, 10.0, 15.0, 10.0, 10.0, 10.0):
        minute(forecast)
        states.append(score.is_on)
    assert states == [True] * 5 + [False] * 6 + [True]


def test_an_equal_forecast_is_not_bad():
    """Within 2 % of persistence's error it may stay."""
    score = ForecastScore()
    for second in range(600):
        score.predict(second, 12.01, 12.0)
        score.settle(second, 10.0)
    assert score.is_on


def test_the_day_profile_knows_yesterdays_minute_and_how_alike_the_days_are():
    """Same days correlate with 1, unlike ones do not; a minute not yet known is None."""
    alike, unlike = DayProfile(), DayProfile()
    rng = Random(3)
    day = [rng.randrange(100) for _ in range(1440)]
    for number in range(2 * 1440):
        alike.close(number, day[number % 1440])
        unlike.close(number, rng.randrange(100))
        if number == 1440 + 700:
            assert alike.autocorrelation == 0.0
    assert alike.autocorrelation == pytest.approx(1.0)
    assert abs(unlike.autocorrelation) < 0.1
    assert alike.rate_per_s((2 * 1440 + 5) * 60.0) == day[5] / 60.0
    assert alike.rate_per_s(60.0) is None
    fresh = DayProfile()
    fresh.close(2000, 100)
    assert fresh.rate_per_s(2001 * 60.0) is None


def test_minutes_passed_over_are_empty_minutes():
    """An hour passed over on the second day is an hour of zeros for the third, not of the first day's counts."""
    profile = DayProfile()
    for number in range(1441):
        profile.close(number, 60)
    profile.close(1440 + 60, 60)
    assert profile.rate_per_s((1440 + 61) * 60.0) == 1.0
    for number in range(1440 + 61, 2 * 1440):
        profile.close(number, 60)
    assert profile.rate_per_s((2 * 1440 + 30) * 60.0) == 0.0
    assert profile.rate_per_s((2 * 1440 + 60) * 60.0) == 1.0

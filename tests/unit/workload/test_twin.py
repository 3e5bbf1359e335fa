"""Synthetic twins: what they share with the recording, and that they are no copies."""

from array import array
from random import Random

import pytest

from sojourn.workload.fit import fit_trace
from sojourn.workload.recorded import Counts, Instants
from sojourn.workload.spec import parse_arrivals
from sojourn.workload.statistics import autocorrelation, dispersion
from sojourn.workload.trace import Trace
from sojourn.workload.twin import twin_of

DAY_S = 86_400.0


def recorded(text, rate_per_s, duration_s, interval_s=60.0):
    times_s = parse_arrivals(text).times(rate_per_s, duration_s, Random(3))
    one = Instants(array("d", times_s))
    if not interval_s:
        return Trace({"f": one}, duration_s)
    counts = array("I", map(int, one.binned(interval_s, round(duration_s / interval_s))))
    return Trace({"f": Counts(counts, interval_s)}, duration_s)


TRACES = {
    "poisson": recorded("poisson", 0.05, DAY_S / 2),
    "bursts": recorded("bursty:on=0.2,period=50m,phases=exponential", 0.5, DAY_S),
    "days": recorded("diurnal:swing=0.7", 0.3, 3 * DAY_S),
    "timer": recorded("timer:period=10m,calls=8", None, DAY_S),
    "two levels": recorded("mmpp:rates=1.3/0.7,stays=1h/1h", 2, 2 * DAY_S),
}


@pytest.mark.parametrize("name", TRACES)
def test_twins_of_counts_are_alike(name):
    """Mean, peak, dispersion, memory and silence, and the same generator fits."""
    trace = TRACES[name]
    one, other = (fit_trace(each).total for each in (trace, twin_of(trace, Random(1))))
    assert other.requests == pytest.approx(one.requests, rel=0.05)
    assert other.peak_minute_per_s == pytest.approx(one.peak_minute_per_s, rel=0.25)
    assert other.dispersion == pytest.approx(one.dispersion, rel=0.15, abs=0.05)
    assert other.empty_minutes == pytest.approx(one.empty_minutes, abs=0.05)
    for lag in ("autocorrelation_minute", "autocorrelation_hour"):
        assert getattr(other, lag) == pytest.approx(getattr(one, lag), abs=0.1)
    assert other.kind == one.kind


@pytest.mark.parametrize("name", ["bursts", "days", "two levels"])
def test_twins_are_no_copies(name):
    """Beyond what the time of day explains, twin and recording, or two twins, know nothing of one another."""
    trace = TRACES[name]
    series = [
        list(each.functions["f"].counts) for each in (trace, twin_of(trace, Random(1)), twin_of(trace, Random(2)))
    ]
    assert sorted(series[0]) != sorted(series[1])  # nor the recorded counts in another order
    for first, second in ((0, 1), (1, 2)):
        same = sum(one == other for one, other in zip(series[first], series[second], strict=True) if one > 3)
        assert same < 0.25 * sum(one > 3 for one in series[first])


def test_same_seed_same_twin():
    """And each function is told when it is done."""
    trace, done = Trace({"f": TRACES["poisson"].functions["f"], "g": TRACES["timer"].functions["f"]}, DAY_S), []
    assert twin_of(trace, Random(1)) == twin_of(trace, Random(1), on_function=done.append)
    assert twin_of(trace, Random(1)) != twin_of(trace, Random(2))
    assert done == ["f", "g"]


@pytest.mark.parametrize(
    ("text", "rate_per_s", "duration_s"),
    [
        ("poisson", 2, 3600),
        ("bursty:on=0.1,period=100s", 2, 3600),
        ("timer:period=3s,calls=10", None, 3600),
        ("diurnal:swing=0.9", 0.05, 3 * DAY_S),
    ],
)
def test_twins_of_instants_are_alike(text, rate_per_s, duration_s):
    """Mean, burstiness of gaps and busiest second; days keep their curve, batches their size."""
    trace = recorded(text, rate_per_s, duration_s, interval_s=0)
    twin = twin_of(trace, Random(1))
    times_s = list(twin.functions["f"].times_s)
    assert times_s == sorted(times_s)
    one, other = (fit_trace(each).total for each in (trace, twin))
    assert other.requests == pytest.approx(one.requests, rel=0.02)
    assert other.burstiness == pytest.approx(one.burstiness, rel=0.1)
    assert other.kind == one.kind
    if one.kind != "timer":  # a clock leaves nothing to draw
        assert sum(a == b for a, b in zip(trace.functions["f"].times_s, times_s, strict=False)) < 50
    if duration_s > DAY_S:
        hours = [list(each.functions["f"].binned(3600.0, 72)) for each in (trace, twin)]
        assert autocorrelation(hours[1], 24) == pytest.approx(autocorrelation(hours[0], 24), abs=0.15)


@pytest.mark.parametrize("times_s", [[0.0], [0.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
def test_what_is_too_short_to_draw_from_stays_small(times_s):
    """One or two requests, or several at one instant, have a twin of as many."""
    twin = twin_of(Trace({"f": Instants(array("d", times_s))}, 10.0), Random(1))
    assert twin.requests == len(times_s)


def test_silent_functions_stay_silent():
    """And counts of a single interval have a twin."""
    trace = Trace({"f": Counts(array("I", [0] * 100), 60.0), "g": Counts(array("I", [8]), 60.0)}, 6000.0)
    twin = twin_of(trace, Random(1))
    assert twin.functions["f"].requests == 0
    assert twin.functions["g"].requests == pytest.approx(8, abs=2)


def test_counts_per_second_have_twins_too():
    """Dispersion and memory are kept at the interval that was recorded."""
    trace = recorded("bursty:on=0.3,period=2m,phases=exponential", 2, 3600, interval_s=1.0)
    twin = twin_of(trace, Random(1))
    one, other = (list(each.functions["f"].counts) for each in (trace, twin))
    assert twin.functions["f"].interval_s == 1
    assert sum(other) == pytest.approx(sum(one), rel=0.03)
    assert dispersion(other) == pytest.approx(dispersion(one), rel=0.1)
    for lag in (1, 15, 60):
        assert autocorrelation(other, lag) == pytest.approx(autocorrelation(one, lag), abs=0.1)

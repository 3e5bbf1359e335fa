"""Fits: figures of known arrivals, and whether the generator that made them is found with its parameters."""

from array import array
from random import Random

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.fit import fit_trace
from sojourn.workload.recorded import Counts, Instants
from sojourn.workload.spec import parse_arrivals
from sojourn.workload.trace import Trace, trace_of_instants

DAY_S = 86_400.0


def instants(text, rate_per_s, duration_s, seed=1):
    times_s = parse_arrivals(text).times(rate_per_s, duration_s, Random(seed))
    return Trace({"f": Instants(array("d", times_s))}, duration_s)


def minutes(text, rate_per_s, duration_s, seed=1):
    one = instants(text, rate_per_s, duration_s, seed).functions["f"]
    counts = array("I", map(int, one.binned(60.0, round(duration_s / 60))))
    return Trace({"f": Counts(counts, 60.0)}, duration_s)


def parameters(arrivals):
    """The numbers of a text, by name."""
    return {
        name: float(value.removesuffix("s"))
        for name, _, value in (part.partition("=") for part in arrivals.partition(":")[2].split(","))
        if value.removesuffix("s").replace(".", "", 1).isdigit()
    }


def test_figures_of_a_small_trace_by_hand():
    """Three minutes, one of them empty; seconds are told by instants alone."""
    shape = fit_trace(Trace({"f": Instants(array("d", [0.0, 0.1, 0.2, 130.0]))}, 180.0)).functions[0]
    assert (shape.requests, shape.mean_rate_per_s) == (4, pytest.approx(4 / 180))
    assert (shape.peak_second_per_s, shape.peak_minute_per_s) == (3, 3 / 60)
    assert shape.empty_minutes == pytest.approx(1 / 3)
    assert shape.dispersion == pytest.approx(((3 - 4 / 3) ** 2 + (4 / 3) ** 2 + (1 / 3) ** 2) / 3 / (4 / 3))
    assert shape.autocorrelation_hour is shape.autocorrelation_day is shape.period_s is None
    assert shape.kind == "poisson"
    by_counts = fit_trace(Trace({"f": Counts(array("I", [3, 0, 1]), 60.0)}, 180.0)).functions[0]
    assert by_counts.dispersion == shape.dispersion
    assert by_counts.burstiness is by_counts.peak_second_per_s is None
    of_seconds = fit_trace(Trace({"f": Instants(array("d", [0.1, 0.5, 0.7, 1.9]))}, 2.0)).functions[0]
    assert of_seconds.peak_minute_per_s == of_seconds.mean_rate_per_s == 2  # its only minute lasts two seconds


def test_a_minute_that_the_recording_cuts_short_is_no_quiet_one():
    """Ten minutes of steady traffic and five seconds more: as of ten minutes, though the busiest may be the last."""
    whole, cut = (fit_trace(instants("poisson", 20.0, duration_s)).functions[0] for duration_s in (600.0, 605.0))
    assert cut.dispersion == pytest.approx(whole.dispersion)
    assert cut.kind == whole.kind == "poisson"
    assert cut.empty_minutes == 0.0
    times_s = [float(second) for second in range(60)] + [60.0 + number / 100 for number in range(200)]
    busy = fit_trace(Trace({"f": Instants(array("d", times_s))}, 62.0)).functions[0]
    assert busy.peak_minute_per_s == pytest.approx(200 / 60)
    assert busy.dispersion is None  # of the one minute that is whole


def test_functions_are_measured_each_and_in_sum():
    """A silent one has figures, too, and no generator."""
    fit = fit_trace(Trace({"f": Counts(array("I", [3, 0]), 60.0), "g": Counts(array("I", [0, 0]), 60.0)}, 120.0))
    assert [(shape.function, shape.requests) for shape in (*fit.functions, fit.total)] == [
        ("f", 3),
        ("g", 0),
        ("all together", 3),
    ]
    assert (fit.functions[1].kind, fit.functions[1].arrivals, fit.functions[1].dispersion) == ("silent", "", None)


@pytest.mark.parametrize("make", [instants, minutes])
def test_poisson_is_recognised(make):
    """Many or few requests: over ten seeds at most one is taken for something else."""
    for rate_per_s in (0.003, 0.5):
        kinds = [fit_trace(make("poisson", rate_per_s, 4 * 3600, seed)).total.kind for seed in range(10)]
        assert kinds.count("poisson") >= 9


@pytest.mark.parametrize("make", [instants, minutes])
@pytest.mark.parametrize(
    ("text", "period_s", "calls"),
    [("timer:period=300", 300, 1), ("timer:period=600,calls=12,extra=0.02", 600, 12), ("timer:period=2", 2, 1)],
)
def test_timers_are_recognised(make, text, period_s, calls):
    """With their period and calls, sparse and dense, from instants and from counts."""
    shape = fit_trace(make(text, None, 6 * 3600)).total
    assert shape.kind == "timer"
    assert shape.period_s == pytest.approx(period_s, rel=0.01)
    assert parameters(shape.arrivals).get("calls", 1) == calls
    assert parse_arrivals(shape.arrivals).needs_rate is False


def test_jitter_is_estimated():
    """Calls up to 6 s late on a period of 100 s."""
    shape = fit_trace(instants("timer:period=100,jitter=6s", None, 100_000)).total
    assert shape.kind == "timer"
    assert parameters(shape.arrivals)["jitter"] == pytest.approx(6, rel=0.1)


def test_days_are_recognised():
    """Swing, peak, weekend and the day of the week on which the recording began."""
    text = "diurnal:swing=0.6,peak_at=0.6,weekend=0.5,first_day=3"
    shape = fit_trace(minutes(text, 0.25, 14 * DAY_S)).total
    found = parameters(shape.arrivals)
    assert (shape.kind, shape.period_s) == ("diurnal", DAY_S)
    assert found["swing"] == pytest.approx(0.6, abs=0.03)
    assert found["peak_at"] == pytest.approx(0.6, abs=0.01)
    assert found["weekend"] == pytest.approx(0.5, abs=0.03)
    assert found["first_day"] == 3
    assert found["rate"] == pytest.approx(0.25, rel=0.02)


def test_shorter_rhythms_are_recognised():
    """Every four hours."""
    shape = fit_trace(minutes("diurnal:swing=0.9,period=4h", 0.5, 2 * DAY_S)).total
    assert (shape.kind, shape.period_s) == ("diurnal", 4 * 3600)


@pytest.mark.parametrize(("make", "tolerance"), [(instants, 0.35), (minutes, 0.35)])
def test_bursts_are_recognised_with_their_share_and_period(make, tolerance):
    """Ten minutes on, thirty off, over two days: within what forty cycles a day allow."""
    shape = fit_trace(make("bursty:on=0.25,period=40m,phases=exponential", 0.5, 2 * DAY_S, 5)).total
    found = parameters(shape.arrivals)
    assert shape.kind == "bursty"
    assert found["on"] == pytest.approx(0.25, rel=tolerance)
    assert found["period"] == pytest.approx(2400, rel=tolerance)


def test_mild_changes_are_two_levels():
    """A rate that varies by a quarter and never stops is no on/off process."""
    shape = fit_trace(minutes("mmpp:rates=1.25/0.75,stays=20m/20m", 2, 2 * DAY_S)).total
    assert shape.kind == "mmpp"
    low, high = sorted(float(rate) for rate in shape.arrivals.split("rates=")[1].split(",")[0].split("/"))
    assert (low, high) == (pytest.approx(0.75, abs=0.05), pytest.approx(1.25, abs=0.05))
    assert parse_arrivals(shape.arrivals).needs_rate is False


def test_hourly_counts_tell_no_minutes():
    """Intervals longer than a minute stand for it where they can, and what they cannot tell is None."""
    shape = fit_trace(Trace({"f": Counts(array("I", [5, 9, 7, 5] * 20), 3600.0)}, 80 * 3600.0)).total
    assert shape.autocorrelation_minute is None
    assert shape.autocorrelation_hour is not None
    assert shape.peak_minute_per_s == 9 / 3600


def test_what_cannot_be_measured_is_refused():
    """A recording without length, and one whose times are surely not seconds."""
    with pytest.raises(ConfigurationError, match="no length"):
        fit_trace(trace_of_instants({"f": Instants(array("d", [0.0]))}))
    with pytest.raises(ConfigurationError, match="in seconds"):
        fit_trace(trace_of_instants({"f": Instants(array("d", [0.0, 1e15]))}))

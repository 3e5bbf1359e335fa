"""Fits and twins of real traces, which are not part of the project; skipped where they are absent."""

import os
from pathlib import Path
from random import Random

import pytest

from sojourn.workload.fit import fit_trace
from sojourn.workload.spec import parse_arrivals
from sojourn.workload.statistics import burstiness
from sojourn.workload.trace_file import read_trace
from sojourn.workload.twin import twin_of

TRACES = Path(os.environ.get("SOJOURN_TRACES") or Path(__file__).parents[4] / "shared" / "traces")
TEN = TRACES / "azure_functions_2019_10f_14d_per_minute.csv"
MANY = TRACES / "azure_functions_2019_500f_8h.csv"
CODE = TRACES / "azure_llm_2023_code.csv"

pytestmark = pytest.mark.skipif(not TRACES.is_dir(), reason=f"no traces in {TRACES}")


def test_the_ten_azure_functions_have_twins_of_their_shape():
    """Each function and their sum: mean, busiest minute, memory at a minute and a day, silent minutes."""
    trace = read_trace(TEN)
    one, other = fit_trace(trace), fit_trace(twin_of(trace, Random(1)))
    for before, after in zip((*one.functions, one.total), (*other.functions, other.total), strict=True):
        assert after.mean_rate_per_s == pytest.approx(before.mean_rate_per_s, rel=0.05)
        assert after.peak_minute_per_s == pytest.approx(before.peak_minute_per_s, rel=0.25)
        assert after.autocorrelation_minute == pytest.approx(before.autocorrelation_minute, abs=0.1)
        assert after.autocorrelation_day == pytest.approx(before.autocorrelation_day, abs=0.1)
        assert after.empty_minutes == pytest.approx(before.empty_minutes, abs=0.05)
    # The published figures are found.
    total = one.total
    assert total.mean_rate_per_s == pytest.approx(58.6, abs=0.1)
    assert total.peak_minute_per_s == pytest.approx(126, abs=1)
    assert total.autocorrelation_day == pytest.approx(0.84, abs=0.01)
    assert total.kind == "diurnal"


def test_five_hundred_functions_are_mostly_sparse_clockwork():
    """Every function is read, and a third at least is called by a clock."""
    trace = read_trace(MANY)
    fit = fit_trace(trace)
    assert (len(fit.functions), trace.requests, trace.duration_s) == (500, 3_037_902, 8 * 3600)
    assert sum(shape.kind == "timer" for shape in fit.functions) > 170
    spec = parse_arrivals(f"trace:{MANY},function={fit.functions[7].function},speedup=60")
    assert sum(1 for _ in spec.times(None, 480, Random(1))) == fit.functions[7].requests


def test_the_bursty_language_model_trace_has_a_twin_and_a_generator_as_bursty():
    """Gaps vary thirteen times their mean; the twin's by as much, the fitted on/off process's about as much."""
    trace = read_trace(CODE)
    shape = fit_trace(trace).total
    assert shape.burstiness**0.5 == pytest.approx(13.2, abs=0.1)
    twin = fit_trace(twin_of(trace, Random(1))).total
    assert twin.burstiness**0.5 == pytest.approx(shape.burstiness**0.5, rel=0.25)
    assert shape.kind == "bursty"
    drawn = list(parse_arrivals(shape.arrivals).times(None, 100_000, Random(1)))
    assert len(drawn) / 100_000 == pytest.approx(shape.mean_rate_per_s, rel=0.1)
    assert burstiness(drawn) ** 0.5 == pytest.approx(shape.burstiness**0.5, rel=0.25)

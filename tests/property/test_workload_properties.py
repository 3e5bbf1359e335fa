"""What is true of every workload: order, bounds, reproducibility, rates, and operations on traces that lose nothing."""

from __future__ import annotations

import math
from array import array
from itertools import pairwise
from random import Random
from statistics import pstdev

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from sojourn.errors import ConfigurationError
from sojourn.workload.arrivals import burstiness_of_on_off, constant, on_off, poisson, steps
from sojourn.workload.modulated import burstiness_of_mmpp, dispersion_of_mmpp, mean_rate_of_mmpp, mmpp
from sojourn.workload.recorded import WITHIN, Counts, Instants
from sojourn.workload.shapes import burstiness_of_diurnal, burstiness_of_flash_crowd, diurnal, flash_crowd, ramp
from sojourn.workload.spec import parse_arrivals
from sojourn.workload.timers import burstiness_of_timer, rate_of_timer, timer
from sojourn.workload.trace import Trace, mixed
from sojourn.workload.trace_file import read_trace, write_trace
from sojourn.workload.twin import twin_of

share = st.floats(0, 1)
rates = st.floats(0, 200)
lengths = st.floats(0.01, 20)
seeds = st.integers(0, 2**32)
chains = st.lists(st.tuples(st.floats(0, 200), st.floats(0.01, 10)), min_size=2, max_size=5)
periods = st.floats(0.05, 10)


def _crowd(data, rate, length):
    at_s, decay_s, peak = data.draw(share) * length, data.draw(periods), data.draw(st.floats(1, 50))
    return lambda rng: flash_crowd(rate, length, rng, peak=peak, at_s=at_s, decay_s=decay_s)


def _diurnal(data, rate, length):
    rhythm = {"swing": data.draw(share), "weekend": data.draw(st.floats(0, 3)), "period_s": data.draw(periods)}
    start = {"peak_at": data.draw(share), "first_day": data.draw(st.integers(1, 7))}
    return lambda rng: diurnal(rate, length, rng, **rhythm, **start)


def _timer(data, _, length):
    period_s = data.draw(periods)
    pattern = {"jitter_s": data.draw(share) * period_s, "extra_share": data.draw(st.floats(0, 2))}
    calls = data.draw(st.integers(1, 5))
    return lambda rng: timer(period_s, length, rng, calls=calls, **pattern)


def _on_off(data, rate, length):
    cycle = {"on_share": data.draw(st.floats(0.01, 1)), "period_s": data.draw(periods)}
    phases = data.draw(st.sampled_from(["exponential", "fixed"]))
    return lambda rng: on_off(rate, length, rng, phases=phases, **cycle)


def _mmpp(data, _, length):
    chain = data.draw(chains)
    return lambda rng: mmpp([rate for rate, _ in chain], [stay for _, stay in chain], length, rng)


def _steps(data, rate, length):
    pieces = [(data.draw(rates), length / 2), (rate, length / 2)]
    return lambda rng: steps(pieces, rng)


def _ramp(data, rate, length):
    start = data.draw(share) * 2 * rate
    return lambda rng: ramp(start, 2 * rate - start, length, rng)


GENERATORS = {
    "poisson": lambda _, rate, length: lambda rng: poisson(rate, length, rng),
    "constant": lambda _, rate, length: lambda rng: constant(rate, length),
    "steps": _steps,
    "on_off": _on_off,
    "mmpp": _mmpp,
    "diurnal": _diurnal,
    "flash": _crowd,
    "ramp": _ramp,
    "timer": _timer,
}


@pytest.mark.parametrize("name", GENERATORS)
@given(data=st.data(), rate=rates, length=lengths, seed=seeds)
@settings(max_examples=40, deadline=None)
def test_arrivals_are_in_order_within_the_run_and_reproducible(name, data, rate, length, seed):
    """Whatever the parameters: never decreasing, in [0, duration), and the same again for the same seed."""
    make = GENERATORS[name](data, rate, length)
    times_s = list(make(Random(seed)))
    assert times_s == list(make(Random(seed)))
    assert all(earlier <= later for earlier, later in pairwise(times_s))
    assert not times_s or (times_s[0] >= 0 and times_s[-1] < length)


@pytest.mark.parametrize("name", ["poisson", "diurnal", "flash", "ramp"])
@given(data=st.data(), seed=seeds)
@settings(max_examples=30, deadline=None)
def test_curves_keep_the_mean_rate_over_any_run(name, data, seed):
    """Their counts are Poisson: 5.5 standard deviations are never seen."""
    rate, length = data.draw(st.floats(10, 200)), data.draw(st.floats(5, 20))
    make = GENERATORS[name](data, rate, length)
    expected = rate * length
    count = sum(1 for _ in make(Random(seed)))
    silent = name == "diurnal" and count == 0  # a run within a silent weekend has nothing to be scaled
    assert silent or abs(count - expected) <= 5.5 * math.sqrt(expected) + 1


@given(chain=chains)
@settings(max_examples=100, deadline=None)
def test_modulation_only_adds_burstiness(chain):
    """No chain is smoother than Poisson, in gaps or in counts; its mean lies between its rates."""
    levels, stays = [rate for rate, _ in chain], [stay for _, stay in chain]
    assert min(levels) - 1e-6 <= mean_rate_of_mmpp(levels, stays) <= max(levels) + 1e-6
    assert burstiness_of_mmpp(levels, stays) >= 1 - 1e-6
    assert dispersion_of_mmpp(levels, stays) >= 1 - 1e-6


@given(rate=st.floats(0.1, 100), on=st.floats(0.05, 0.95), period=st.floats(0.1, 100))
@settings(max_examples=100, deadline=None)
def test_two_formulas_for_one_process_agree(rate, on, period):
    """On/off is the modulated process with a silent state."""
    chain = ((rate / on, 0.0), (on * period, (1 - on) * period))
    expected = burstiness_of_on_off(rate, on_share=on, period_s=period)
    assert burstiness_of_mmpp(*chain) == pytest.approx(expected, rel=1e-6)


@given(
    swing=st.floats(0, 0.99), weekend=st.floats(0.01, 5), peak=st.floats(1, 100), calls=st.integers(1, 50), jitter=share
)
@settings(max_examples=100, deadline=None)
def test_formulas_stay_within_their_bounds(swing, weekend, peak, calls, jitter):
    """Curves are at least as bursty as Poisson; jitter only smooths several calls, and only roughens one."""
    assert burstiness_of_diurnal(swing=swing, weekend=weekend) >= 1 - 1e-9
    assert burstiness_of_flash_crowd(100.0, peak=peak) >= 1 - 1e-9
    varied = burstiness_of_timer(1.0, jitter_s=jitter, calls=calls)
    assert -1e-9 <= varied <= max(calls - 1, 1 / 6) + 1e-9
    assert rate_of_timer(1.0, calls=calls) == calls


count_lists = st.lists(st.lists(st.integers(0, 40), min_size=6, max_size=6), min_size=1, max_size=4)


def counted(lists, interval_s=60.0):
    functions = {f"f{number}": Counts(array("I", one), interval_s) for number, one in enumerate(lists)}
    return Trace(functions, 6 * interval_s)


@given(lists=count_lists, within=st.sampled_from(WITHIN), seed=seeds, speedup=st.floats(0.01, 100))
@settings(max_examples=60, deadline=None)
def test_replay_loses_nothing(lists, within, seed, speedup):
    """Every recorded request is played once, in its interval, in order, at any speed."""
    trace = counted(lists).faster(speedup)
    times_s = list(trace.times(Random(seed), within=within))
    assert all(earlier <= later for earlier, later in pairwise(times_s))
    width_s = 60.0 / speedup
    played = [0] * 6
    for at_s in times_s:
        played[min(int(at_s / width_s + 1e-9), 5)] += 1
    assert played == [sum(column) for column in zip(*lists, strict=True)]


@given(lists=count_lists, weights=st.lists(st.floats(0.01, 1), min_size=1, max_size=4), seed=seeds)
@settings(max_examples=60, deadline=None)
def test_splitting_and_mixing_are_inverse(lists, weights, seed):
    """Whatever the shares, the parts together are the whole."""
    trace = counted(lists)
    parts = trace.split([weight / sum(weights) for weight in weights], Random(seed))
    assert mixed(parts) == trace


@given(lists=count_lists, factor=st.floats(0.05, 5), seed=seeds)
@settings(max_examples=60, deadline=None)
def test_scaled_counts_stay_between_the_whole_factors(lists, factor, seed):
    """Each request becomes floor(factor) or one more."""
    trace = counted(lists)
    try:
        scaled = trace.scaled(factor, Random(seed))
    except ConfigurationError:
        return  # nothing was left, which is told
    for name, recorded in scaled.functions.items():
        for before, after in zip(trace.functions[name].counts, recorded.counts, strict=True):
            assert math.floor(factor) * before <= after <= math.ceil(factor) * before


@given(lists=count_lists)
@settings(max_examples=40, deadline=None)
def test_files_keep_counts(lists, tmp_path_factory):
    """What is written reads the same; only silence is refused."""
    assume(any(map(any, lists)))
    path = tmp_path_factory.mktemp("trace") / "trace.csv"
    write_trace(counted(lists), path)
    assert read_trace(path) == counted(lists)


@given(content=st.text(alphabet='0123456789.,-e \n"x\ufefft_sminutefunction;\r\0', max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_reader(content, tmp_path_factory):
    """Any file is a trace with requests, or an error that says so."""
    path = tmp_path_factory.mktemp("trace") / "trace.csv"
    path.write_text(content, newline="")
    try:
        trace = read_trace(path, values_max=10_000)
    except ConfigurationError:
        return
    assert trace.requests > 0


@given(
    text=st.text(max_size=40) | st.from_regex(r"(mmpp|timer|ramp|flash|diurnal)(:[a-z_]+=[0-9./a-z]*)?", fullmatch=True)
)
@settings(max_examples=60, deadline=None)
def test_no_text_breaks_the_parser(text):
    """Any text is a kind of arrivals, or an error that says what is known."""
    try:
        spec = parse_arrivals(text)
    except ConfigurationError:
        return
    assert spec.trace is None or spec.trace.requests > 0


@given(
    counts=st.lists(st.integers(0, 30) | st.sampled_from([0, 0, 0, 1000]), min_size=1, max_size=120),
    gaps=st.lists(st.floats(0, 50), min_size=1, max_size=60),
    seed=seeds,
)
@example(counts=[0, 1000], gaps=[0.0], seed=216)
@settings(max_examples=40, deadline=None)
def test_twins_are_drawn_from_any_recording(counts, gaps, seed):
    """Of the same length, in order, with about as many requests; zeros alone stay zeros."""
    times_s = array("d")
    for gap_s in gaps:
        times_s.append((times_s[-1] if times_s else 0.0) + gap_s)
    trace = Trace({"c": Counts(array("I", counts), 60.0), "i": Instants(times_s)}, 60.0 * len(counts))
    twin = twin_of(trace, Random(seed))
    assert len(twin.functions["c"].counts) == len(counts)
    # Where few intervals hold nearly all, the twin's sum spreads as widely as that of the recording would.
    spread = math.sqrt(len(counts)) * pstdev(counts)
    assert twin.functions["c"].requests <= 1.3 * sum(counts) + len(counts) + 6 * spread
    assert any(counts) or twin.functions["c"].requests == 0
    drawn_s = list(twin.functions["i"].times_s)
    assert all(earlier <= later + 1e-9 for earlier, later in pairwise(drawn_s))
    assert drawn_s[0] >= 0

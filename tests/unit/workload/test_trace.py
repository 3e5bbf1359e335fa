"""Recorded workloads: drawing instants, selecting, cutting, scaling, splitting and mixing."""

from array import array
from random import Random

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.recorded import Counts, Instants
from sojourn.workload.statistics import burstiness
from sojourn.workload.trace import Trace, mixed, trace_of_instants


def counts(*numbers, interval_s=60.0):
    return Counts(array("I", numbers), interval_s)


def instants(*times_s):
    return Instants(array("d", times_s))


@pytest.fixture
def two():
    """Two functions over three minutes."""
    return Trace({"f": counts(6, 0, 3), "g": counts(0, 10, 0)}, 180.0)


def test_counts_become_instants_of_their_interval():
    """Uniform over the interval, at equal distances, or within its first seconds; in order in any case."""
    recorded = counts(4000, 0, 2000)
    for within, last_s in (("uniform", 60.0), ("even", 60.0), ("burst", 3.0)):
        times_s = list(recorded.times(Random(1), within, 3.0))
        assert times_s == sorted(times_s)
        assert [sum(start <= at_s < start + last_s for at_s in times_s) for start in (0, 60, 120)] == [4000, 0, 2000]
        assert max(times_s[:4000]) > 0.98 * last_s
    assert burstiness(list(counts(4000).times(Random(1)))) == pytest.approx(1, abs=0.1)
    assert list(counts(4).times(Random(1), "even")) == [7.5, 22.5, 37.5, 52.5]


def test_a_burst_is_no_longer_than_its_interval():
    """Ten seconds of burst in intervals of one second stay in their second."""
    times_s = list(counts(50, 50, interval_s=1.0).times(Random(1), "burst", 10.0))
    assert sum(at_s < 1 for at_s in times_s) == 50


@pytest.mark.parametrize("within", ["uniform", "even", "burst"])
def test_all_functions_together_are_the_sum_of_each(two, within):
    """In order, and as many per minute as all functions have."""
    times_s = list(two.times(Random(1), within=within))
    assert times_s == sorted(times_s)
    assert [sum(start <= at_s < start + 60 for at_s in times_s) for start in (0, 60, 120)] == [6, 10, 3]
    by_function = {name: list(times) for name, times in two.by_function(Random(1), within=within).items()}
    assert {name: len(times) for name, times in by_function.items()} == {"f": 9, "g": 10}


def test_functions_do_not_share_chance(two):
    """Whichever is read first, each has the same instants; the same seed gives the same, another others."""
    forward = {name: list(times) for name, times in two.by_function(Random(1)).items()}
    backward = two.by_function(Random(1))
    assert list(backward["g"]) == forward["g"]
    assert list(backward["f"]) == forward["f"]
    assert list(two.times(Random(1))) == list(two.times(Random(1))) != list(two.times(Random(2)))


def test_instants_and_counts_stand_side_by_side():
    """A trace of both is played in order, but cannot be added up."""
    both = Trace({"f": counts(3, 3), "g": instants(0.0, 61.0)}, 120.0)
    times_s = list(both.times(Random(1)))
    assert times_s == sorted(times_s)
    assert len(times_s) == 8
    with pytest.raises(ConfigurationError, match="cannot be added up"):
        both.total()


def test_select_keeps_some_functions(two):
    """And names near matches of what it does not know."""
    assert list(two.select(["g"]).functions) == ["g"]
    assert two.requests == 19
    with pytest.raises(ConfigurationError, match=r"no function 'gg'; among its 2 are g"):
        two.select(["gg"])
    with pytest.raises(ConfigurationError, match="at least one"):
        two.select([])


def test_a_slice_counts_from_its_start(two):
    """Intervals that begin in it, instants that lie in it."""
    assert list(two.between(60).functions["g"].counts) == [10, 0]
    assert two.between(60).duration_s == 120
    assert list(two.between(60, 120).functions["f"].counts) == [0]
    cut = trace_of_instants({"f": instants(0, 1, 2, 3)}).between(1, 3)
    assert list(cut.functions["f"].times_s) == [0, 1]
    assert cut.duration_s == 2


@pytest.mark.parametrize(("start", "end", "what"), [(-1, None, "start"), (180, None, "start"), (10, 5, "end")])
def test_slices_out_of_range_are_refused(two, start, end, what):
    """So is one without requests, which could not be played."""
    with pytest.raises(ConfigurationError, match=what):
        two.between(start, end)
    with pytest.raises(ConfigurationError, match="no requests"):
        two.select(["f"]).between(60, 120)


def test_time_can_be_compressed(two):
    """Ten times faster: a tenth of the length, ten times the rate, as many requests."""
    fast = two.faster(10)
    assert fast.duration_s == 18
    assert fast.requests == two.requests
    assert fast.mean_rate_per_s == pytest.approx(10 * two.mean_rate_per_s)
    assert list(trace_of_instants({"f": instants(0, 4)}).faster(2).functions["f"].times_s) == [0, 2]
    for bad in (0, -1, float("nan"), 1e9):
        with pytest.raises(ConfigurationError, match="speedup"):
            two.faster(bad)


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0, 3.7])
def test_rates_are_scaled_by_thinning_and_repeating(factor):
    """Counts and instants alike: the mean is the factor's, and a whole factor multiplies counts exactly."""
    rng = Random(1)
    scaled = Trace({"f": counts(*[100] * 100)}, 6000.0).scaled(factor, rng)
    assert scaled.requests == pytest.approx(10_000 * factor, rel=0.03)
    if factor == int(factor):
        assert scaled.requests == 10_000 * factor
    times = trace_of_instants({"f": instants(*range(10_000))}).scaled(factor, rng)
    times_s = list(times.functions["f"].times_s)
    assert len(times_s) == pytest.approx(10_000 * factor, rel=0.05)
    assert times_s == sorted(times_s)
    assert times_s[-1] <= 9999


def test_thinned_counts_vary_as_binomial_ones():
    """A fifth of 50 has variance 50 * 0.2 * 0.8."""
    kept = Trace({"f": counts(*[50] * 5000)}, 300_000.0).scaled(0.2, Random(3)).functions["f"].counts
    mean = sum(kept) / 5000
    assert mean == pytest.approx(10, rel=0.02)
    assert sum((count - mean) ** 2 for count in kept) / 5000 == pytest.approx(8, rel=0.08)


@pytest.mark.parametrize(
    ("factor", "what"), [(0, "factor"), (-1, "factor"), (1e7, "factor"), (1e-6, "no requests left")]
)
def test_scales_out_of_range_are_refused(two, factor, what):
    """As is one that leaves nothing to play."""
    with pytest.raises(ConfigurationError, match=what):
        two.scaled(factor, Random(1))


def test_a_scaled_count_must_fit():
    """Four thousand millions are the most."""
    with pytest.raises(ConfigurationError, match="requests in an interval"):
        Trace({"f": counts(10**6)}, 60.0).scaled(1e5, Random(1))


def test_a_split_adds_up(two):
    """Each request is in one part; parts have their shares; bad shares are refused."""
    large = Trace({"f": counts(*[40] * 200), "g": instants(*range(8000))}, 12_000.0)
    parts = large.split([0.5, 0.3, 0.2], Random(1))
    for part, share in zip(parts, (0.5, 0.3, 0.2), strict=True):
        assert [one.requests for one in part.functions.values()] == pytest.approx([8000 * share] * 2, rel=0.08)
    for minute in range(200):
        assert sum(part.functions["f"].counts[minute] for part in parts) == 40
    assert sorted(at_s for part in parts for at_s in part.functions["g"].times_s) == list(range(8000))
    for shares in ([], [0.5, 0.4], [1.5, -0.5]):
        with pytest.raises(ConfigurationError, match="shares"):
            two.split(shares, Random(1))


def test_traces_are_mixed(two):
    """Functions of one name become one, others stand side by side; different kinds of one name cannot."""
    together = mixed([two, Trace({"f": counts(1, 1, 1, 1), "h": instants(0.0)}, 240.0)])
    assert list(together.functions["f"].counts) == [7, 1, 4, 1]
    assert list(together.functions) == ["f", "g", "h"]
    assert together.duration_s == 240
    merged = mixed([trace_of_instants({"f": instants(0, 4)}), trace_of_instants({"f": instants(1, 3)})])
    assert list(merged.functions["f"].times_s) == [0, 1, 3, 4]
    with pytest.raises(ConfigurationError, match=r"'f' of several traces.*draw instants"):
        mixed([two, Trace({"f": instants(0.0)}, 1.0)])
    with pytest.raises(ConfigurationError, match="different intervals"):
        mixed([two, Trace({"f": counts(1, interval_s=1.0)}, 1.0)])
    with pytest.raises(ConfigurationError, match="in sum"):
        mixed([Trace({"f": counts(2**31)}, 60.0)] * 2)
    with pytest.raises(ConfigurationError, match="at least one"):
        mixed([])


def test_unknown_ways_to_place_requests_are_refused(two):
    """By all that draw."""
    for draw in (two.times, two.by_function):
        with pytest.raises(ConfigurationError, match="uniform, even, burst"):
            draw(Random(1), within="late")
        with pytest.raises(ConfigurationError, match="burst must last"):
            draw(Random(1), within="burst", burst_s=0)


def test_a_single_instant_has_no_length():
    """Its mean rate is told as infinite, which nothing can be stretched to."""
    assert trace_of_instants({"f": instants(0.0)}).duration_s == 0
    assert trace_of_instants({"f": instants(0.0, 0.0)}).mean_rate_per_s == float("inf")

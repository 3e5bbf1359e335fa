"""Arrival generators: rates, order, reproducibility and refusal of bad values."""

import itertools
import math
from random import Random

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.arrivals import burstiness_of_on_off, constant, on_off, poisson, steps


def burstiness(times_s):
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(times_s)]
    mean_s = sum(gaps_s) / len(gaps_s)
    return sum((gap_s - mean_s) ** 2 for gap_s in gaps_s) / len(gaps_s) / mean_s**2


def test_poisson_keeps_its_rate_and_is_neither_regular_nor_bursty():
    """20,000 expected arrivals: the count is within four standard deviations, the burstiness near 1."""
    times_s = list(poisson(200, 100, Random(1)))
    assert abs(len(times_s) - 20_000) < 4 * math.sqrt(20_000)
    assert burstiness(times_s) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("rate_per_s", "duration_s", "count"), [(30, 0.1, 3), (10, 1, 10), (0, 5, 0), (1, 2.5, 3)])
def test_constant_spaces_arrivals_evenly_from_zero(rate_per_s, duration_s, count):
    """The first arrival is at zero, the last before the end, and gaps are equal."""
    times_s = list(constant(rate_per_s, duration_s))
    assert times_s == pytest.approx([number / rate_per_s for number in range(count)])
    assert all(at_s < duration_s for at_s in times_s)


@pytest.mark.parametrize("phases", ["exponential", "fixed"])
@pytest.mark.parametrize(("on_share", "period_s"), [(0.25, 1.0), (0.5, 0.2), (0.1, 0.02)])
def test_bursts_have_the_mean_rate_and_the_documented_burstiness(phases, on_share, period_s):
    """Over thousands of cycles, rate and squared coefficient of variation agree with the formulas."""
    cycle = {"on_share": on_share, "period_s": period_s, "phases": phases}
    times_s = list(on_off(20, 10_000, Random(7), **cycle))
    assert len(times_s) / 10_000 == pytest.approx(20, rel=0.05)
    assert burstiness(times_s) == pytest.approx(burstiness_of_on_off(20, **cycle), rel=0.1)


@pytest.mark.parametrize("phases", ["exponential", "fixed"])
def test_bursts_begin_anywhere_in_their_cycle(phases):
    """Over many seeds the first tenth of a second has the mean rate: a run does not always begin with a burst."""
    first = sum(len(list(on_off(100, 0.1, Random(seed), phases=phases))) for seed in range(3000))
    assert first / 3000 == pytest.approx(10, rel=0.1)


def test_bursts_that_never_pause_are_poisson():
    """An on share of 1 leaves no off phase, and the formula says burstiness 1."""
    times_s = list(on_off(100, 200, Random(3), on_share=1.0))
    assert burstiness(times_s) == pytest.approx(1, abs=0.05)
    assert burstiness_of_on_off(100, on_share=1.0) == 1


def test_steps_change_the_rate_where_told():
    """Each stretch of quiet, burst, silence has its own rate, and nothing arrives in the silence."""
    times_s = list(steps([(100, 10), (1000, 10), (0, 10), (100, 10)], Random(5)))
    counts = [sum(start <= at_s < start + 10 for at_s in times_s) for start in (0, 10, 20, 30)]
    assert [round(count, -3) for count in counts] == [1000, 10_000, 0, 1000]


GENERATORS = {
    "poisson": lambda rng: poisson(50, 40, rng),
    "bursts": lambda rng: on_off(50, 40, rng),
    "fixed bursts": lambda rng: on_off(50, 40, rng, phases="fixed"),
    "steps": lambda rng: steps([(50, 20), (80, 20)], rng),
    "constant": lambda _: constant(50, 40),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_same_seed_same_arrivals_in_order(name):
    """Times never decrease, stay inside the run, and depend on the seed alone."""
    make = GENERATORS[name]
    times_s = list(make(Random(11)))
    assert times_s == list(make(Random(11)))
    assert times_s == sorted(times_s)
    assert times_s[0] >= 0
    assert times_s[-1] < 40
    if name != "constant":
        assert times_s != list(make(Random(12)))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: poisson(-1, 10, Random(1)), "arrival rate"),
        (lambda: poisson(math.inf, 10, Random(1)), "arrival rate"),
        (lambda: poisson(math.nan, 10, Random(1)), "arrival rate"),
        (lambda: poisson(10, 0, Random(1)), "duration"),
        (lambda: constant(10, math.inf), "duration"),
        (lambda: on_off(10, 10, Random(1), on_share=0), "on_share"),
        (lambda: on_off(10, 10, Random(1), on_share=1.1), "on_share"),
        (lambda: on_off(10, 10, Random(1), period_s=0), "period_s"),
        (lambda: on_off(10, 10, Random(1), phases="square"), "phases"),
        (lambda: burstiness_of_on_off(-1), "arrival rate"),
        (lambda: steps([], Random(1)), "at least one"),
        (lambda: steps([(10, 10), (10, -1)], Random(1)), "duration"),
    ],
)
def test_bad_values_are_refused_at_once(make, what):
    """The call itself raises, not the first arrival, and the message names the value."""
    with pytest.raises(ConfigurationError, match=what):
        make()

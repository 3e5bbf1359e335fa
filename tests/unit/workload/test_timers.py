"""Functions called by a clock."""

from random import Random

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.statistics import burstiness
from sojourn.workload.timers import burstiness_of_timer, rate_of_timer, timer


def test_a_plain_timer_fires_at_equal_distances():
    """From its phase on, several calls at once."""
    assert list(timer(10, 35, Random(1), phase_s=2)) == [2, 12, 22, 32]
    assert list(timer(10, 25, Random(1), phase_s=0, calls=2)) == [0, 0, 10, 10, 20, 20]


def test_the_phase_is_drawn_unless_given():
    """So that many timers of one period do not fire together."""
    firsts = {next(timer(60, 100, Random(seed))) for seed in range(50)}
    assert len(firsts) == 50
    assert all(0 <= first < 60 for first in firsts)


@pytest.mark.parametrize(
    "pattern",
    [
        {},
        {"calls": 5},
        {"jitter_s": 0.4},
        {"jitter_s": 1.0, "calls": 4},
        {"extra_share": 0.3},
        {"extra_share": 0.2, "calls": 3},
    ],
)
def test_rate_and_burstiness_are_those_of_the_formulas(pattern):
    """Thousands of firings, with every kind of irregularity."""
    times_s = list(timer(1.0, 20_000, Random(5), **pattern))
    shape = {name: value for name, value in pattern.items() if name != "jitter_s"}
    assert len(times_s) / 20_000 == pytest.approx(rate_of_timer(1.0, **shape), rel=0.02)
    assert burstiness(times_s) == pytest.approx(burstiness_of_timer(1.0, **pattern), rel=0.03, abs=1e-6)


def test_few_extra_calls_hardly_change_the_burstiness():
    """The formula's limit for no extra calls, where its terms cancel, is the one without them."""
    assert burstiness_of_timer(1.0, extra_share=1e-7, calls=3) == pytest.approx(2, abs=1e-4)
    assert burstiness_of_timer(1.0, extra_share=1.1e-4) == pytest.approx(
        burstiness_of_timer(1.0, extra_share=0.9e-4), abs=1e-4
    )


def test_jitter_neither_reorders_nor_leaves_the_run():
    """Also when it is as long as the period, and for calls of the firing before the run."""
    times_s = list(timer(1.0, 500, Random(7), jitter_s=1.0, calls=3, extra_share=0.5))
    assert times_s == sorted(times_s)
    assert 0 <= times_s[0] < 1
    assert times_s[-1] < 500


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"period_s": 0}, "period_s"),
        ({"jitter_s": 11}, "jitter_s"),
        ({"extra_share": -1}, "extra_share"),
        ({"calls": 0}, "calls"),
        ({"calls": 1.5}, "calls"),
        ({"phase_s": 10}, "phase_s"),
        ({"duration_s": 0}, "duration"),
    ],
)
def test_bad_values_are_refused_at_once(change, what):
    """The call raises, and the message names the value."""
    with pytest.raises(ConfigurationError, match=what):
        timer(**({"period_s": 10, "duration_s": 100, "rng": Random(1)} | change))

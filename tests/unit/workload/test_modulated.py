"""Markov-modulated arrivals: rate, burstiness and dispersion against their formulas."""

from random import Random

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.arrivals import burstiness_of_on_off
from sojourn.workload.modulated import burstiness_of_mmpp, dispersion_of_mmpp, mean_rate_of_mmpp, mmpp
from sojourn.workload.recorded import Instants
from sojourn.workload.statistics import burstiness, dispersion

CHAINS = {
    "two": {"rates_per_s": (5.0, 60.0), "stays_s": (2.0, 0.5)},
    "three": {"rates_per_s": (1.0, 20.0, 100.0), "stays_s": (1.0, 0.5, 0.1)},
    "cycle": {
        "rates_per_s": (0.0, 30.0, 90.0),
        "stays_s": (0.5, 0.5, 0.2),
        "moves": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    },
}


@pytest.mark.parametrize("name", CHAINS)
def test_rate_burstiness_and_dispersion_are_those_of_the_formulas(name):
    """Over thousands of changes of state, also with a chain that goes round and has a silent state."""
    chain = CHAINS[name]
    times_s = list(mmpp(**chain, duration_s=8000, rng=Random(3)))
    assert len(times_s) / 8000 == pytest.approx(mean_rate_of_mmpp(**chain), rel=0.04)
    assert burstiness(times_s) == pytest.approx(burstiness_of_mmpp(**chain), rel=0.06)
    counts = Instants(times_s).binned(20.0, 400)
    assert dispersion(counts) == pytest.approx(dispersion_of_mmpp(**chain), rel=0.25)


def test_one_silent_state_of_two_is_the_on_off_process():
    """Both formulas agree: on share 0.2 of a period of 5 s, at 50/s while on."""
    chain = {"rates_per_s": (50.0, 0.0), "stays_s": (1.0, 4.0)}
    assert mean_rate_of_mmpp(**chain) == pytest.approx(10)
    assert burstiness_of_mmpp(**chain) == pytest.approx(burstiness_of_on_off(10, on_share=0.2, period_s=5))


def test_equal_rates_are_poisson():
    """Whatever the chain does, then, cannot be seen."""
    chain = {"rates_per_s": (7.0, 7.0, 7.0), "stays_s": (1.0, 2.0, 3.0)}
    assert burstiness_of_mmpp(**chain) == pytest.approx(1)
    assert dispersion_of_mmpp(**chain) == pytest.approx(1)
    assert burstiness_of_mmpp((0.0, 0.0), (1.0, 1.0)) == dispersion_of_mmpp((0.0, 0.0), (1.0, 1.0)) == 1


def test_a_run_begins_in_any_state():
    """Over many seeds the first instant has the mean rate: runs do not all begin in the first state."""
    first = sum(len(list(mmpp((0.0, 200.0), (30.0, 10.0), 0.1, Random(seed)))) for seed in range(3000))
    assert first / 3000 == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"rates_per_s": (1.0,), "stays_s": (1.0,)}, "number of states"),
        ({"rates_per_s": (1.0, -1.0)}, "each rate"),
        ({"stays_s": (1.0, 0.0)}, "each stay"),
        ({"stays_s": (1.0,)}, "one number per state"),
        ({"moves": ((0, 1),)}, "2 rows"),
        ({"moves": ((0, 0.5), (1, 0))}, r"moves\[0\]"),
        ({"moves": ((0.5, 0.5), (1, 0))}, r"moves\[0\]"),
        (
            {"rates_per_s": (1, 2, 3), "stays_s": (1, 1, 1), "moves": ((0, 1, 0), (1, 0, 0), (1, 0, 0))},
            "from every state",
        ),
        ({"duration_s": 0}, "duration"),
    ],
)
def test_bad_chains_are_refused_at_once(change, what):
    """The call raises, and the message names the value."""
    good = {"rates_per_s": (1.0, 2.0), "stays_s": (1.0, 1.0), "duration_s": 10, "rng": Random(1)}
    with pytest.raises(ConfigurationError, match=what):
        mmpp(**(good | change))


def test_all_faults_are_told_at_once():
    """One message names a bad rate and a bad stay."""
    with pytest.raises(ConfigurationError, match=r"each rate.*each stay"):
        mmpp((-1.0, 1.0), (1.0, -1.0), 10, Random(1))

"""Utilities that are remembered, and what the next replicas gain."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sojourn.domain.demand import ServiceTimes
from sojourn.domain.resources import Resources
from sojourn.policy.allocation.port import Demand
from sojourn.policy.allocation.utility import utility
from sojourn.policy.allocation.worth import Worth, Worths, flattened, slopes

TABLE_S = (0.0, 0.02, 0.03, 0.04)
KNOWN = Demand(
    function="f",
    claim=Resources(cpus=1.0),
    wanted=4,
    arrivals_per_s=150.0,
    service=ServiceTimes(1, TABLE_S, TABLE_S, 3, 100),
    latency_s=0.1,
)
UNKNOWN = replace(KNOWN, service=None)


@pytest.mark.parametrize(
    "change",
    [
        {"arrivals_per_s": 151.0},
        {"slots": 2},
        {"latency_s": 0.2},
        {"service": None},
        {"service": ServiceTimes(2, TABLE_S, TABLE_S, 3, 101)},
    ],
)
def test_what_utilities_depend_on_makes_them_void(change):
    """Each by itself; and a new worth is worked out."""
    changed = replace(KNOWN, **change)
    assert not Worth(KNOWN).holds_for(changed)
    worths = Worths()
    worths.of([KNOWN])[0].of(1)
    assert worths.of([changed])[0].of(1) == utility(changed, 1)


def test_a_want_counts_only_while_service_times_are_unknown():
    """Then the utility is the share of the want that is met."""
    assert Worth(KNOWN).holds_for(replace(KNOWN, wanted=9))
    assert not Worth(UNKNOWN).holds_for(replace(UNKNOWN, wanted=9))


def test_what_utilities_do_not_depend_on_leaves_them_valid():
    """A floor, a weight, replicas that came and a longer cold start: the same worth is used on."""
    worths = Worths()
    before = worths.of([KNOWN])
    assert worths.of([replace(KNOWN, minimum=1, weight=3.0, current=2, cold_start_s=5.0)]) == before


def test_functions_that_are_gone_are_forgotten():
    """What is remembered is bounded by the last allocation."""
    worths = Worths()
    before = worths.of([KNOWN])
    worths.of([replace(KNOWN, function="g")])
    assert worths.of([KNOWN]) != before


def test_past_the_first_count_that_is_perfect_nothing_is_gained():
    """And no utility is worked out for it: all counts past it are zeros, also from a perfect minimum on."""
    assert [utility(KNOWN, count) for count in (3, 4)] == [1.0, 1.0]
    gains = slopes(KNOWN, 9, Worth(KNOWN), 0.25)
    assert len(gains) == 9
    assert gains[0] > 0.0
    assert gains[3:] == [0.0] * 6
    assert slopes(replace(KNOWN, minimum=3), 9, Worth(KNOWN), 0.25) == [0.0] * 6


def test_a_gain_that_comes_late_is_spread_over_what_leads_to_it():
    """The concave majorant: sums are kept at its corners, steps never grow."""
    assert flattened([0.1, 0.9, 0.2]) == pytest.approx([0.5, 0.5, 0.2])
    assert flattened([0.0, 0.0, 0.9, 0.1]) == pytest.approx([0.3, 0.3, 0.3, 0.1])
    assert flattened([0.5, 0.3, 0.1]) == pytest.approx([0.5, 0.3, 0.1])

"""The clock that runs while a function has no replica."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.cold_clock import ColdClock


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=30))
def test_it_counts_exactly_the_time_without_a_replica(steps):
    """Whenever it is read, and however often replicas come and go; it begins with the first look at it."""
    clock, now_s, is_warm, expected_s = ColdClock(), 5.0, False, 0.0
    assert clock.readings_s(now_s)[0] == 0.0
    for gap_s, turns in steps:
        now_s += gap_s
        expected_s += 0.0 if is_warm else gap_s
        assert abs(clock.readings_s(now_s)[0] - expected_s) < 1e-6
        if turns:
            clock.turn(now_s)
            is_warm = not is_warm
        assert clock.is_warm is is_warm
        assert abs(clock.readings_s(now_s)[0] - expected_s) < 1e-6


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=30))
def test_it_knows_which_part_began_with_a_loss(steps):
    """A loss while there is no replica anyway changes nothing."""
    clock, now_s, expected_s, is_lost = ColdClock(), 5.0, 0.0, False
    clock.turn(now_s)
    for gap_s, loses in steps:
        now_s += gap_s
        expected_s += gap_s if is_lost and not clock.is_warm else 0.0
        assert abs(clock.readings_s(now_s)[1] - expected_s) < 1e-6
        if loses:
            is_lost = is_lost or clock.is_warm
            clock.lost()
        clock.turn(now_s)
        is_lost = is_lost and not clock.is_warm
        assert abs(clock.readings_s(now_s)[1] - expected_s) < 1e-6

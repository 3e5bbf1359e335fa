"""The arrival rate over the last second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.estimate.rate import EventRate


def test_a_steady_stream_has_its_rate():
    """Two hundred a second are seen as two hundred a second."""
    rate = EventRate()
    for index in range(1000):
        rate.record(1000.0 + index / 200)
    assert rate.per_s(1005.0) == pytest.approx(200, rel=0.02)


def test_silence_brings_it_to_zero():
    """After the window has passed nothing is left."""
    rate = EventRate()
    for index in range(50):
        rate.record(index / 50)
    assert rate.per_s(5.0) == 0.0


def test_before_the_first_second_the_time_since_the_first_counts():
    """Ten arrivals in the first 200 ms are fifty a second, not ten."""
    rate = EventRate()
    for index in range(10):
        rate.record(7.0 + index * 0.02)
    assert rate.per_s(7.2) == pytest.approx(50, rel=0.05)


@given(st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_it_never_counts_more_than_a_plain_list_would(gaps_s):
    """Against the plain way: no arrival older than the window plus one cell is counted, no fresh one is missed."""
    rate, at_s, arrivals = EventRate(), 5.0, []
    for gap_s in gaps_s:
        at_s += gap_s
        arrivals.append(at_s)
        rate.record(at_s)
    count = rate.per_s(at_s) * max(min(0.9 + at_s - int(at_s / 0.1) * 0.1, at_s - arrivals[0]), 0.1)
    assert sum(a > at_s - 0.9 for a in arrivals) - 0.5 <= count <= sum(a > at_s - 1.1 for a in arrivals) + 0.5

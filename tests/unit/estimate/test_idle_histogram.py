"""The histogram of idle times, against plain lists."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.estimate.idle_histogram import BIN_S, RANGE_S, IdleHistogram

times_s = st.lists(st.one_of(st.floats(0, 14_399), st.floats(14_400, 1e6)), min_size=1, max_size=200)


def filled(idle_times_s):
    histogram = IdleHistogram()
    for idle_s in idle_times_s:
        histogram.add(idle_s)
    return histogram


@given(times_s, st.floats(0, RANGE_S))
def test_the_share_of_longer_ones_is_never_too_low_and_a_bin_at_most_too_high(idle_times_s, than_s):
    """Whoever trusts it keeps a replica long enough, and not much longer."""
    share = filled(idle_times_s).longer_share(than_s)
    assert share >= sum(idle_s > than_s for idle_s in idle_times_s) / len(idle_times_s)
    assert share <= sum(idle_s >= than_s - BIN_S for idle_s in idle_times_s) / len(idle_times_s)


@given(times_s, st.floats(0, 1))
def test_the_shortest_that_covers_is_the_shortest(idle_times_s, share):
    """It leaves at most the share, and a minute less leaves more; infinite if even the range leaves more."""
    histogram = filled(idle_times_s)
    found_s = histogram.shortest_covering(share)
    if found_s == inf:
        assert histogram.longer_share(RANGE_S) > share
    else:
        assert histogram.longer_share(found_s) <= share
        assert found_s == BIN_S or histogram.longer_share(found_s - BIN_S) > share


def test_a_quantile_lies_between_its_edges():
    """Of 1, 2 .. 100 minutes the 5th and 99th percentile are the 5th and 99th; longer ones are left out."""
    histogram = filled([minute * 60.0 for minute in range(1, 101)] + [1e6] * 50)
    assert histogram.quantile_s(0.05) == (300.0, 360.0)
    assert histogram.quantile_s(0.99) == (99 * 60.0, 100 * 60.0)
    assert histogram.quantile_s(0.0) == (60.0, 120.0)
    assert histogram.outside_share == pytest.approx(1 / 3)


def test_variation_tells_a_peak_from_a_plain():
    """All in one of 240 bins: sqrt(239); one in each: 0; nothing inside: 0."""
    assert filled([100.0] * 50).variation == pytest.approx(239**0.5)
    assert filled([minute * 60.0 for minute in range(240)]).variation == 0.0
    assert filled([1e6]).variation == 0.0


def test_what_was_long_ago_fades():
    """After thousands of short idle times, as many long ones are most of what is remembered; sums stay true."""
    histogram = filled([10.0] * 4096)
    for _ in range(12_000):
        histogram.add(7200.0)
    assert histogram.count <= 4096
    assert histogram.longer_share(60.0) > 0.9
    assert histogram.mean_s == pytest.approx(7200 * histogram.longer_share(60.0), rel=0.05)

"""Kubernetes' rule on the busy share."""

from __future__ import annotations

from itertools import groupby

from sojourn.domain.policy import UtilizationScaling
from sojourn.policy.scaling.utilization import UtilizationPolicy


def utilization(**parameters):
    return UtilizationPolicy(UtilizationScaling(**parameters))


def test_the_ratio_to_the_target(function):
    """4 replicas 90 % busy at a target of 70 % are 5.14: 6, at the next period."""
    under_load = function(utilization(), ready=4, obeys=False)
    wants = under_load.live(31, busy_share=0.9, in_flight=4)
    assert wants[-1].replicas == 6
    assert "busy share 0.90 / 0.7 = 1.29 of 4" in wants[-1].why


def test_within_the_tolerance_nothing_changes(function):
    """76 % is 1.09 times the target and changes nothing; 78 % is 1.11 times and does."""
    for busy_share, replicas in ((0.76, 10), (0.78, 12), (0.64, 10)):
        under_load = function(utilization(down_window_s=0.0), ready=10, obeys=False)
        assert under_load.live(31, busy_share=busy_share, in_flight=9)[-1].replicas == replicas


def test_up_by_at_most_doubling_or_four_in_fifteen_seconds(function):
    """From one all-busy replica 20 are asked for: 5 first (four more), then 10, then 20, then 40 (doubling)."""
    under_load = function(utilization(target=0.05), ready=1)
    seen = [want.replicas for want in under_load.live(61, busy_share=1.0, in_flight=9)]
    assert [count for count, _ in groupby(seen)][-4:] == [5, 10, 20, 40]


def test_a_short_period_does_not_outrun_the_limit(function):
    """Deciding every second, it still adds no more than 4 within 15 s to a single replica."""
    under_load = function(utilization(target=0.05, period_s=1.0), ready=1)
    assert max(want.replicas for want in under_load.live(14, busy_share=1.0, in_flight=9)) == 5


def test_down_only_to_the_largest_recommendation_of_the_window(function):
    """Busy replicas that fall idle are kept for the window, then go."""
    under_load = function(utilization(down_window_s=60.0), ready=8)
    under_load.live(31, busy_share=0.7, in_flight=8)
    assert {want.replicas for want in under_load.live(45, busy_share=0.1, in_flight=1)} == {8}
    assert "8 within 60 s" in under_load.want.why
    assert under_load.live(45, busy_share=0.1, in_flight=1)[-1].replicas == 2


def test_those_starting_are_waited_for(function):
    """Two replicas 100 % busy are 2.86 at the target; with two starting, counted as idle, four are kept, not three."""
    under_load = function(utilization(down_window_s=0.0), ready=2, obeys=False)
    under_load.starting = 2
    assert under_load.live(31, busy_share=1.0, in_flight=2)[-1].replicas == 4
    assert under_load.want.why == "busy share 1.00 / 0.7, with 2 starting 0.71"


def test_from_zero_the_first_request_starts_one(function):
    """A busy share of nothing says nothing; a request that waits does."""
    under_load = function(utilization(), ready=0)
    assert under_load.live(5)[-1].replicas == 0
    assert under_load.live(0.25, waiting=1)[-1].replicas == 1

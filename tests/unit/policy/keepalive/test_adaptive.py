"""What the adaptive keep-alive answers after idle times of known shape, and what that would have cost."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.policy import AdaptiveKeepAlive, FixedKeepAlive
from sojourn.policy.keepalive.adaptive import AdaptiveKeepAlivePolicy
from sojourn.policy.keepalive.catalogue import keepalive_policy
from sojourn.policy.keepalive.port import KeepAliveView

VIEW = KeepAliveView(latency_s=0.1, budget=0.01, cold_start_s=2.0)


def taught(idle_times_s):
    policy = AdaptiveKeepAlivePolicy()
    for idle_s in idle_times_s:
        policy.idle_ended(idle_s)
    return policy


def cost(answer, idle_s, cold_start_s=2.0):
    """Replica time spent in an idle time, and whether its end is a cold request."""
    again_s = answer.prewarm_after_s
    if idle_s <= answer.keep_s or again_s is None or idle_s <= again_s:
        return min(idle_s, answer.keep_s), idle_s > answer.keep_s
    spent_s = answer.keep_s + min(idle_s - again_s, answer.prewarm_keep_s)
    return spent_s, idle_s < again_s + cold_start_s or idle_s > again_s + answer.prewarm_keep_s


def test_ten_minutes_until_ten_idle_times_are_known():
    """Nine say too little; so do times of which many are past four hours."""
    assert taught([45.0] * 9).decide(VIEW).keep_s == 600.0
    assert "9 of 10 idle times seen" in taught([45.0] * 9).decide(VIEW).why
    assert taught([45.0] * 10).decide(VIEW).keep_s < 600.0
    assert taught([45.0] * 8 + [20_000.0] * 2).decide(VIEW).keep_s == 600.0


def test_idle_times_spread_evenly_are_not_trusted():
    """The same number in each of the 240 bins: their variation is 0."""
    answer = taught([minute * 60.0 + 1 for minute in range(240)]).decide(VIEW)
    assert answer.keep_s == 600.0
    assert "spread evenly" in answer.why


def test_the_shortest_that_covers_all_but_the_allowed_share_and_a_minute():
    """With 1 % budget a quarter percent may be cold: of 1000 idle times 2 may outlast the keep-alive, not 3."""
    usual = [minute * 60.0 + 1 for minute in range(10)] * 100
    assert taught([*usual[2:], 620.0, 620.0]).decide(VIEW).keep_s == 600.0 + 60.0
    assert taught([*usual[3:], 620.0, 620.0, 620.0]).decide(VIEW).keep_s == 660.0 + 60.0


def test_many_requests_per_idle_time_make_a_cold_start_cheap():
    """Two cold starts in a hundred idle times are 0.2 % of the requests where ten come in each stretch."""
    few, many = (KeepAliveView(0.1, 0.01, 2.0, per_idle) for per_idle in (1.0, 10.0))
    policy = taught([10.0] * 98 + [70.0, 70.0])
    assert policy.decide(few).keep_s == 120.0 + 60.0
    assert policy.decide(many).keep_s == 60.0 + 60.0


def test_a_regular_function_is_started_ahead_of_time():
    """Every 30 minutes: gone after 30 s, back before the 27th minute, and ready when it is called."""
    answer = taught([1800.0] * 20).decide(VIEW)
    assert answer.keep_s == 30.0
    assert answer.prewarm_after_s == 0.9 * 1800.0 - 2.0
    assert cost(answer, 1800.0) == (pytest.approx(30.0 + 182.0), False)
    assert cost(answer, 1860.0)[1] is False
    assert cost(answer, 3000.0)[1] is True


def test_no_start_ahead_of_time_where_it_costs_cold_requests():
    """With idle times of any length up to half an hour, whoever lets go before would be cold too often."""
    answer = taught([minute * 60.0 + 30 for minute in range(30)] * 4).decide(VIEW)
    assert answer.prewarm_after_s is None
    assert answer.keep_s == 1800.0 + 60.0


def test_a_rare_long_idle_time_is_waited_for_if_the_budget_asks_for_it():
    """Half a percent of idle times are two hours instead of half an hour: too many to be cold, so kept until then."""
    answer = taught([1800.0] * 995 + [7200.0] * 5).decide(VIEW)
    assert answer.prewarm_after_s == pytest.approx(0.9 * 1800.0 - 2.0)
    assert not cost(answer, 7200.0)[1]


def test_between_two_kinds_of_idle_time_nothing_is_kept():
    """A few minutes within a session, an hour between two: gone after the former, back for the latter."""
    answer = taught(([100.0] * 9 + [3600.0]) * 10).decide(VIEW)
    assert answer.keep_s == pytest.approx(1.1 * 120.0)
    assert answer.prewarm_after_s == pytest.approx(0.9 * 3600.0 - 2.0)
    assert not cost(answer, 100.0)[1]
    assert not cost(answer, 3600.0)[1]


def test_a_fast_start_needs_no_keep_alive():
    """Half the objective's latency is enough for a start of that length; without an objective nothing is."""
    policy = taught([1000.0] * 20)
    assert policy.decide(KeepAliveView(2.0, 0.01, 1.0)).keep_s == 30.0
    assert policy.decide(KeepAliveView(2.0, 0.01, 1.0)).prewarm_after_s is None
    assert "1 s fits into the objective's 2 s" in policy.decide(KeepAliveView(2.0, 0.01, 1.0)).why
    assert policy.decide(KeepAliveView(2.0, 0.01, 1.1)).prewarm_after_s is not None
    assert policy.decide(KeepAliveView(inf, 0.01, 1.0)).prewarm_after_s is not None


def test_a_budget_that_no_keep_alive_meets_is_told_with_its_price():
    """5 % of the idle times are longer than four hours; a replica for ever would cost the day."""
    answer = taught([50.0] * 95 + [20_000.0] * 5).decide(VIEW)
    assert answer.keep_s == 60.0 + 60.0
    assert "no keep-alive up to 4 h meets the budget, min_replicas=1 would: up to 86400 idle" in answer.why
    kept_s = 0.95 * 30 + 0.05 * 120  # a bin's middle stands for what is in it
    assert f"instead of about {86_400 * kept_s / (0.95 * 50 + 0.05 * 20_000):.0f}" in answer.why
    ahead = taught([1800.0] * 95 + [20_000.0] * 5).decide(VIEW)
    assert ahead.prewarm_after_s is not None
    assert "5.00% of requests cold predicted, 0.25% allowed" in ahead.why
    assert "min_replicas" not in taught([50.0] * 100).decide(VIEW).why


@given(
    st.lists(st.one_of(st.floats(0, 600), st.floats(0, 14_000), st.floats(0, 50_000)), max_size=60),
    st.floats(1e-4, 0.2),
    st.floats(0, 120),
    st.floats(1, 500),
)
def test_answers_are_within_their_bounds(idle_times_s, budget, cold_start_s, per_idle):
    """Kept for 30 s to 4 h; a start ahead of time comes after that and is kept for a while."""
    answer = taught(idle_times_s).decide(KeepAliveView(0.1, budget, cold_start_s, per_idle))
    assert 30.0 <= answer.keep_s <= 4 * 3600.0
    assert answer.why
    if answer.prewarm_after_s is not None:
        assert answer.prewarm_after_s > answer.keep_s
        assert answer.prewarm_keep_s > cold_start_s


@given(st.lists(st.floats(0, 14_000), min_size=10, max_size=60), st.floats(1, 60))
def test_on_what_it_has_seen_it_keeps_within_the_allowed_share(idle_times_s, cold_start_s):
    """If it trusts the idle times, at most the allowed share of them would have ended cold."""
    view = KeepAliveView(0.1, 0.04, cold_start_s)
    answer = taught(idle_times_s).decide(view)
    if "until more is known" in answer.why:
        return
    cold = sum(cost(answer, idle_s, cold_start_s)[1] for idle_s in idle_times_s)
    assert cold <= 0.25 * 0.04 * len(idle_times_s)


@pytest.mark.parametrize("minutes", [5, 20, 60])
def test_timers_cost_less_than_ten_minutes_and_are_never_cold(minutes):
    """A timer with a second's jitter, the commonest sparse function, after its first ten calls."""
    rng = Random(minutes)
    policy, fixed = AdaptiveKeepAlivePolicy(), keepalive_policy(FixedKeepAlive(600.0))
    adaptive_s = fixed_s = 0.0
    for call in range(60):
        idle_s = minutes * 60 + rng.uniform(-1, 1)
        if call >= 10:
            spent_s, is_cold = cost(policy.decide(VIEW), idle_s)
            assert not is_cold
            adaptive_s += spent_s
            fixed_s += cost(fixed.decide(VIEW), idle_s)[0]
        policy.idle_ended(idle_s)
    assert adaptive_s < 0.75 * fixed_s


def test_every_spec_has_its_policy():
    """Fixed keeps for what it says; adaptive is another for each function."""
    assert keepalive_policy(FixedKeepAlive(90.0)).decide(VIEW).keep_s == 90.0
    assert keepalive_policy(AdaptiveKeepAlive()) is not keepalive_policy(AdaptiveKeepAlive())

"""Knative's rules, through both metrics that use them."""

from __future__ import annotations

import pytest

from sojourn.domain.demand import DemandReport
from sojourn.domain.policy import ConcurrencyScaling, RPSScaling
from sojourn.policy.scaling.concurrency import ConcurrencyPolicy
from sojourn.policy.scaling.rps import RPSPolicy


def concurrency(**parameters):
    return ConcurrencyPolicy(ConcurrencyScaling(target=10, utilization=0.7, **parameters), 32)


def test_average_over_target_and_utilization(function):
    """20 in flight / (10 x 0.7) = 2.86 replicas: 3."""
    under_load = function(concurrency(), obeys=False)
    under_load.ready = 2
    assert under_load.live(4, in_flight=20)[-1].replicas == 3
    assert "20.0 in flight / (10 x 0.7) = 2.86" in under_load.want.why


def test_an_open_target_is_the_largest_batch(function):
    """With target 0 a replica is full with what one call may take."""
    under_load = function(ConcurrencyPolicy(ConcurrencyScaling(utilization=1.0), 32))
    assert under_load.live(4, in_flight=64)[-1].replicas == 2


def test_a_burst_is_panic_and_nothing_is_taken_away_until_a_calm_minute(function):
    """After a minute at 1 replica, 50 in flight ask for 8 within seconds; calm again, 8 stay for the stable window."""
    under_load = function(concurrency())
    assert under_load.live(60, in_flight=5)[-1].replicas == 1
    burst = under_load.live(8, in_flight=50)
    assert burst[-1].replicas == 8
    assert burst[-1].terms["in_panic"] == 1.0
    assert "panic: 6-s average" in burst[-1].why
    calm = under_load.live(50, in_flight=5)
    assert {want.replicas for want in calm} == {8}
    assert "held at 8" in calm[-1].why
    after = under_load.live(90, in_flight=5)
    assert after[-1].replicas == 1
    assert after[-1].terms["in_panic"] == 0.0


def test_panic_begins_at_the_factor_and_not_before(function):
    """With 2 ready, a fast average that asks for 3 is no panic; one that asks for 4 is."""
    for in_flight, is_panic in ((21, 0.0), (22, 1.0)):
        policy = concurrency()
        one = function(policy, ready=1, obeys=False)
        one.live(2, in_flight=1)
        one.ready = 2
        one.live(10, in_flight=in_flight)
        assert one.want.terms["in_panic"] == is_panic, in_flight


def test_outside_panic_one_decision_at_most_halves(function):
    """From 16 replicas an idle function goes 8, 4, 2, 1, 0: one step every 2 s."""
    under_load = function(concurrency(stable_s=2.0, panic_s=2.0, panic_factor=1000.0))
    under_load.live(10, in_flight=112)
    assert under_load.ready == 16
    seen = [want.replicas for want in under_load.live(40)]
    assert [count for count, before in zip(seen[1:], seen, strict=False) if count != before] == [8, 4, 2, 1, 0]
    assert seen.count(8) == 8  # 2 s of four answers each


def test_more_than_one_replica_at_the_first_decision_is_kept_as_in_panic(function):
    """A policy that has just been made does not know why they are there."""
    under_load = function(concurrency(), ready=6)
    assert {want.replicas for want in under_load.live(60, in_flight=1)} == {6}
    assert under_load.live(30, in_flight=1)[-1].replicas == 1


def test_the_first_request_is_heard_between_two_ticks(function):
    """After an idle stretch the answer 0 stands for 2 s, but a request that waits for a start is counted at once."""
    under_load = function(concurrency())
    under_load.live(80)
    assert under_load.ready == 0
    assert under_load.live(0.5, waiting=3)[-1].replicas == 1
    assert under_load.live(10, waiting=30)[-1].replicas == 5  # 30 waiting for the start count as in flight


def test_without_data_it_stays_as_it_is(function):
    """Neither before the first report nor after reports have stopped is anything changed."""
    silent = function(concurrency(), ready=3)
    silent.starting = 1
    assert silent.ask(DemandReport(function="f")).replicas == 4
    silent.starting = 0
    silent.live(4, in_flight=21)
    silent.now_s += 100
    assert silent.ask(DemandReport(function="f")).replicas == silent.ready
    assert "last report 100.0 s ago" in silent.want.why


@pytest.mark.parametrize(("per_s", "replicas"), [(100, 1), (300, 3), (1400, 10)])
def test_requests_per_second(function, per_s, replicas):
    """Arrivals / (200/s x 0.7)."""
    under_load = function(RPSPolicy(RPSScaling()))
    under_load.live(61, arrivals_per_s=per_s)
    assert under_load.want.replicas == replicas
    assert under_load.want.terms["stable"] == pytest.approx(per_s, rel=0.02)


def test_a_rise_in_rate_is_panic(function):
    """Ten times the rate asks for eight times the replicas within seconds."""
    under_load = function(RPSPolicy(RPSScaling()))
    under_load.live(60, arrivals_per_s=100)
    assert under_load.live(8, arrivals_per_s=1000)[-1].replicas == 8
    assert under_load.want.why.startswith("panic: 6-s average")

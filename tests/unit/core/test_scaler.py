"""From reports to a wish: who decides, when it is asked again, and the limits."""

from __future__ import annotations

import pytest

from sojourn.core.scaler import Scaler
from sojourn.domain.demand import DemandReport, ServiceTimes
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import FixedKeepAlive
from sojourn.policy.keepalive.catalogue import keepalive_policy
from sojourn.policy.keepalive.port import KeepAlive, KeepAliveView
from sojourn.policy.scaling.catalogue import scaling_policy

MEAN_S = (0.0, *(0.010 + 0.005 * size for size in range(1, 9)))
SERVICE = ServiceTimes(1, MEAN_S, MEAN_S, 8, 1000)


class PrewarmAfterAnHour:
    """Keeps for 30 s and has one ready from an hour after the idleness began, for ten minutes."""

    def __init__(self) -> None:
        self.idle_times_s: list[float] = []
        self.views: list[KeepAliveView] = []

    def idle_ended(self, idle_s: float) -> None:
        self.idle_times_s.append(idle_s)

    def decide(self, view: KeepAliveView) -> KeepAlive:
        self.views.append(view)
        return KeepAlive(30.0, "a test", 3600.0, 600.0)


def scaler(keepalive=None, *, most=10, idle_s=30.0, **options) -> Scaler:
    settings = FunctionSettings(name="f", slo=SLO(0.2), keepalive=FixedKeepAlive(idle_s), **options)
    policy = scaling_policy(settings.scaling, settings)
    return Scaler(settings, policy, keepalive or keepalive_policy(settings.keepalive), most)


def report(arrivals=0, **gauges) -> DemandReport:
    return DemandReport(function="f", arrivals=arrivals, **gauges)


def used(made: Scaler, at_s=1.0) -> Scaler:
    """A scaler whose first replica is ready at 0.5 s and whose first request has ended at `at_s`."""
    made.became_ready(0.5, 0.5)
    made.demand_reported(report(1, ongoing=1, service=SERVICE), at_s - 0.5)
    made.demand_reported(report(1), at_s)
    return made


def test_a_new_function_wants_one_replica_that_shows_whether_it_loads():
    """Until it was ready or failed once, or somebody asks."""
    made = scaler()
    for now_s in (0.0, 1e5):
        wish = made.wish(0, (now_s,), now_s)
        assert (wish.replicas, wish.cause) == (1, "start")


def test_the_last_replica_is_kept_for_the_keep_alive_and_then_let_go():
    """At the very instant that `next_look_at_s` names, not before."""
    made = used(scaler())
    assert made.wish(1, (), 1.0).replicas == 1
    assert made.next_look_at_s(1, 1.0) == pytest.approx(31.0)
    assert made.wish(1, (), 30.999).replicas == 1
    over = made.wish(1, (), 31.0)
    assert (over.replicas, over.cause, over.why) == (0, "keep_alive", "idle for 30 s; fixed at 30 s")
    assert made.next_look_at_s(0, 31.0) == float("inf")


def test_never_used_it_is_kept_from_when_it_was_ready():
    """A slow load does not eat the keep-alive."""
    made = scaler()
    made.became_ready(20.0, 20.0)
    assert made.wish(1, (), 49.9).replicas == 1
    assert made.wish(1, (), 50.0).replicas == 0


def test_never_ready_it_is_tried_for_a_keep_alive_from_the_first_failure():
    """Later failures do not prolong it."""
    made = scaler()
    made.failed(2.0)
    made.failed(20.0)
    assert made.wish(0, (), 31.9).replicas == 1
    assert made.wish(0, (), 32.0).replicas == 0
    made.demand_reported(report(1, waiting=1), 40.0)
    assert (made.wish(0, (), 40.0).replicas, made.wish(0, (), 40.0).cause) == (1, "request")


def test_an_arrival_ends_the_idle_time_and_begins_the_keep_alive_anew():
    """Also one that has ended already when the next report comes."""
    keepalive = PrewarmAfterAnHour()
    made = used(scaler(keepalive), at_s=1.0)
    made.demand_reported(report(2), 21.0)
    assert keepalive.idle_times_s == [0.0, 20.0]
    assert made.wish(1, (), 31.0).replicas == 1
    assert made.wish(1, (), 51.0).replicas == 0


def test_work_under_way_is_no_idleness():
    """A request that runs for an hour keeps its replica."""
    made = used(scaler())
    made.demand_reported(report(2, ongoing=1), 5.0)
    made.demand_reported(report(2, ongoing=1), 3600.0)
    assert made.wish(1, (), 3600.0).replicas == 1


def test_a_replica_is_started_ahead_of_the_next_request_and_let_go_again():
    """Off at 30 s, on for ten minutes from an hour on, off; each at an instant asked for in advance."""
    made = used(scaler(PrewarmAfterAnHour()))
    looks, now_s, present = [], 1.0, 1
    while now_s < 1e6:
        present = made.wish(present, (), now_s).replicas
        looks.append((now_s, present))
        now_s = made.next_look_at_s(present, now_s)
    assert looks == [(1.0, 1), (31.0, 0), (3601.0, 1), (4201.0, 0)]


def test_the_keep_alive_policy_sees_objective_budget_and_cold_start():
    """The longest of the last five starts counts."""
    keepalive = PrewarmAfterAnHour()
    made = scaler(keepalive)
    for cold_start_s in (9.0, 1.0, 2.0, 1.5, 1.0, 0.5):
        made.became_ready(cold_start_s, 10.0)
    made.wish(1, (), 100.0)
    assert made.cold_start_s == 2.0
    assert keepalive.views[0].latency_s == 0.2
    assert keepalive.views[0].budget == pytest.approx(0.01)
    assert keepalive.views[0].cold_start_s == 2.0


def test_at_work_the_policy_never_takes_the_last_replica():
    """Zero is the keep-alive's to say."""
    made = used(scaler())
    made.demand_reported(report(2, ongoing=1), 2.0)
    for now_s in (2.0, 3.0, 90.0):
        made.demand_reported(report(2, ongoing=1), now_s)
        assert made.wish(1, (), now_s).replicas == 1


def test_idle_with_several_it_is_asked_every_second():
    """No report will come, and yet those that are too many must go."""
    made = used(scaler())
    assert made.next_look_at_s(3, 1.0) == 2.0
    assert made.wish(3, (), 2.0).replicas == 3


def test_floor_and_ceiling_bound_the_wish_and_say_so():
    """A floor of two is kept without any use; a ceiling cuts what the queue asks for."""
    made = used(scaler(min_replicas=2))
    wish = made.wish(2, (), 1000.0)
    assert (wish.replicas, wish.why.rpartition("; ")[2]) == (2, "min_replicas=2")
    cut = used(scaler(max_replicas=3))
    cut.demand_reported(report(999, waiting=900), 2.0)
    assert cut.wish(0, (), 2.0).replicas == 3


def test_without_a_ceiling_the_pool_is_the_ceiling():
    """What the pool would hold of it alone."""
    made = used(scaler(most=4))
    made.demand_reported(report(9999, waiting=9000), 2.0)
    assert made.wish(0, (), 2.0).replicas == 4


def test_limits_can_be_set_anew_one_at_a_time():
    """A floor above the ceiling lifts the ceiling, for as long as it is so high."""
    made = scaler(min_replicas=1, max_replicas=4)
    made.limit(None, 2)
    assert (made.min_replicas, made.max_replicas) == (1, 2)
    made.limit(3, None)
    assert (made.min_replicas, made.max_replicas) == (3, 3)
    made.limit(0, None)
    assert (made.min_replicas, made.max_replicas) == (0, 2)

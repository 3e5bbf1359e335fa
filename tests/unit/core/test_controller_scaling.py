"""The controller gives functions what they want as far as the pool, the cores and the failures allow."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.controller import Controller
from sojourn.domain.action import (
    DrainReplica,
    LeaseReplica,
    RecordScaling,
    ResumeStarts,
    StartReplica,
    StopReplica,
    SuspendStarts,
)
from sojourn.domain.demand import DemandReport, ServiceTimes
from sojourn.domain.event import (
    DemandReported,
    FunctionDeployed,
    FunctionRemoved,
    LeaseReturned,
    ReplicaExited,
    ReplicaReady,
    ScaleRequested,
    Tick,
)
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import AdaptiveKeepAlive, FixedKeepAlive
from sojourn.domain.replica import ReplicaState
from sojourn.domain.resources import Resources

MEAN_S = (0.0, *(0.010 + 0.005 * size for size in range(1, 9)))
SERVICE = ServiceTimes(1, MEAN_S, MEAN_S, 8, 1000)
KEEP_S = 30.0


class Fleet:
    """A controller with its pool, checked after each step; replicas behave as they are told to."""

    def __init__(self, cpus=8.0, gpus=0.0) -> None:
        self.controller = Controller(Random(1), Resources(cpus, gpus, 2**40))
        self.decisions = []

    def __call__(self, event, now_s):
        actions = self.controller.step(event, now_s)
        self.controller.check(now_s)
        self.decisions += [action.decision for action in actions if isinstance(action, RecordScaling)]
        return [action for action in actions if not isinstance(action, RecordScaling)]

    def deploy(self, name="f", now_s=0.0, **options):
        defaults = {"slo": SLO(0.2), "keepalive": FixedKeepAlive(KEEP_S), "start_timeout_s": 60.0}
        return self(FunctionDeployed(FunctionSettings(name=name, **{**defaults, **options})), now_s)

    def report(self, now_s, name="f", arrivals=0, **gauges):
        report = DemandReport(function=name, arrivals=arrivals, service=SERVICE, **gauges)
        return self(DemandReported(report), now_s)

    def ready(self, now_s, *replica_ids):
        return [action for replica_id in replica_ids for action in self(ReplicaReady(replica_id), now_s)]

    def drained(self, now_s, *replica_ids):
        """Leases come back, processes are told to stop and are gone; what is ordered then."""
        orders = []
        for replica_id in replica_ids:
            assert self(LeaseReturned(replica_id), now_s) == [StopReplica("f", replica_id)]
            orders += self(ReplicaExited(replica_id, "stopped"), now_s)
        return orders

    def states(self, name="f"):
        return {member.replica_id: member.state for member in self.controller.members(name)}

    def at_zero(self, now_s=100.0):
        """Served once, kept for nothing, gone."""
        self.deploy()
        self.ready(1.0, 1)
        self.report(2.0, arrivals=1, is_quiet=True)
        assert self(Tick(), now_s) == [DrainReplica("f", 1)]
        return self


def starts(actions):
    return [action.replica_id for action in actions if isinstance(action, StartReplica)]


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


# From one to zero and back.


def test_the_last_replica_is_let_go_at_the_end_of_the_keep_alive(fleet):
    """The controller asks to be woken for it, and the reason is told."""
    fleet.deploy()
    fleet.ready(1.0, 1)
    fleet.report(2.0, arrivals=1, is_quiet=True)
    assert fleet.controller.next_wake_at_s == pytest.approx(2.0 + KEEP_S)
    assert fleet(Tick(), 2.0 + KEEP_S) == [DrainReplica("f", 1)]
    assert fleet.decisions[-1].sentence() == "1 -> 0: idle for 30 s; fixed at 30 s"
    assert fleet.decisions[-1].cause == "keep_alive"
    assert fleet.drained(33.0, 1) == []
    assert fleet.controller.next_wake_at_s is None
    assert fleet.controller.held == Resources()


def test_the_first_report_of_somebody_waiting_starts_one_in_its_own_step(fleet):
    """From zero, after hours."""
    fleet.at_zero()
    fleet.drained(100.0, 1)
    assert starts(fleet.report(9000.0, arrivals=2, waiting=1)) == [2]
    assert fleet.ready(9001.0, 2) == [LeaseReplica("f", 2)]


def test_from_zero_as_many_start_as_the_queue_asks_for(fleet):
    """110 wait where a replica does 160/s and S leaves 150 ms: five at once, not one."""
    fleet.at_zero()
    fleet.drained(100.0, 1)
    assert len(starts(fleet.report(200.0, arrivals=111, waiting=110))) == 5
    assert fleet.decisions[-1].sentence() == "0 -> 5: 110 waiting need 4.6 replicas at b=8"
    assert fleet.decisions[-1].cause == "request"


def test_an_arrival_during_the_teardown_starts_another(fleet):
    """The drain was ordered in the step before: the new one does not wait for the old one to be gone."""
    fleet.at_zero()
    assert starts(fleet.report(100.001, arrivals=2, waiting=1)) == [2]
    assert fleet.states() == {1: ReplicaState.DRAINING, 2: ReplicaState.STARTING}
    assert fleet.drained(100.1, 1) == []
    assert fleet.ready(101.0, 2) == [LeaseReplica("f", 2)]


def test_an_arrival_during_the_teardown_of_a_full_pool_starts_as_soon_as_there_is_room():
    """One core: the start comes with the exit, without another report."""
    fleet = Fleet(cpus=1).at_zero()
    assert fleet.report(100.001, arrivals=2, waiting=1) == []
    assert fleet(LeaseReturned(1), 100.1) == [StopReplica("f", 1)]
    assert fleet(ReplicaExited(1, "stopped"), 100.2) == [StartReplica("f", 2)]


def test_an_exit_that_was_ordered_is_no_failure(fleet):
    """The next start need not wait."""
    fleet.at_zero()
    fleet.drained(100.0, 1)
    assert fleet.controller.start_failure("f") == ""
    assert starts(fleet.report(100.1, arrivals=2, waiting=1)) == [2]


def test_a_replica_that_becomes_ready_after_it_was_told_to_stop_is_not_leased(fleet):
    """The two may cross."""
    fleet.deploy(min_replicas=1)
    fleet(FunctionRemoved("f"), 0.5)
    assert fleet(ReplicaReady(1), 0.6) == []


def test_a_replica_is_ready_ahead_of_a_request_that_comes_every_hour(fleet):
    """After a dozen hours of one request each: let go after it, started again before the next, no request needed."""
    fleet.deploy(keepalive=AdaptiveKeepAlive())
    fleet.ready(1.0, 1)
    for hour in range(1, 15):
        asked_s = 3600.0 * hour
        orders = [(asked_s, order) for order in fleet.report(asked_s, arrivals=hour, ongoing=1)]
        orders += [(asked_s + 0.1, order) for order in fleet.report(asked_s + 0.1, arrivals=hour, is_quiet=True)]
        in_this_hour = []
        while True:
            for at_s, order in orders:
                in_this_hour.append((at_s - asked_s, type(order)))
                if isinstance(order, StartReplica):
                    fleet.ready(at_s, order.replica_id)
                elif isinstance(order, DrainReplica):
                    fleet.drained(at_s, order.replica_id)
            wake_at_s = fleet.controller.next_wake_at_s
            if wake_at_s is None or wake_at_s >= asked_s + 3600.0:
                break
            orders = [(wake_at_s, order) for order in fleet(Tick(), wake_at_s)]
    (gone_s, gone), (again_s, again) = in_this_hour
    assert (gone, again) == (DrainReplica, StartReplica)
    assert gone_s < 60.0
    assert 3000.0 < again_s < 3600.0
    assert "started ahead of the next request" in fleet.decisions[-1].why


# The pool.


def test_starts_wait_for_drains_when_the_pool_is_used_up():
    """Three cores, all held by `f`; `g` needs one: `f` lets one go, and `g` starts when its process has ended."""
    fleet = Fleet(cpus=3)
    fleet.deploy(min_replicas=1)
    fleet.ready(1.0, 1)
    fleet.report(2.0, arrivals=900, waiting=900)
    for step in range(3, 12):
        fleet.report(2.0 + step / 4, arrivals=900 + 100 * step, waiting=900)
    fleet.ready(5.0, 2, 3)
    assert fleet.controller.held.cpus == 3
    assert fleet.deploy("g", 6.0, min_replicas=1) == [DrainReplica("f", 3)]
    assert fleet.decisions[-2].cause == "pool"
    assert "but the pool is shared" in fleet.decisions[-2].why
    assert fleet(LeaseReturned(3), 7.0) == [StopReplica("f", 3)]
    assert fleet(ReplicaExited(3, "stopped"), 7.5) == [StartReplica("g", 4)]


def test_accelerators_are_numbered_shared_and_returned():
    """Two halves on the first, a whole on the second; what is free again is given again."""
    fleet = Fleet(cpus=8, gpus=2)
    halves = fleet.deploy("half", min_replicas=2, gpus=0.5)
    assert [action.gpus for action in halves] == [(0,), (0,)]
    assert fleet.deploy("whole", min_replicas=1, gpus=1) == [StartReplica("whole", 3, (1,))]
    fleet.ready(1.0, 1, 2, 3)
    assert fleet(ReplicaExited(3, "killed"), 500.0) == [StartReplica("whole", 4, (1,))]


def test_not_more_start_at_once_than_there_are_cores():
    """Two of eight on two cores' worth of machine; each that is ready lets the next begin."""
    fleet = Fleet(cpus=2)
    assert starts(fleet.deploy(min_replicas=8, cpus=0.1)) == [1, 2]
    assert fleet(ReplicaReady(1), 1.0) == [StartReplica("f", 3), LeaseReplica("f", 1)][::-1]
    assert starts(fleet(ReplicaReady(2), 1.1)) == [4]
    assert len(fleet.controller.members("f")) == 4


def test_a_floor_past_the_pool_is_cut_to_what_it_holds():
    """A command cannot ask for what could never be given, nor take what others are promised."""
    fleet = Fleet(cpus=4)
    fleet.deploy(min_replicas=1)
    fleet.deploy("g", min_replicas=2)
    fleet(ScaleRequested("f", 100, None), 1.0)
    assert fleet.controller.limits("f")[0] == 2
    assert fleet.controller.target("f") == 2
    assert fleet.controller.target("g") == 2
    fleet.deploy("h", 2.0, min_replicas=1)
    assert fleet.controller.limits("h")[0] == 0


def test_a_removed_functions_floor_is_free_for_others():
    """While it drains its replicas still hold their cores, but it is promised nothing any more."""
    fleet = Fleet(cpus=2)
    fleet.deploy(min_replicas=2)
    fleet.ready(1.0, 1, 2)
    fleet(FunctionRemoved("f"), 2.0)
    assert fleet.deploy("g", 3.0, min_replicas=2) == []
    assert fleet.controller.limits("g")[0] == 2
    fleet(LeaseReturned(1), 4.0)
    assert fleet(ReplicaExited(1, "stopped"), 4.1) == [StartReplica("g", 3)]


# The scale command.


def test_a_raised_floor_starts_and_a_lowered_ceiling_drains_at_once(fleet):
    """An operator's word waits for no window; the youngest go first."""
    fleet.deploy()
    fleet.ready(1.0, 1)
    assert starts(fleet(ScaleRequested("f", 3, None), 2.0)) == [2, 3]
    assert "min_replicas=3" in fleet.decisions[-1].why
    fleet.ready(3.0, 2, 3)
    assert fleet(ScaleRequested("f", 0, 1), 4.0) == [DrainReplica("f", 3), DrainReplica("f", 2)]
    assert fleet.controller.limits("f") == (0, 1)


def test_what_is_starting_is_let_go_before_what_serves(fleet):
    """A start is stopped, not drained: it holds no work."""
    fleet.deploy(min_replicas=3)
    fleet.ready(1.0, 3)
    assert fleet(ScaleRequested("f", 1, 1), 2.0) == [StopReplica("f", 2), StopReplica("f", 1)]


# Failures.


def test_no_start_during_a_backoff_whatever_is_wanted(fleet):
    """Reports go on asking; the start comes at the instant the backoff ends."""
    fleet.deploy()
    fleet(ReplicaExited(1, "OSError: no weights"), 0.5)
    wake_at_s = fleet.controller.next_wake_at_s
    assert 1.3 <= wake_at_s <= 1.7
    assert fleet.report(1.0, arrivals=500, waiting=500) == []
    assert fleet(Tick(), 1.2) == []
    assert starts(fleet(Tick(), wake_at_s)) != []


def test_one_functions_backoff_does_not_hold_up_another(fleet):
    """They fail by themselves."""
    fleet.deploy()
    fleet(ReplicaExited(1, "OSError: no weights"), 0.5)
    assert fleet.deploy("g", 0.6) == [StartReplica("g", 2)]


def test_a_crash_loop_with_no_traffic_ends_with_the_keep_alive_and_demand_tries_again(fleet):
    """No start for nobody, however long; a request brings the next attempt at once."""
    fleet.deploy()
    now_s, replica_id, told = 0.0, 1, []
    while fleet.controller.members("f"):
        now_s += 0.2
        told += fleet(ReplicaExited(replica_id, "OSError: no weights"), now_s)
        while fleet.controller.next_wake_at_s is not None and not fleet.controller.members("f"):
            now_s = fleet.controller.next_wake_at_s
            replica_id += len(starts(fleet(Tick(), now_s)))
    assert told == [SuspendStarts("f", "OSError: no weights")]
    assert KEEP_S <= now_s <= KEEP_S + 1
    assert fleet.controller.next_wake_at_s is None
    assert starts(fleet.report(5000.0, arrivals=1)) == [replica_id + 1]
    assert fleet.ready(5001.0, replica_id + 1) == [ResumeStarts("f"), LeaseReplica("f", replica_id + 1)]


def test_a_start_that_takes_too_long_is_ended_and_tried_again(fleet):
    """At its start_timeout_s, with what to do about it."""
    fleet.deploy(start_timeout_s=10.0)
    assert fleet.controller.next_wake_at_s == 10.0
    assert fleet(Tick(), 10.0) == [StopReplica("f", 1)]
    assert fleet.controller.start_failure("f") == "not ready within 10 s; raise start_timeout_s if it needs longer"
    fleet(ReplicaExited(1, "killed"), 10.1)
    assert starts(fleet(Tick(), fleet.controller.next_wake_at_s)) == [2]


@pytest.mark.parametrize("state", ["starting", "ready", "draining"])
def test_killed_in_any_state_it_is_gone_and_its_place_is_free(fleet, state):
    """A replacement comes after a wait, at once, or never: it was on its way out."""
    fleet.deploy()
    if state != "starting":
        fleet.ready(1.0, 1)
    if state == "draining":
        fleet.report(2.0, arrivals=1, is_quiet=True)
        fleet(Tick(), 50.0)
    orders = fleet(ReplicaExited(1, "killed by SIGKILL"), 60.0 if state == "draining" else 20.0)
    assert starts(orders) == ([2] if state == "ready" else [])
    assert (fleet.controller.next_wake_at_s is None) == (state == "draining")
    assert fleet.controller.held.cpus == len(fleet.controller.members("f"))


# Books.


def test_replica_seconds_add_up_over_starts_that_became_nothing(fleet):
    """Two seconds of a failed start, nothing for the backoff, ten of a replica that drained."""
    fleet.deploy()
    fleet(ReplicaExited(1, "OSError"), 2.0)
    start_s = fleet.controller.next_wake_at_s
    fleet(Tick(), start_s)
    fleet.ready(start_s + 1.0, 2)
    fleet(FunctionRemoved("f"), start_s + 9.0)
    assert fleet.controller.replica_seconds("f", start_s + 10.0) == pytest.approx(12.0)


def test_reports_of_a_function_that_is_gone_change_nothing(fleet):
    """They may be on their way when it is removed."""
    fleet.deploy()
    fleet(FunctionRemoved("f"), 1.0)
    fleet(ReplicaExited(1, "stopped"), 1.5)
    assert fleet.report(2.0, arrivals=10, waiting=10) == []
    assert fleet.controller.target("f") == 0


def test_a_replica_is_told_to_stop_once(fleet):
    """A lease that comes back twice, or that was never given, orders nothing more."""
    fleet.deploy(min_replicas=2)
    fleet.ready(1.0, 1)
    assert fleet(FunctionRemoved("f"), 2.0) == [DrainReplica("f", 1), StopReplica("f", 2)]
    assert fleet(LeaseReturned(1), 3.0) == [StopReplica("f", 1)]
    assert fleet(LeaseReturned(1), 3.1) == []
    assert fleet(LeaseReturned(2), 3.2) == []

"""The controller keeps replicas alive, with patience when they die young."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from sojourn.domain.event import (
    FunctionDeployed,
    FunctionRemoved,
    LeaseReturned,
    ReplicaExited,
    ReplicaReady,
    ReplicaSuspected,
    Tick,
)
from sojourn.domain.function import FunctionSettings


class Steps:
    """A controller whose state is checked after each step."""

    def __init__(self) -> None:
        self.controller = Controller(Random(1))
        self.decisions = []

    def __call__(self, event, now_s):
        actions = self.controller.step(event, now_s)
        self.controller.check(now_s)
        self.decisions += [action.decision for action in actions if isinstance(action, RecordScaling)]
        return [action for action in actions if not isinstance(action, RecordScaling)]


@pytest.fixture
def step() -> Steps:
    return Steps()


def function(**options) -> FunctionSettings:
    return FunctionSettings(name="f", **options)


@pytest.mark.parametrize(("min_replicas", "started"), [(0, 1), (1, 1), (3, 3)])
def test_a_deployed_function_gets_its_minimum_and_at_least_one(step, min_replicas, started):
    """Starts are ordered in the very step of the deployment, each with a number of its own."""
    actions = step(FunctionDeployed(function(min_replicas=min_replicas)), 0.0)
    assert actions == [StartReplica("f", number) for number in range(1, started + 1)]


def test_a_ready_replica_is_leased(step):
    """Ready leads to a lease, once."""
    step(FunctionDeployed(function()), 0.0)
    assert step(ReplicaReady(1), 2.0) == [LeaseReplica("f", 1)]
    assert step(ReplicaReady(1), 2.1) == []


def test_a_replica_that_dies_after_long_service_is_replaced_at_once(step):
    """No backoff for a first death in service: capacity comes back within one cold start."""
    step(FunctionDeployed(function()), 0.0)
    step(ReplicaReady(1), 1.0)
    assert step(ReplicaExited(1, "killed"), 500.0) == [StartReplica("f", 2)]


def test_replicas_that_die_soon_after_they_were_ready_are_replaced_at_once_twice(step):
    """One input may kill a few replicas: their successors start at once; the third in a row waits."""
    step(FunctionDeployed(function()), 0.0)
    for replica_id in (1, 2):
        step(ReplicaReady(replica_id), replica_id * 2.0)
        assert step(ReplicaExited(replica_id, "killed"), replica_id * 2.0 + 1) == [StartReplica("f", replica_id + 1)]
    step(ReplicaReady(3), 6.0)
    assert step(ReplicaExited(3, "killed"), 7.0) == []
    assert step.controller.next_wake_at_s == pytest.approx(8.0, abs=0.2)


def test_a_hung_replica_is_stopped_and_replaced_in_one_step(step):
    """Suspected of hanging: its process is ended, its successor starts; its exit changes nothing more."""
    step(FunctionDeployed(function()), 0.0)
    step(ReplicaReady(1), 1.0)
    suspected = ReplicaSuspected(1, "no answer to a batch for 3 s", is_hung=True)
    assert step(suspected, 100.0) == [StopReplica("f", 1), StartReplica("f", 2)]
    assert step(suspected, 100.1) == []
    assert step(ReplicaExited(1, "killed by SIGKILL"), 105.0) == []


def test_a_replica_that_hangs_while_it_drains_is_stopped(step):
    """Told to finish its work first, it never does, and nobody will return it: it must not hold its resources for ever."""
    step(FunctionDeployed(function()), 0.0)
    step(ReplicaReady(1), 1.0)
    assert step(FunctionRemoved("f"), 2.0) == [DrainReplica("f", 1)]
    suspected = ReplicaSuspected(1, "no answer to a batch for 3 s", is_hung=True)
    assert step(suspected, 5.0) == [StopReplica("f", 1)]
    assert step(suspected, 5.1) == []
    assert step(ReplicaExited(1, "killed by SIGKILL"), 6.0) == []


def test_a_slow_replica_is_emptied_before_it_is_stopped(step):
    """Suspected of being slow: the successor starts now, the old one is stopped when its lease comes back."""
    step(FunctionDeployed(function()), 0.0)
    step(ReplicaReady(1), 1.0)
    assert step(ReplicaSuspected(1, "much slower than the others", is_hung=False), 100.0) == [StartReplica("f", 2)]
    assert step(LeaseReturned(1), 101.0) == [StopReplica("f", 1)]


def test_starts_that_fail_wait_longer_and_longer_and_end_in_a_crash_loop(step):
    """1, 2, 4, 8 s within a fifth; after five failures in a row waiters are told, and trying goes on."""
    step(FunctionDeployed(function()), 0.0)
    now_s, waits_s, orders = 0.0, [], []
    for replica_id in range(1, 9):
        now_s += 0.1
        orders += step(ReplicaExited(replica_id, "ImportError: no module named 'x'"), now_s)
        wake_at_s = step.controller.next_wake_at_s
        waits_s.append(wake_at_s - now_s)
        now_s = wake_at_s
        assert step(Tick(), now_s) == [StartReplica("f", replica_id + 1)]
    for wait_s, nominal_s in zip(waits_s, [1, 2, 4, 8, 16, 32, 60, 60], strict=True):
        assert 0.8 * nominal_s <= wait_s <= 1.2 * nominal_s
    assert orders == [SuspendStarts("f", "ImportError: no module named 'x'")]
    assert step.controller.start_failure("f") == "ImportError: no module named 'x'"
    assert step(ReplicaReady(9), now_s + 1) == [ResumeStarts("f"), LeaseReplica("f", 9)]
    assert step.controller.start_failure("f") == ""


def test_removing_a_function_drains_what_serves_and_stops_what_starts(step):
    """A leased replica is taken back first and stopped when empty; one that is starting is stopped."""
    step(FunctionDeployed(function(min_replicas=2)), 0.0)
    step(ReplicaReady(1), 1.0)
    assert step(FunctionRemoved("f"), 2.0) == [DrainReplica("f", 1), StopReplica("f", 2)]
    assert step(LeaseReturned(1), 3.0) == [StopReplica("f", 1)]
    assert step(ReplicaExited(1), 3.1) == []
    assert step(ReplicaExited(2), 3.2) == []
    assert step.controller.next_wake_at_s is None


def test_replica_seconds_count_from_the_start_decision_to_the_exit(step):
    """Two replicas: one lived 10 s, its successor 5 s so far."""
    step(FunctionDeployed(function()), 100.0)
    step(ReplicaReady(1), 101.0)
    step(ReplicaExited(1, "killed"), 110.0)
    assert step.controller.replica_seconds("f", 115.0) == pytest.approx(15.0)


def test_a_long_life_ends_the_row_of_failures(step):
    """Two young deaths, a long life, and two young deaths again: each of the first two successors starts at once."""
    step(FunctionDeployed(function()), 0.0)
    now_s, lives_s = 0.0, [1.0, 1.0, 500.0, 1.0, 1.0]
    for replica_id, life_s in enumerate(lives_s, 1):
        step(ReplicaReady(replica_id), now_s + 1.0)
        now_s += 1.0 + life_s
        assert step(ReplicaExited(replica_id, "killed"), now_s) == [StartReplica("f", replica_id + 1)]


def test_waiters_are_told_of_each_crash_loop(step):
    """Suspended, resumed by a replica that became ready, and suspended once more when that did not last."""
    step(FunctionDeployed(function(min_replicas=1)), 0.0)
    orders, replica_id = [], 0
    for _ in range(2):
        for _ in range(6):
            replica_id += 1
            orders += step(ReplicaExited(replica_id, "no weights"), step.controller.next_wake_at_s or 1.0)
            step(Tick(), step.controller.next_wake_at_s)
        replica_id += 1
        ready_at_s = step.controller.next_wake_at_s - 1.0
        orders += step(ReplicaReady(replica_id), ready_at_s)
        orders += step(ReplicaExited(replica_id, "killed"), ready_at_s + 600.0)
    said = [type(order) for order in orders if isinstance(order, SuspendStarts | ResumeStarts)]
    assert said == [SuspendStarts, ResumeStarts] * 2


def test_a_lease_that_nobody_asked_back_stops_no_replica(step):
    """Its return means nothing while the replica is to serve."""
    step(FunctionDeployed(function()), 0.0)
    step(ReplicaReady(1), 1.0)
    assert step(LeaseReturned(1), 2.0) == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["ready", "exit", "tick", "deploy", "remove", "return"]), st.integers(0, 50)),
        max_size=80,
    )
)
@settings(max_examples=100, deadline=None)
def test_whatever_happens_each_function_keeps_its_replicas(history):
    """`check` holds after every step: living replicas plus those due to start are what is wanted."""
    step, now_s, names = Steps(), 0.0, 0
    deployed: list[str] = []
    for what, pick in history:
        now_s += 0.5
        living = [m for name in deployed for m in step.controller.members(name)]
        if what == "deploy" and len(deployed) < 3:
            names += 1
            deployed.append(f"f{names}")
            step(FunctionDeployed(FunctionSettings(name=f"f{names}", min_replicas=pick % 3)), now_s)
        elif what == "remove" and deployed:
            step(FunctionRemoved(deployed.pop(pick % len(deployed))), now_s)
        elif what in {"ready", "exit", "return"} and living:
            replica_id = living[pick % len(living)].replica_id
            kinds = {"ready": ReplicaReady, "exit": ReplicaExited, "return": LeaseReturned}
            step(kinds[what](replica_id), now_s)
        else:
            wake_at_s = step.controller.next_wake_at_s
            now_s = max(now_s, wake_at_s or 0.0)
            step(Tick(), now_s)

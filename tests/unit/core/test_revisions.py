"""Several revisions of one function in one controller: each by its key, with a floor that lets the other live."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.controller import Controller
from sojourn.domain.action import DrainReplica, LeaseReplica, RecordScaling, StartReplica, StopReplica
from sojourn.domain.event import (
    FunctionDeployed,
    FunctionPromoted,
    FunctionRemoved,
    LeaseReturned,
    ReplicaExited,
    ReplicaReady,
    ReplicasReserved,
)
from sojourn.domain.function import FunctionSettings
from sojourn.domain.resources import Resources


class Steps:
    """A controller whose state is checked after each step."""

    def __init__(self, cpus: float) -> None:
        self.controller = Controller(Random(1), Resources(cpus, 0.0, 2**40))

    def __call__(self, event, now_s):
        actions = self.controller.step(event, now_s)
        self.controller.check(now_s)
        return [action for action in actions if not isinstance(action, RecordScaling)]

    def floors(self):
        """In force, by key."""
        return {key: self.controller.limits(key)[0] for key in self.controller._deployments}


def deployed(key, floor=0, *, is_candidate=False):
    """A revision of f."""
    return FunctionDeployed(FunctionSettings(name="f", min_replicas=floor), key, is_candidate)


def test_two_revisions_have_replicas_of_their_own():
    """Orders name the key; what happens to a replica concerns its own revision alone."""
    step = Steps(8.0)
    assert step(deployed("f@a", 1), 0.0) == [StartReplica("f@a", 1)]
    assert step(deployed("f@b", is_candidate=True), 1.0) == [StartReplica("f@b", 2)]
    assert step(ReplicaReady(2), 2.0) == [LeaseReplica("f@b", 2)]
    assert step(ReplicaExited(1, "no model"), 3.0) == []
    assert step.controller.start_failure("f@a") == "no model"
    assert step.controller.start_failure("f@b") == ""
    assert [member.replica_id for member in step.controller.members("f@b")] == [2]


def test_a_key_is_deployed_again_while_its_replicas_of_before_still_end():
    """The old ones end as ordered and count for nobody; the new one begins at once, with a replica of its own."""
    step = Steps(8.0)
    step(deployed("f@a", 1), 0.0)
    step(ReplicaReady(1), 1.0)
    assert step(FunctionRemoved("f@a"), 2.0) == [DrainReplica("f@a", 1)]
    assert step(deployed("f@a", 1), 3.0) == [StartReplica("f@a", 2)]
    assert step(LeaseReturned(1), 3.5) == [StopReplica("f@a", 1)]
    assert step(ReplicaReady(2), 4.0) == [LeaseReplica("f@a", 2)]
    assert step(ReplicaExited(1, "stopped"), 5.0) == []
    assert step.controller.target("f@a") == 1
    assert step.controller.replica_seconds("f@a", 6.0) == pytest.approx(3.0)
    with pytest.raises(KeyError, match="deployed already"):
        step(deployed("f@a"), 6.0)
    step(FunctionRemoved("f@a"), 7.0)
    step(LeaseReturned(2), 7.1)
    step(ReplicaExited(2), 7.2)
    assert step.controller._deployments == {}


def test_a_candidate_has_a_floor_of_one_until_it_is_alone():
    """Whatever its settings say; then it has its own."""
    step = Steps(8.0)
    step(deployed("f@a", 3), 0.0)
    step(deployed("f@b", 0, is_candidate=True), 1.0)
    assert step.floors() == {"f@a": 3, "f@b": 1}
    step(FunctionPromoted("f@b"), 2.0)
    assert step.floors() == {"f@a": 1, "f@b": 1}
    step(FunctionRemoved("f@a"), 3.0)
    assert step.controller.limits("f@b")[0] == 0


def test_what_a_rollout_reserves_holds_until_its_revision_is_alone():
    """So that the new one need not scale up under the traffic it takes over."""
    step = Steps(8.0)
    step(deployed("f@a", 2), 0.0)
    step(deployed("f@b", 1, is_candidate=True), 1.0)
    step(ReplicasReserved("f@b", 4), 2.0)
    assert step.floors() == {"f@a": 2, "f@b": 4}
    step(FunctionPromoted("f@b"), 3.0)
    assert step.floors() == {"f@a": 1, "f@b": 4}
    step(FunctionRemoved("f@a"), 4.0)
    assert step.controller.limits("f@b")[0] == 1


@pytest.mark.parametrize(
    ("cpus", "floor", "during", "after"),
    [
        (4.0, 4, {"f@a": 3, "f@b": 1}, {"f@a": 1, "f@b": 3}),  # the live one gives a replica
        (1.0, 1, {"f@a": 1, "f@b": 0}, {"f@a": 1, "f@b": 0}),  # one place: whoever has work to finish keeps it
        (1.0, 0, {"f@a": 0, "f@b": 0}, {"f@a": 1, "f@b": 0}),
    ],
)
def test_floors_yield_where_the_pool_does_not_hold_both(cpus, floor, during, after):
    """A first replica of each comes before the second of any: the one that leaves, the live one, the candidate."""
    step = Steps(cpus)
    step(deployed("f@a", floor), 0.0)
    step(deployed("f@b", floor, is_candidate=True), 1.0)
    assert step.floors() == during
    step(FunctionPromoted("f@b"), 2.0)
    assert step.floors() == after
    step(FunctionRemoved("f@a"), 3.0)
    assert step.controller.limits("f@b")[0] == floor

"""An operator's limits: replicas are started and retired to fit them, and the change is told."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.controller import Controller
from sojourn.domain.action import DrainReplica, RecordScaling, StartReplica, StopReplica
from sojourn.domain.event import FunctionDeployed, LeaseReturned, ReplicaExited, ReplicaReady, ScaleRequested
from sojourn.domain.function import FunctionSettings


@pytest.fixture
def step():
    """Steps a controller with one function of one ready replica, checked after each step."""
    controller = Controller(Random(1))

    def step(event, now_s):
        actions = controller.step(event, now_s)
        controller.check(now_s)
        return actions

    step(FunctionDeployed(FunctionSettings(name="f", min_replicas=1)), 0.0)
    step(ReplicaReady(1), 1.0)
    return step


def told(actions):
    """(before, after, cause) of the decisions among the actions."""
    decisions = [action.decision for action in actions if isinstance(action, RecordScaling)]
    assert all(decision.function == "f" and decision.why for decision in decisions)
    return [(decision.before, decision.after, decision.cause) for decision in decisions]


def test_a_higher_floor_starts_replicas_at_once(step):
    """In the step of the request, told before they start."""
    actions = step(ScaleRequested("f", 3, None), 2.0)
    assert told(actions) == [(1, 3, "scale_command")]
    assert actions[1:] == [StartReplica("f", 2), StartReplica("f", 3)]


def test_a_lower_floor_ends_those_that_still_start_then_the_youngest(step):
    """One that may have work is emptied before it is stopped, and none of them is replaced."""
    step(ScaleRequested("f", 3, None), 2.0)
    step(ReplicaReady(2), 3.0)
    actions = step(ScaleRequested("f", 1, 1), 4.0)
    assert told(actions) == [(3, 1, "scale_command")]
    assert actions[1:] == [StopReplica("f", 3), DrainReplica("f", 2)]
    assert step(LeaseReturned(2), 5.0) == [StopReplica("f", 2)]
    assert step(ReplicaExited(3, "stopped"), 5.0) == []
    assert step(ReplicaExited(2, "stopped"), 6.0) == []


def test_limits_that_change_nothing_are_not_told(step):
    """None leaves both as they are; another ceiling alone needs nobody."""
    assert step(ScaleRequested("f", None, None), 2.0) == []
    assert step(ScaleRequested("f", None, 4), 2.0) == []

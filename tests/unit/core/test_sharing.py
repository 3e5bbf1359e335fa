"""A function with work and no replica gets one: from a function without work at once, from one with work in turn."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from sojourn.core.controller import Controller
from sojourn.domain.action import DrainReplica, StartReplica, StopReplica
from sojourn.domain.demand import DemandReport
from sojourn.domain.event import (
    DemandReported,
    FunctionDeployed,
    LeaseReturned,
    ReplicaExited,
    ReplicaReady,
    ScaleRequested,
)
from sojourn.domain.function import FunctionSettings
from sojourn.domain.resources import Resources

STEP_S = 0.25


class World:
    """A controller; replicas start and drain within the instant, and each function reports each quarter of a second."""

    def __init__(self, cpus, **functions):
        self.controller = Controller(Random(1), Resources(float(cpus), 0.0, 2**40))
        self.now_s = 0.0
        self.waiting = dict.fromkeys(functions, 0)  # requests of each function
        self.arrivals = dict.fromkeys(functions, 0)
        self.history = []  # replicas of each function after each step
        for name, options in functions.items():
            self.post(FunctionDeployed(FunctionSettings(name=name, **options)))

    def post(self, event):
        events = deque([event])
        while events:
            for action in self.controller.step(events.popleft(), self.now_s):
                match action:
                    case StartReplica(replica_id=replica_id):
                        events.append(ReplicaReady(replica_id))
                    case DrainReplica(replica_id=replica_id):
                        events.append(LeaseReturned(replica_id))
                    case StopReplica(replica_id=replica_id):
                        events.append(ReplicaExited(replica_id, "stopped"))
            self.controller.check(self.now_s)

    def run(self, duration_s):
        """Let time pass with the waiting requests as they are."""
        until_s = self.now_s + duration_s
        while self.now_s < until_s:
            self.now_s += STEP_S
            for name, waiting in self.waiting.items():
                self.arrivals[name] += waiting
                self.post(DemandReported(DemandReport(function=name, arrivals=self.arrivals[name], waiting=waiting)))
            self.history.append({name: len(self.controller.members(name)) for name in self.waiting})

    def replicas(self):
        return self.history[-1]


def test_one_without_work_gives_its_place_at_once():
    """The first is kept warm; when only the second is called, it gets the only core in the next step, and back."""
    world = World(1, a={}, b={})
    world.run(1.0)
    assert world.replicas() == {"a": 1, "b": 0}
    for caller, other in (("b", "a"), ("a", "b")):
        world.waiting = {caller: 1, other: 0}
        world.run(STEP_S)
        assert world.replicas() == {caller: 1, other: 0}
        world.waiting[caller] = 0
        world.run(1.0)
        assert world.replicas() == {caller: 1, other: 0}, "nobody else asked for the place"


def test_those_with_work_take_turns():
    """Three functions that are never without work on one core: each has it for a third of the time, 2 s at a time."""
    world = World(1, a={}, b={}, c={})
    world.waiting = dict.fromkeys("abc", 5)
    world.run(120.0)
    shares = {name: sum(each[name] for each in world.history) / len(world.history) for name in "abc"}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(0.25 < share < 0.42 for share in shares.values()), shares
    moves = sum(before != after for before, after in zip(world.history, world.history[1:], strict=False))
    assert moves <= 60


def test_a_short_patience_shortens_the_turns():
    """Requests that may wait for 4 s get their turn after one."""
    options = {"timeout_s": 4.0, "start_timeout_s": 4.0}
    world = World(1, a=options, b=options)
    world.waiting = {"a": 5, "b": 5}
    world.run(40.0)
    longest = dict.fromkeys("ab", 0.0)
    without = dict(longest)
    for each in world.history:
        for name in "ab":
            without[name] = 0.0 if each[name] else without[name] + STEP_S
            longest[name] = max(longest[name], without[name])
    assert max(longest.values()) <= 2.0


def test_a_floor_is_never_taken():
    """`a` must have one replica: however long `b` waits on one core, it stays; nothing is raised."""
    world = World(1, a={"min_replicas": 1}, b={})
    world.waiting = {"a": 0, "b": 5}
    world.run(30.0)
    assert {tuple(each.values()) for each in world.history} == {(1, 0)}


def test_one_place_is_given_not_all_of_them():
    """Of four places of functions without work, the one that is called takes what it wants; the others keep theirs."""
    world = World(4, a={}, b={}, c={}, d={}, e={"max_replicas": 1})
    world.run(1.0)
    assert world.replicas() == {"a": 1, "b": 1, "c": 1, "d": 1, "e": 0}
    world.waiting["e"] = 1
    world.run(STEP_S)
    assert world.replicas()["e"] == 1
    assert sum(world.replicas().values()) == 4


def test_what_an_operator_sets_takes_effect_at_once_in_a_scarce_pool():
    """A floor and a ceiling set at the very instant at which the pool was shared."""
    world = World(2, a={}, b={}, c={})
    world.post(ScaleRequested("a", min_replicas=2))
    assert (world.controller.target("a"), world.controller.target("b")) == (2, 0)
    world.post(ScaleRequested("a", min_replicas=0, max_replicas=1))
    assert world.controller.target("a") <= 1

"""The dispatcher at its edges: the end of a drain, suspended starts, idle replicas, arrivals that are refused."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "property"))
from world import World

from sojourn.domain.action import CancelBatch, Finish
from sojourn.domain.event import DrainBegan, DrainEnded, RequestAnnounced, StartsResumed, StartsSuspended
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.domain.request import Fault, Outcome

SLO, EAGER = BATCHING_BY_NAME["slo"], BATCHING_BY_NAME["latency"]


def faults(world: World) -> dict[int, Fault | None]:
    return {number: finish.fault for number, [(_, finish)] in world.finished.items()}


def test_when_the_drain_has_ended_all_are_told_running_and_waiting_alike():
    """Two run, one waits: all three end as shutting down, the call is cancelled, and a newcomer is refused."""
    world = World(EAGER, largest_batch=2, latency_s=None, timeout_s=60.0)
    for _ in range(3):
        world.arrive()
    world.lease(1)
    world.step(DrainBegan())
    world.step(DrainEnded())
    assert faults(world) == dict.fromkeys([1, 2, 3], Fault.SHUTTING_DOWN)
    assert world.cancelled_batches == [1]
    world.arrive()
    assert world.finished[4][0][1].fault is Fault.SHUTTING_DOWN
    world.complete(1)
    assert world.dispatcher.in_flight == 0


def test_a_server_that_stops_at_once_lets_nobody_in_either():
    """The drain ends without ever having begun."""
    world = World(EAGER)
    world.lease(1)
    world.step(DrainEnded())
    world.arrive()
    assert faults(world) == {1: Fault.SHUTTING_DOWN}


def test_while_starts_are_suspended_living_replicas_serve_on():
    """One replica lives: newcomers are let in; when it dies too, who waits is told, and so is the next one."""
    world = World(EAGER, largest_batch=1, latency_s=None, timeout_s=60.0)
    world.lease(1)
    world.step(StartsSuspended())
    world.arrive()
    world.arrive()
    assert world.finished == {}
    world.complete(1)
    assert faults(world) == {1: None}
    world.lose(1)
    assert faults(world) == {1: None, 2: Fault.UNAVAILABLE}
    world.arrive()
    assert faults(world)[3] is Fault.UNAVAILABLE
    world.step(StartsResumed())
    world.arrive()
    assert 4 not in world.finished


def test_with_the_last_replica_taken_back_who_waits_may_wait_for_a_start():
    """Not the timeout of a warm function ends them but that of a start."""
    world = World(EAGER, largest_batch=1, latency_s=0.1, timeout_s=1.0)
    world.lease(1)
    world.arrive()
    world.arrive()
    world.revoke(1)
    world.complete(1)
    world.advance(4.0)
    assert 2 not in world.finished
    world.lease(2)
    world.complete(2)
    assert faults(world) == {1: None, 2: None}


def test_a_call_is_cancelled_when_the_last_who_waits_for_it_has_left():
    """Not before: the others still want its answer."""
    world = World(EAGER, largest_batch=3)
    for _ in range(3):
        world.arrive()
    world.lease(1)
    for number, cancelled in ((1, []), (3, []), (2, [1])):
        world.leave(number)
        assert world.cancelled_batches == cancelled
    assert not any(isinstance(action, CancelBatch | Finish) for action in world.step_completed(1, 1))


def test_refused_announcements_count_as_arrivals_of_the_rate():
    """A storm that is refused at its headers must not look like a quiet time."""
    world = World(SLO)
    world.step(StartsSuspended())
    for number in range(1, 51):
        (end,) = world.dispatcher.step(RequestAnnounced(number), 0.01)
        assert end.outcome is Outcome.SHED
    assert world.dispatcher._rate.per_s(0.02, 1.0) >= 50.0
    assert world.dispatcher.ledger.accepted == world.dispatcher.ledger.ended[Outcome.SHED] == 50

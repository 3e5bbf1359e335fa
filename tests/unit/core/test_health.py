"""Silent and slow replicas, judged by the times their batches take."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "property"))
from world import World

from sojourn.domain.event import Tick
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.domain.request import Fault, Outcome

EAGER = BATCHING_BY_NAME["latency"]


def warmed_up(replicas: int = 2, batches: int = 80, timeout_s: float = 60.0) -> World:
    """A function whose replicas have each answered many batches of one in 10 ms."""
    world = World(EAGER, latency_s=5.0, timeout_s=timeout_s, largest_batch=1)
    for replica_id in range(1, replicas + 1):
        world.lease(replica_id)
    for _ in range(batches):
        for _ in range(replicas):
            world.arrive()
        world.advance(0.010)
        for batch_id in list(world.running):
            world.complete(batch_id)
    assert not world.running
    return world


def batch_on(world: World, replica_id: int) -> int:
    return next(i for i, batch in world.running.items() if batch.replica_id == replica_id)


def test_a_silent_replica_is_written_off_and_its_request_runs_elsewhere():
    """After a second without a word (three times p99 is less) its request goes to the other replica."""
    world = warmed_up()
    request_id = world.arrive()
    assert world.running[batch_on(world, 1)].request_ids == [request_id]
    world.advance(1.001)
    [suspect] = world.suspected
    assert (suspect.replica_id, suspect.is_hung) == (1, True)
    assert world.running[batch_on(world, 2)].request_ids == [request_id]
    world.complete(batch_on(world, 2))
    assert world.finished[request_id][0][1].outcome is Outcome.SERVED


def test_its_late_answer_is_dropped():
    """The batch of a replica that was written off comes back after all: nobody is answered twice."""
    world = warmed_up()
    request_id = world.arrive()
    batch_id = batch_on(world, 1)
    late = world.running[batch_id]
    world.advance(1.001)
    world.running[batch_id] = late
    assert world.step_completed(1, batch_id) == []
    assert request_id not in world.finished


def test_a_stalled_server_does_not_blame_its_replicas():
    """Woken two seconds late, the dispatcher looks again before it writes anyone off; the answer is taken."""
    world = warmed_up()
    request_id = world.arrive()
    batch_id = batch_on(world, 1)
    world.now_s += 3.0  # nobody called us meanwhile
    world.step(Tick())
    assert world.suspected == []
    world.complete(batch_id)
    assert world.finished[request_id][0][1].outcome is Outcome.SERVED


def test_a_fresh_replica_has_the_start_timeout_for_its_first_batches():
    """A model that compiles on its first call is not taken for a hung one."""
    world = World(EAGER, latency_s=5.0, timeout_s=5.0, largest_batch=1)
    world.lease(1)
    world.arrive(client_timeout_s=100.0)
    world.advance(4.9)
    assert world.suspected == []
    world.advance(0.2)
    assert [s.replica_id for s in world.suspected] == [1]


def test_a_function_that_may_not_run_twice_is_failed_when_its_replica_hangs():
    """retry=False: the caller is told at once."""
    world = World(EAGER, latency_s=1.0, timeout_s=60.0, largest_batch=1, retry=False)
    world.lease(1)
    for _ in range(40):
        world.arrive()
        world.advance(0.01)
        world.complete(batch_on(world, 1))
    request_id = world.arrive()
    world.advance(1.5)
    assert world.finished[request_id][0][1].fault is Fault.REPLICA_LOST


def test_one_slow_replica_of_four_is_replaced_and_does_not_size_the_others():
    """Five slow batches in a row on one replica: it is reported, gets no more work, and the model is unmoved."""
    world = warmed_up(replicas=4)
    before_s = world.dispatcher.model.mean_by_size_s[1]
    for _ in range(12):
        if world.suspected:
            break
        for _ in range(4):
            world.arrive()
        world.advance(0.010)
        for batch_id, batch in list(world.running.items()):
            if batch.replica_id != 1:
                world.complete(batch_id)
        world.advance(0.090)
        world.complete(batch_on(world, 1))
    [suspect] = world.suspected
    assert (suspect.replica_id, suspect.is_hung) == (1, False)
    assert world.returned == [1]
    assert world.dispatcher.model.mean_by_size_s[1] == pytest.approx(before_s, rel=0.05)


def test_when_all_are_slow_nobody_is_ejected():
    """A slow backend is not a straggler: the model follows, no replica is reported."""
    world = warmed_up(replicas=4)
    for _ in range(40):
        for _ in range(4):
            world.arrive()
        world.advance(0.100)
        for batch_id in list(world.running):
            world.complete(batch_id)
    assert world.suspected == []
    assert world.dispatcher.model.mean_by_size_s[1] == pytest.approx(0.1, rel=0.1)


def test_a_straggler_gets_work_only_when_the_others_are_busy():
    """Among free replicas one that was slow just now comes last."""
    world = warmed_up(replicas=2)
    world.arrive()
    world.advance(0.2)
    world.complete(batch_on(world, 1))  # slow once
    world.arrive()
    assert [batch.replica_id for batch in world.running.values()] == [2]


def slow_round(world: World, slow: set[int], slow_s: float = 0.1) -> None:
    """A batch for each replica: 10 ms, on those in `slow` longer."""
    for _ in world.leased - world.revoked:
        world.arrive()
    world.advance(0.010)
    for batch_id, batch in list(world.running.items()):
        if batch.replica_id not in slow:
            world.complete(batch_id)
    world.advance(slow_s - 0.010)
    for batch_id in list(world.running):
        world.complete(batch_id)


def test_the_first_two_batches_of_a_replica_teach_nothing():
    """They tell of caches and compilers; the third is the first to count."""
    world = World(EAGER, latency_s=5.0, timeout_s=60.0, largest_batch=1)
    world.lease(1)
    counted = []
    for _ in range(4):
        world.arrive()
        world.advance(0.01)
        world.complete(batch_on(world, 1))
        counted.append(world.dispatcher.model.samples)
    assert counted == [0, 0, 1, 2]


def test_a_replica_that_is_slow_now_and_then_stays():
    """Four slow batches, a usual one, four slow ones: five in a row are needed."""
    world = warmed_up()
    for slow in [{1}] * 4 + [set()] + [{1}] * 4:
        slow_round(world, slow)
    assert world.suspected == []


def test_when_most_are_slow_the_one_that_is_not_is_no_measure():
    """Three of four slow: nobody is ejected, for the model is more likely to be wrong than they are."""
    world = warmed_up(replicas=4)
    for _ in range(4):
        slow_round(world, {1, 2, 3})
    assert max(lease.slow_streak for lease in world.dispatcher._leases.by_id.values()) >= 4
    for _ in range(4):
        slow_round(world, {1, 2, 3})
    assert world.suspected == []


def test_a_replica_that_has_shown_nothing_yet_is_no_measure_for_the_others():
    """A newcomer is busy with its first batch while the only other becomes slow: it stays, and the model follows."""
    world = warmed_up(replicas=1)
    world.lease(2)
    world.arrive()
    world.arrive()
    for _ in range(40):
        world.advance(0.1)
        world.complete(batch_on(world, 1))
        assert world.suspected == []
        world.arrive()
    assert world.dispatcher.model.mean_by_size_s[1] == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(("own_s", "is_suspected"), [(0.010, False), (0.100, True), (0.0, True)])
def test_a_replica_is_slow_by_its_own_clock(own_s, is_suspected):
    """Answers that lay unread in a server that stood still do not make a straggler; slow calls do; unknown is as before."""
    world = warmed_up(replicas=4)
    for _ in range(12):
        if world.suspected:
            break
        for _ in range(4):
            world.arrive()
        world.advance(0.010)
        for batch_id, batch in list(world.running.items()):
            if batch.replica_id != 1:
                world.complete(batch_id, own_s=0.010)
        world.advance(0.090)
        world.complete(batch_on(world, 1), own_s=own_s)
    assert bool(world.suspected) is is_suspected

"""A batch with bad items against an item-by-item oracle."""

from __future__ import annotations

import sys
from math import ceil, log2
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from world import World

from sojourn.core.dispatcher import QueueBounds
from sojourn.domain.event import Tick
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.domain.request import Fault, Outcome

EAGER = BATCHING_BY_NAME["latency"]


def run_out(world: World, is_bad) -> int:
    """Let the replica answer until nothing runs: a call raises if any of its items is bad. The number of calls."""
    calls = 0
    while world.running:
        batch_id, batch = next(iter(world.running.items()))
        calls += 1
        world.advance(0.001)
        raises = any(is_bad(request_id) for request_id in batch.request_ids)
        faults = tuple((p, Fault.FUNCTION_RAISED) for p in range(len(batch.request_ids))) if raises else ()
        world.complete(batch_id, faults)
        assert calls < 10_000
    return calls


@given(size=st.integers(1, 64), bad=st.sets(st.integers(1, 64)), fresh=st.integers(0, 20))
@settings(max_examples=120, deadline=None)
def test_k_bad_of_n_give_exactly_k_errors_and_few_extra_calls(size: int, bad: set[int], fresh: int):
    """The same verdict for each item as if it had run alone; at most 2 k ceil(log2 n) calls more."""
    bad = {number for number in bad if number <= size}
    world = World(EAGER, largest_batch=64, latency_s=None, timeout_s=60.0)
    for _ in range(size):
        world.arrive()
    world.lease(1)
    first_calls = 1
    for _ in range(fresh):  # newcomers must not be mixed into the halves
        world.arrive()
    calls = run_out(world, lambda request_id: request_id in bad)
    for request_id, [(_, finish)] in world.finished.items():
        if request_id in bad:
            assert finish.fault is Fault.FUNCTION_RAISED
        else:
            assert finish.outcome is Outcome.SERVED
    assert not world.unfinished
    extra = calls - first_calls - (1 if fresh else 0)
    assert extra <= 2 * len(bad) * ceil(log2(max(size, 2)))


@given(deaths=st.integers(1, 4), innocents=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_a_killer_takes_at_most_three_replicas_and_no_innocent_is_failed(deaths: int, innocents: int):
    """A request whose replica dies each time ends after the third; those that shared its batches are served."""
    world = World(EAGER, largest_batch=8, latency_s=None, timeout_s=60.0)
    killers = {1 + index for index in range(min(deaths, 1))}
    for _ in range(1 + innocents):
        world.arrive()
    replica_id = 0
    lost = 0
    while world.unfinished:
        assert replica_id < 50
        if not world.leased:
            replica_id += 1
            world.lease(replica_id)
        if not world.running:
            world.step(Tick())
            assert world.running, "a replica is free, somebody waits, and nothing runs"
        batch_id, batch = next(iter(world.running.items()))
        world.advance(0.01)
        if killers & set(batch.request_ids):
            lost += 1
            world.lose(replica_id)
        else:
            world.complete(batch_id)
    assert lost == 3
    for request_id, [(_, finish)] in world.finished.items():
        assert finish.fault is (Fault.POISONED if request_id in killers else None)


@given(batches=st.integers(3, 30))
@settings(max_examples=20, deadline=None)
def test_reruns_after_losses_stay_within_their_budget(batches: int):
    """Replicas that die with every batch: no more than two full batches, or a tenth of the admitted, run again."""
    size = 4
    world = World(EAGER, largest_batch=size, latency_s=None, timeout_s=60.0, bounds=QueueBounds(requests=10_000))
    for _ in range(batches * size):
        world.arrive()
    dispatched = 0
    for replica_id in range(1, 10 * batches):
        if not world.unfinished:
            break
        world.lease(replica_id)
        dispatched += sum(len(batch.request_ids) for batch in world.running.values())
        world.advance(0.001)
        world.lose(replica_id)
    assert not world.unfinished
    reruns = dispatched - batches * size
    assert reruns <= max(0.1 * batches * size, 2 * size)

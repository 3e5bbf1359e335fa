"""What holds for every dispatcher, whatever happens to it and in whatever order."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from world import World

from sojourn.core.dispatcher import Dispatcher, QueueBounds
from sojourn.domain.event import DrainBegan, DrainEnded, StartsResumed, StartsSuspended
from sojourn.domain.policy import BATCHING_BY_NAME, BatchingSpec, Fixed
from sojourn.domain.request import Fault, Outcome
from sojourn.policy.batching.catalogue import batching_policy

SPECS = [
    *(BATCHING_BY_NAME[name] for name in ("slo", "need", "latency", "none", "fixed", "window")),
    Fixed(size=3, wait_s=0.02),
]
specs = st.sampled_from(SPECS)
pauses_s = st.sampled_from([0.0, 0.0, 0.0001, 0.003, 0.02, 0.11, 1.5])
operations = st.one_of(
    st.tuples(
        st.just("arrive"),
        st.sampled_from([None, None, None, 0.01, 0.3, 20.0]),
        st.sampled_from([0, 1, 1, 2]),
        st.integers(0, 60),
    ),
    st.tuples(st.just("burst"), st.integers(2, 40)),
    st.tuples(st.just("leave"), st.integers(0, 10_000)),
    st.tuples(st.just("lease")),
    st.tuples(st.just("revoke"), st.integers(0, 100)),
    st.tuples(st.just("lose"), st.integers(0, 100)),
    st.tuples(st.just("complete"), st.integers(0, 100)),
    st.tuples(st.just("complete_with_fault"), st.integers(0, 100), st.integers(0, 7)),
    st.tuples(st.just("complete_raising"), st.integers(0, 100)),
    st.tuples(st.sampled_from(["suspend", "resume"])),
)
AROUND = {"suspend": StartsSuspended, "resume": StartsResumed, "drain": DrainBegan, "end_drain": DrainEnded}
histories = st.lists(st.tuples(pauses_s, operations), max_size=60)


def faults_of(what: str, size: int, pick: int) -> tuple[tuple[int, Fault], ...]:
    """None, one invalid item, or a call that raised as a whole."""
    if what == "complete_raising":
        return tuple((position, Fault.FUNCTION_RAISED) for position in range(size))
    return ((pick % size, Fault.ITEM_INVALID),) if what == "complete_with_fault" else ()


def play(world: World, history: list[tuple[float, tuple]]) -> None:
    """Apply a history; what is impossible at its moment is skipped."""
    leases = 0
    for pause_s, (what, *arguments) in history:
        world.advance(pause_s)
        if what == "arrive":
            world.arrive(client_timeout_s=arguments[0], priority=arguments[1], body_bytes=arguments[2])
        elif what == "burst":
            for _ in range(arguments[0]):
                world.arrive()
        elif what == "leave" and world.arrived_at_s:
            world.leave(1 + arguments[0] % len(world.arrived_at_s))
        elif what == "lease" and len(world.leased) < 4:
            leases += 1
            world.lease(leases)
        elif what in {"revoke", "lose"} and world.leased:
            replica_id = sorted(world.leased)[arguments[0] % len(world.leased)]
            (world.revoke if what == "revoke" else world.lose)(replica_id)
        elif what.startswith("complete") and world.running:
            batch_id = sorted(world.running)[arguments[0] % len(world.running)]
            world.complete(batch_id, faults_of(what, len(world.running[batch_id].request_ids), arguments[-1]))
        elif what in AROUND:
            world.step(AROUND[what]())


@given(
    spec=specs,
    history=histories,
    with_objective=st.booleans(),
    retry=st.booleans(),
    ending=st.sampled_from([(), ("drain",), ("drain", "end_drain"), ("end_drain",)]),
)
@settings(max_examples=150, deadline=None)
def test_each_request_ends_exactly_once_and_the_books_balance_at_every_instant(
    spec, history, with_objective, retry, ending
):
    """Exactly one outcome per request; `World.step` runs `check` and looks for misaligned answers."""
    bounds = QueueBounds(requests=25, bytes=900)
    world = World(spec, latency_s=0.1 if with_objective else None, timeout_s=1.0, retry=retry, bounds=bounds)
    play(world, [*history, *((0.0, (what,)) for what in ending)])
    if ending:
        assert world.finished[world.arrive()][0][1].fault is Fault.SHUTTING_DOWN
    if "end_drain" in ending:
        assert world.unfinished == set(), "the server has stopped and somebody still waits"
    world.advance(120.0)
    assert world.unfinished == set()
    assert all(len(ends) == 1 for ends in world.finished.values())
    ledger = world.dispatcher.ledger
    assert ledger.accepted == len(world.arrived_at_s) == sum(ledger.ended.values())
    assert world.dispatcher.in_flight == 0


@given(spec=specs, history=histories)
@settings(max_examples=100, deadline=None)
def test_nobody_waits_past_the_give_up_time_and_nothing_starts_after_it(spec, history):
    """Promptness: an expiry is told at its very instant; a dispatch never comes later than it."""
    world = World(spec, timeout_s=1.0)
    play(world, history)
    world.advance(120.0)
    start_timeout_s = world.settings.start_timeout_s
    for request_id, [(ended_at_s, finish)] in world.finished.items():
        arrived_at_s = world.arrived_at_s[request_id]
        asked_s = world.client_timeout_s[request_id]
        latest_s = arrived_at_s + min(start_timeout_s, asked_s if asked_s is not None else start_timeout_s)
        earliest_s = arrived_at_s + min(1.0, asked_s if asked_s is not None else 1.0)
        assert ended_at_s <= latest_s + 1e-9
        if finish.outcome is Outcome.EXPIRED:
            assert any(abs(ended_at_s - told_s) < 1e-9 for told_s in (earliest_s, latest_s))
    for at_s, batch in world.dispatched:
        for request_id in batch.request_ids:
            asked_s = world.client_timeout_s[request_id]
            limit_s = min(start_timeout_s, asked_s if asked_s is not None else start_timeout_s)
            assert at_s <= world.arrived_at_s[request_id] + limit_s


@given(spec=specs, history=histories)
@settings(max_examples=60, deadline=None)
def test_the_same_history_gives_the_same_actions(spec, history):
    """Deterministic replay: a fresh core fed with the recorded events gives the recorded actions."""
    world = World(spec, timeout_s=1.0)
    play(world, history)
    fresh = Dispatcher(world.settings, batching_policy(spec), world.bounds)
    for now_s, event, actions in world.trace:
        assert fresh.step(event, now_s) == actions


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{type(spec).__name__}")
@given(gaps_s=st.lists(st.sampled_from([0.06, 0.1, 0.5]), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_an_unhurried_load_is_served_in_full_and_in_time(spec: BatchingSpec, gaps_s: list[float]):
    """Liveness: with one replica and requests far apart, each is served within the objective."""
    world = World(spec)
    world.lease(1)
    for gap_s in gaps_s:
        world.arrive()
        for _ in range(40):  # the replica needs 10 ms for a batch
            batches = list(world.running)
            world.advance(0.010 if batches else 0.001)
            for batch_id in batches:
                world.complete(batch_id)
        world.advance(max(gap_s - 0.05, 0.0))
    assert world.unfinished == set()
    for [(_, finish)] in world.finished.values():
        assert finish.outcome is Outcome.SERVED
        assert finish.latency_s <= 0.1


@given(queued=st.integers(1, 64))
@settings(max_examples=30, deadline=None)
def test_a_lone_request_waits_for_nobody(queued: int):
    """With a free replica and little traffic the default policy dispatches in the arrival's own step."""
    world = World(BATCHING_BY_NAME["slo"])
    world.lease(1)
    for _ in range(queued):
        world.arrive()
        assert len(world.running) == 1, "a free replica and a queued request, and nothing was sent"
        world.advance(0.010)
        world.complete(next(iter(world.running)))
        world.advance(0.5)


@given(burst=st.integers(1, 200), replicas=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_every_burst_is_worked_off_while_replicas_work(burst: int, replicas: int):
    """Liveness in overload: nothing is left over, and no replica idles while an on-time request waits."""
    world = World(BATCHING_BY_NAME["slo"], timeout_s=2.0)
    for replica_id in range(1, replicas + 1):
        world.lease(replica_id)
    for _ in range(burst):
        world.arrive()
    for _ in range(1000):
        if not world.unfinished:
            break
        batches = list(world.running)
        world.advance(0.005)
        for batch_id in batches:
            world.complete(batch_id)
    assert world.unfinished == set()
    served = sum(f.outcome is Outcome.SERVED for [(_, f)] in world.finished.values())
    assert served >= min(burst, 8 * replicas)

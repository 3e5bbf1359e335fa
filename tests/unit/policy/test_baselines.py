"""The baselines `need`, `consolidate`, `aimd` and `mlproxy`: what each answers, and what holds for all of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "property"))
from world import World

import sojourn
from sojourn.core.dispatcher import QueueBounds
from sojourn.domain.policy import AIMD, BATCHING_BY_NAME, Consolidate, MLProxy
from sojourn.domain.request import Outcome
from sojourn.errors import ConfigurationError
from sojourn.estimate.rate import EventRate
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.aimd import BatchCap
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.policy.batching.port import BatchingView, Send, Wait

NAMES = ("need", "consolidate", "aimd", "mlproxy")
SERVICE_S = 0.010  # of a modelled replica, whatever the batch


def learnt(largest_batch=32, alpha_s=0.001, beta_s=0.020) -> ServiceTimeModel:
    """A model that has seen batches of every size without noise: 20 ms + 1 ms x b."""
    model = ServiceTimeModel(largest_batch)
    for index in range(200):
        size = index % largest_batch + 1
        model.observe(size, alpha_s * size + beta_s, index * 0.05)
    return model


def view(deadlines_s, *, now_s=10.0, late=0, replicas=1, model=None, latency_s=0.1):
    """A queue with these deadlines, of requests that arrived `latency_s` before (now if that is infinite)."""
    ages_s = [0.0 if latency_s == float("inf") else latency_s - (due_at_s - now_s) for due_at_s in deadlines_s]
    queue = [
        (1, due_at_s, now_s - age_s, i) for i, (due_at_s, age_s) in enumerate(zip(deadlines_s, ages_s, strict=True))
    ]
    late_lane = [(1, now_s + 1 + i, now_s - 1, 1000 + i) for i in range(late)]
    return BatchingView(
        now_s=now_s,
        queue=queue,
        late=late_lane,
        replicas=replicas,
        arrivals=EventRate(2.0),
        model=model or learnt(),
        latency_s=latency_s,
        largest_batch=32,
    )


def decide(spec, seen):
    return batching_policy(spec).decide(seen)


def teach(policy, model, rounds, *, beta_s=0.020):
    """Let `policy` send full batches and `model` learn of each; returns the sizes it sent."""
    sizes = []
    for index in range(rounds):
        answer = policy.decide(view([10.1] * 100, model=model))
        assert isinstance(answer, Send)
        sizes.append(answer.size)
        model.observe(answer.size, beta_s + 0.001 * answer.size, 20 + index * 0.3)
    return sizes


def test_consolidate_defers_to_the_last_moment_at_which_one_more_could_join():
    """Two wait, 100 ms left: a third would need 23 ms, the guard 1.5 ms; until then nothing is sent."""
    answer = decide(Consolidate(), view([10.1, 10.1]))
    assert isinstance(answer, Wait)
    assert answer.until_s == pytest.approx(10.1 - 0.023 - 0.0015, abs=1e-6)
    assert answer.sacrifice == 0


def test_consolidate_goes_at_that_moment_with_all_it_has():
    """The same two with 24 ms left."""
    assert decide(Consolidate(), view([10.024, 10.024])) == Send(2)


def test_consolidate_does_not_wait_with_a_batch_of_the_largest_useful_size():
    """One replica, 100 ms: half of it allows 29 in 49.5 ms; more than that go while the head allows it."""
    model = learnt(beta_s=0.0205)
    assert decide(Consolidate(), view([10.1] * 29, model=model)) == Send(29)
    assert isinstance(decide(Consolidate(), view([10.1] * 28, model=model)), Wait)
    assert decide(Consolidate(), view([10.1] * 40, model=model)) == Send(32)


def test_consolidate_gives_up_heads_until_a_window_is_on_time():
    """Heads with 5 ms left are set aside; the others wait on their own head's account."""
    answer = decide(Consolidate(), view([10.005, 10.006, 10.09]))
    assert isinstance(answer, Wait)
    assert answer.sacrifice == 2
    assert answer.until_s == pytest.approx(10.09 - 0.022 - 0.0015, abs=1e-6)
    assert decide(Consolidate(), view([10.001, 10.002])) == Wait(float("inf"), sacrifice=2)


def test_consolidate_goes_at_once_while_it_cannot_know_how_long_it_may_wait():
    """No measurements, or no objective: it is eager, in sizes the model allows."""
    assert decide(Consolidate(), view([10.1] * 3, model=ServiceTimeModel(32))) == Send(1)
    assert decide(Consolidate(), view([float("inf")] * 3, latency_s=float("inf"))) == Send(3)


def test_consolidate_serves_the_late_lane_when_nothing_else_is_there():
    """An empty queue is the late lane's turn."""
    answer = decide(Consolidate(), view([], late=5))
    assert isinstance(answer, Send)
    assert (answer.size, answer.late) == (0, 5)


def test_aimd_climbs_by_one_and_backs_off_by_a_tenth():
    """20 ms + b ms against 50.5 ms: up to 30 is fast enough, 31 is not."""
    sizes = teach(batching_policy(AIMD(target=0.505)), learnt(), 60)
    assert sizes[:31] == list(range(1, 32))
    assert sizes[31:37] == [27, 28, 29, 30, 31, 28]
    assert max(sizes) == 31


def test_aimd_never_waits_and_takes_what_there_is():
    """Less than the cap is queued: it goes at once."""
    policy = batching_policy(AIMD())
    teach(policy, learnt(), 20)
    assert policy.decide(view([10.1] * 3)) == Send(3)


def test_aimd_stays_within_what_the_function_takes():
    """Fast batches never raise the cap above the function's own."""
    assert teach(batching_policy(AIMD()), learnt(alpha_s=0.0), 60)[-1] == 32


def test_a_cap_grows_only_when_a_full_batch_was_tried():
    """Batches of one say nothing of larger ones, however many there are."""
    cap, model = BatchCap(1, 0.9), learnt()
    for index in range(50):
        cap.sent(1)
        model.observe(1, 0.021, 20 + index * 0.3)
        size = cap.size(model, model.mean_by_size_s, 0.1, 32)
    assert size == 2


def test_a_cap_moves_once_per_completed_batch():
    """Asked again and again without a completion between, it answers the same."""
    cap, model = BatchCap(1, 0.9), learnt()
    sizes = set()
    for _ in range(20):
        sizes.add(cap.size(model, model.mean_by_size_s, 0.1, 32))
        cap.sent(32)
    assert sizes == {1}


def test_a_cap_never_falls_below_one():
    """Even when not a single request fits the target."""
    cap, model = BatchCap(1, 0.5), learnt()
    for index in range(20):
        model.observe(1, 0.021, 20 + index * 0.3)
        assert cap.size(model, model.mean_by_size_s, 0.001, 32) == 1


def test_mlproxy_waits_until_the_heads_timer_ends():
    """Two of a cap of some: S - p95(3) - age, with the head 20 ms old, is 57 ms from now less the guard."""
    policy = batching_policy(MLProxy())
    teach(policy, learnt(), 10)
    answer = policy.decide(view([10.08, 10.09]))
    assert isinstance(answer, Wait)
    assert answer.until_s == pytest.approx(10.08 - 0.023 - 0.0015, abs=1e-6)
    assert policy.decide(view([10.024, 10.09])) == Send(2)


def test_mlproxy_sends_a_full_batch_at_once_and_not_more():
    """0.8 S / 2 = 40 ms allow 20 requests in 39.5 ms; 21 are too slow and make it 16. A longer queue goes in pieces."""
    sizes = teach(batching_policy(MLProxy()), learnt(beta_s=0.0195), 60, beta_s=0.0195)
    assert sizes[:23] == [*range(1, 22), 16, 17]
    assert max(sizes) == 21


def test_mlproxy_plans_with_more_of_the_objective_when_there_are_more_replicas():
    """Four replicas: 0.8 S / (1 + 1/4) = 64 ms, which is more than the 32 the function takes."""
    policy, model = batching_policy(MLProxy()), learnt()
    for index in range(60):
        answer = policy.decide(view([10.1] * 100, model=model, replicas=4))
        model.observe(answer.size, 0.020 + 0.001 * answer.size, 20 + index * 0.3)
    assert answer.size == 32


def test_mlproxy_without_an_objective_is_eager():
    """No timer can be computed, so nothing is waited for."""
    policy = batching_policy(MLProxy())
    model = learnt()
    for index in range(20):
        policy.decide(view([float("inf")] * 40, model=model, latency_s=float("inf")))
        model.observe(8, 0.028, 20 + index * 0.3)
    assert policy.decide(view([float("inf")], model=model, latency_s=float("inf"))) == Send(1)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_queue_is_the_late_lanes_turn(name):
    """Whatever the policy, it is also asked when only late requests wait, and must name one."""
    answer = decide(BATCHING_BY_NAME[name], view([], late=3))
    assert isinstance(answer, Send)
    assert answer.late >= 1


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Consolidate, {"guard_s": -0.001}),
        (Consolidate, {"guard_s": float("inf")}),
        (AIMD, {"increase": 0}),
        (AIMD, {"decrease": 1.0}),
        (AIMD, {"target": 0.0}),
        (MLProxy, {"decrease": 0.0}),
        (MLProxy, {"target": 1.5}),
        (MLProxy, {"guard_s": float("nan")}),
    ],
)
def test_parameters_out_of_range_are_refused(kind, options):
    """The message names the policy and the parameter."""
    (parameter,) = options
    with pytest.raises(ConfigurationError, match=rf"{kind.__name__}\(.*{parameter}"):
        kind(**options)


@pytest.mark.parametrize("name", NAMES)
def test_a_function_names_it(name):
    """In the decorator, by name or as an object of the package."""

    @sojourn.function(batching=name)
    def by_name(items: list[int]) -> list[int]:
        return items

    assert by_name.__sojourn__.settings.batching == BATCHING_BY_NAME[name]
    kind = getattr(sojourn, type(BATCHING_BY_NAME[name]).__name__)
    assert kind() == BATCHING_BY_NAME[name]


pauses_s = st.sampled_from([0.0, 0.0, 0.0001, 0.003, 0.02, 0.11, 1.5])
operations = st.one_of(
    st.tuples(st.just("arrive"), st.sampled_from([None, None, 0.01, 0.3])),
    st.tuples(st.just("burst"), st.integers(2, 40)),
    st.tuples(st.just("leave"), st.integers(0, 10_000)),
    st.tuples(st.just("lease"), st.just(0)),
    st.tuples(st.just("lose"), st.integers(0, 100)),
    st.tuples(st.just("complete"), st.integers(0, 100)),
)


def play(world: World, history: list[tuple[float, tuple]]) -> None:
    """Apply a history; what is impossible at its moment is skipped."""
    leases = 0
    for pause_s, (what, argument) in history:
        world.advance(pause_s)
        if what == "arrive":
            world.arrive(client_timeout_s=argument)
        elif what == "burst":
            for _ in range(argument):
                world.arrive()
        elif what == "leave" and world.arrived_at_s:
            world.leave(1 + argument % len(world.arrived_at_s))
        elif what == "lease" and len(world.leased) < 4:
            leases += 1
            world.lease(leases)
        elif what == "lose" and world.leased:
            world.lose(sorted(world.leased)[argument % len(world.leased)])
        elif what == "complete" and world.running:
            world.complete(sorted(world.running)[argument % len(world.running)])


@pytest.mark.parametrize("name", NAMES)
@given(history=st.lists(st.tuples(pauses_s, operations), max_size=50), with_objective=st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_request_ends_once(name, history, with_objective):
    """Whatever arrives, leaves, completes or dies; `World.step` checks the books after each step."""
    bounds = QueueBounds(requests=25, bytes=900)
    world = World(BATCHING_BY_NAME[name], latency_s=0.1 if with_objective else None, timeout_s=1.0, bounds=bounds)
    play(world, history)
    world.advance(120.0)
    assert world.unfinished == set()
    assert all(len(ends) == 1 for ends in world.finished.values())


def serve(world: World, until_s: float) -> None:
    """Let time pass while the one replica completes each batch `SERVICE_S` after it was sent."""
    while True:
        dispatched_at_s = [at_s for at_s, batch in world.dispatched if batch.batch_id in world.running]
        done_at_s = dispatched_at_s[0] + SERVICE_S if dispatched_at_s else float("inf")
        wake_at_s = world.dispatcher.next_wake_at_s or float("inf")
        next_s = min(done_at_s, wake_at_s)
        if next_s > until_s:
            break
        world.advance(max(next_s - world.now_s, 0.0))
        if done_at_s <= wake_at_s:
            world.complete(next(iter(world.running)))
    world.advance(until_s - world.now_s)


@pytest.mark.parametrize("name", NAMES)
@given(gaps_s=st.lists(st.sampled_from([0.03, 0.06, 0.1, 0.5]), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_an_unhurried_load_is_served_in_full_and_in_time(name, gaps_s):
    """Liveness: requests far apart are all served within the objective, deferred or not."""
    world = World(BATCHING_BY_NAME[name])
    world.lease(1)
    for gap_s in gaps_s:
        world.arrive()
        serve(world, world.now_s + gap_s)
    serve(world, world.now_s + 1.0)
    assert world.unfinished == set()
    for [(_, finish)] in world.finished.values():
        assert finish.outcome is Outcome.SERVED
        assert finish.latency_s <= 0.1

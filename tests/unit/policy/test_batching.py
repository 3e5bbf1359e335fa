"""What each batching policy answers in situations small enough to reason about."""

from __future__ import annotations

from math import exp
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.domain.policy import BATCHING_BY_NAME, Fixed, Window
from sojourn.estimate.rate import EventRate
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.policy.batching.port import BatchingView, Send, Wait
from sojourn.policy.batching.slo import first_worth_saving


def learnt(largest_batch: int = 32, alpha_s: float = 0.001, beta_s: float = 0.020) -> ServiceTimeModel:
    """A model that has seen batches of every size without noise."""
    model = ServiceTimeModel(largest_batch)
    for index in range(200):
        size = index % largest_batch + 1
        model.observe(size, alpha_s * size + beta_s, index * 0.05)
    return model


class Steady:
    """Arrivals at the same rate over any window."""

    def __init__(self, rate_per_s: float) -> None:
        self.rate_per_s = rate_per_s

    def per_s(self, now_s: float, window_s: float) -> float:
        return self.rate_per_s


def view(deadlines_s, *, now_s=10.0, late=0, replicas=1, arrivals_per_s=10.0, model=None, latency_s=0.1):
    """A queue with these deadlines, each of a request that arrived `latency_s` before its deadline."""
    queue = [(1, due_at_s, due_at_s - latency_s, i) for i, due_at_s in enumerate(sorted(deadlines_s))]
    late_lane = [(1, now_s + 1 + i, now_s - 1, 1000 + i) for i in range(late)]
    return BatchingView(
        now_s=now_s,
        queue=queue,
        late=late_lane,
        replicas=replicas,
        arrivals=Steady(arrivals_per_s),
        model=model or learnt(),
        latency_s=latency_s,
        largest_batch=32,
    )


def decide(spec, seen):
    return batching_policy(spec).decide(seen)


SLO, LATENCY, NONE = (BATCHING_BY_NAME[name] for name in ("slo", "latency", "none"))


def test_a_lone_request_goes_at_once():
    """With ample capacity the default is eager."""
    assert decide(SLO, view([10.1])) == Send(1)


def test_what_stands_in_the_queue_goes_together():
    """A queue that stands is never cut for the sake of waiting."""
    assert decide(SLO, view([10.1] * 5)) == Send(5)


def test_the_head_bounds_the_batch_while_capacity_is_ample():
    """20 ms + b ms within the head's 32 ms is a batch of 12 or so, not the whole queue; nobody is given up."""
    answer = decide(SLO, view([10.032] + [10.09] * 20))
    assert isinstance(answer, Send)
    assert answer.sacrifice == 0
    assert 10 <= answer.size <= 12


def test_past_saturation_heads_do_not_make_the_batch_small():
    """The newest go, in a large batch; the heads that would force it to be small are left to others."""
    answer = decide(SLO, view([10.023, 10.024, 10.025] + [10.09] * 40, arrivals_per_s=5000.0))
    assert isinstance(answer, Send)
    assert answer.sacrifice + answer.skip + answer.size == 43
    assert answer.sacrifice + answer.skip >= 3
    assert answer.size >= 25


def test_hopeless_heads_are_set_aside_even_when_there_is_time():
    """A head that not even a batch of one can save does not hold up the rest."""
    assert decide(SLO, view([10.005, 10.09])) == Send(1, sacrifice=1)


def test_when_all_are_hopeless_all_are_set_aside():
    """Nothing on time is left: the answer moves everything to the late lane."""
    answer = decide(SLO, view([10.001, 10.002]))
    assert isinstance(answer, Wait)
    assert answer.sacrifice == 2


def test_with_several_replicas_under_load_it_waits_for_a_larger_batch():
    """Four replicas near capacity: two requests are not worth 22 ms of a replica; the wait is bounded by the head."""
    answer = decide(SLO, view([10.095, 10.098], replicas=4, arrivals_per_s=2000.0))
    assert isinstance(answer, Wait)
    assert 10.0 < answer.until_s <= 10.095 - 0.021


def test_the_wait_ends_before_the_head_is_lost():
    """At the last safe moment the same queue is sent."""
    answer = decide(SLO, view([10.025, 10.028], replicas=4, arrivals_per_s=2000.0))
    assert answer == Send(2)


def test_the_wait_leaves_room_for_a_late_timer():
    """The batch goes 1.5 ms before it would have to, with one more that may come: timers of a busy loop come late."""
    slow = learnt(beta_s=0.050)
    policy, seen = batching_policy(SLO), view([10.090, 10.092], replicas=4, arrivals_per_s=400.0, model=slow)
    end_of_the_wait_s(policy, seen)
    assert seen.now_s == pytest.approx(10.090 - 0.053 - 0.0015, abs=1e-6)


def end_of_the_wait_s(policy, seen):
    """Ask whenever the policy wants to be asked again, until it sends; what it sends."""
    for _ in range(20):
        answer = policy.decide(seen)
        if isinstance(answer, Send):
            return answer
        assert answer.until_s > seen.now_s
        seen.now_s = answer.until_s
    raise AssertionError("it waits for ever")


def test_a_wait_is_told_for_as_many_as_leave_time():
    """At first the batch it waits for; with less time left, fewer, down to one more: nothing is asked in between."""
    slow = learnt(beta_s=0.050)
    policy, seen = batching_policy(SLO), view([10.090, 10.092], replicas=4, arrivals_per_s=400.0, model=slow)
    sizes = []
    while isinstance(answer := policy.decide(seen), Wait):
        sizes.append(answer.until_size)
        seen.now_s = answer.until_s
    assert sizes[0] > sizes[-1] == 3
    assert sizes == sorted(sizes, reverse=True)
    assert answer.size == 2


def test_a_critical_head_is_not_given_up_to_make_room_for_a_lower_class():
    """The same queue, all of one class: the newest are served. With the heads critical: they are, in a small batch."""
    deadlines_s = [10.0235, 10.024, 10.025] + [10.09] * 40
    one_class = decide(SLO, view(deadlines_s, arrivals_per_s=5000.0))
    assert one_class.sacrifice + one_class.skip >= 3
    mixed = view(deadlines_s, arrivals_per_s=5000.0)
    mixed.queue = [(0 if i < 3 else 1, *entry[1:]) for i, entry in enumerate(mixed.queue)]
    assert decide(SLO, mixed) == Send(3)


def test_a_batch_does_not_grow_into_a_lower_class_that_would_be_late_in_it():
    """Relaxed critical requests and a best-effort one that is due soon: the batch ends at the class."""
    mixed = view([10.095] * 20 + [10.03])
    mixed.queue = [(0, 10.095, 9.995, i) for i in range(20)] + [(2, 10.03, 9.93, 99)]
    assert decide(SLO, mixed) == Send(20)


def test_late_ones_fill_a_batch_that_stays_on_time():
    """A fresh head leaves room: late requests join, within what its deadline allows."""
    answer = decide(SLO, view([10.1], late=100))
    assert isinstance(answer, Send)
    assert answer.size == 1
    assert 1 <= answer.late <= 31


def test_an_idle_replica_serves_late_ones_in_small_batches():
    """l(b) + l(1) <= S: 20 + b + 21 <= 100 ms allows 59, the function 32."""
    assert decide(SLO, view([], late=100)) == Send(0, late=32)
    slow = learnt(alpha_s=0.030, beta_s=0.020)
    assert decide(SLO, view([], late=100, model=slow)) == Send(0, late=1)


def test_nothing_known_yet_means_small_steps():
    """An unknown model tries one item, whatever the queue."""
    assert decide(SLO, view([10.1] * 20, model=ServiceTimeModel(32))) == Send(1)


def test_without_an_objective_it_is_eager():
    """No deadline to protect: as much as the function takes."""
    assert decide(SLO, view([float("inf")] * 40, latency_s=float("inf"))) == Send(32)


@pytest.mark.parametrize(("queued", "size"), [(1, 1), (7, 7), (40, 32)])
def test_latency_policy_takes_all(queued, size):
    """Always eager, up to the function's limit."""
    assert decide(LATENCY, view([10.1] * queued)) == Send(size)


def test_none_policy_takes_one():
    """One at a time."""
    assert decide(NONE, view([10.1] * 9)) == Send(1)


def test_fixed_policy_waits_for_its_size_or_its_time():
    """Full: go. Not full: wait until the head is 20 ms old, then go with what is there."""
    fixed = Fixed(size=4, wait_s=0.02)
    assert decide(fixed, view([10.1] * 6)) == Send(4)
    waiting = decide(fixed, view([10.1] * 2))
    assert isinstance(waiting, Wait)
    assert waiting.until_s == pytest.approx(10.02)
    assert decide(fixed, view([10.075] * 2)) == Send(2)


def test_window_policy_slides_to_the_first_batch_that_is_on_time():
    """Heads before it are given up, whether or not capacity asks for it."""
    answer = decide(Window(size=8), view([10.023, 10.024] + [10.09] * 8))
    assert answer == Send(8, sacrifice=2)


def test_it_does_not_wait_where_a_larger_batch_saves_little():
    """2 ms + 8 ms x b on four busy replicas with noise: three go at once; 20 ms + 1 ms x b would wait for more."""
    rng = Random(1)
    models = []
    for alpha_s, beta_s in ((0.008, 0.002), (0.001, 0.020)):
        model = ServiceTimeModel(32)
        for index in range(200):
            size = index % 8 + 1
            model.observe(size, (alpha_s * size + beta_s) * exp(rng.gauss(0.0, 0.2)), index * 0.05)
        models.append(model)
    deadlines_s = [10.095, 10.096, 10.097]
    assert decide(SLO, view(deadlines_s, replicas=4, arrivals_per_s=470.0, model=models[0])) == Send(3)
    assert isinstance(decide(SLO, view(deadlines_s, replicas=4, arrivals_per_s=2500.0, model=models[1])), Wait)


def test_it_asks_for_the_load_of_two_objectives():
    """A burst began 0.2 s ago and the second before was empty: heads stay behind for the sake of what arrives now."""
    rate = EventRate(2.0, 80)
    rate.record(8.0)
    for number in range(1000):
        rate.record(9.8 + number / 5000)
    seen = view([10.023, 10.024, 10.025] + [10.09] * 40)
    seen.arrivals = rate
    answer = decide(SLO, seen)
    assert answer.sacrifice + answer.skip >= 3
    seen.now_s = 10.4  # and 0.4 s later, with no more arrivals, nobody does
    seen.queue = view([10.43] + [10.49] * 40, now_s=10.4).queue
    answer = decide(SLO, seen)
    assert (answer.sacrifice, answer.skip) == (0, 0)


def test_late_ones_do_not_join_while_replicas_cannot_keep_up():
    """The same fresh head and late lane: company at low load, none in overload."""
    assert decide(SLO, view([10.1] * 3, late=100)).late > 0
    assert decide(SLO, view([10.1] * 3, late=100, arrivals_per_s=5000.0)).late == 0


def test_a_wait_is_kept_until_something_it_was_decided_for_changes():
    """More arrivals change nothing until they are enough; another head or another replica asks anew."""
    policy = batching_policy(SLO)
    seen = view([10.098, 10.099], replicas=4, arrivals_per_s=2000.0)
    first = policy.decide(seen)
    assert isinstance(first, Wait)
    seen.arrivals = Steady(0.0)  # asked anew it would be eager
    seen.queue.append((1, 10.1, 10.0, 2))
    kept = policy.decide(seen)
    assert isinstance(kept, Wait)
    assert kept == first
    seen.queue.insert(0, (0, 10.1, 10.0, 3))
    assert policy.decide(seen) == Send(4)


@pytest.mark.parametrize("change", ["replicas", "time", "arrivals"])
def test_a_wait_ends(change):
    """With fewer replicas, at its end, or with as many requests as it was for."""
    policy = batching_policy(SLO)
    seen = view([10.098, 10.099], replicas=4, arrivals_per_s=2000.0)
    waiting = policy.decide(seen)
    if change == "replicas":
        seen.replicas = 1
    elif change == "time":
        answer = end_of_the_wait_s(policy, seen)
    else:
        seen.queue.extend((1, 10.1, 10.0, 10 + i) for i in range(waiting.until_size - 2))
    answer = answer if change == "time" else policy.decide(seen)
    assert isinstance(answer, Send)
    assert answer.size == len(seen.queue)


@given(
    slacks_s=st.lists(st.tuples(st.integers(0, 2), st.floats(-0.05, 0.1)), min_size=1, max_size=60),
    need=st.integers(1, 20),
    spare=st.integers(0, 10),
)
@settings(max_examples=200, deadline=None)
def test_the_first_head_worth_saving_is_the_one_a_plain_search_finds(slacks_s, need, spare):
    """Bisection within each class against asking one head after the other."""
    entries = sorted((priority, 10.0 + slack_s, 9.0, i) for i, (priority, slack_s) in enumerate(slacks_s))
    seen = view([10.1])
    seen.queue = entries
    times_s = seen.model.mean_by_size_s
    cap = need + spare
    expected = len(entries)
    for first, (priority, due_at_s, _, _) in enumerate(entries):
        left_in_class = sum(entry[0] == priority for entry in entries[first:])
        if due_at_s - 10.0 >= times_s[min(need, left_in_class)]:
            expected = first
            break
    first, fit = first_worth_saving(seen, times_s, need, cap)
    assert first == expected
    assert (fit == 0) == (expected == len(entries))
    assert fit <= cap
    assert fit == 0 or 10.0 + times_s[fit] <= entries[first][1]


@pytest.mark.parametrize(
    ("need", "fresh", "size"),
    [(20, 25, 30), (3, 25, 3), (20, 0, 3)],
    ids=["serves more", "is not needed", "is of the late"],
)
def test_a_few_of_a_higher_class_take_no_replica_to_themselves_where_capacity_is_short(need, fresh, size):
    """Three of the higher class may wait 50 ms: 30 are served with them, though five or all of the lower one are late."""
    seen = view([10.1])
    slacks_s = [(0, 0.0501)] * 3 + [(1, 0.03)] * (30 - fresh) + [(1, 0.09)] * fresh
    seen.queue = [(priority, 10.0 + slack_s, 9.0, i) for i, (priority, slack_s) in enumerate(slacks_s)]
    assert first_worth_saving(seen, seen.model.mean_by_size_s, need, 32) == (0, size)


def test_with_several_replicas_a_batch_is_no_longer_than_their_stagger_allows():
    """7.5 ms + 4 ms x b: the heads' 100 ms would allow 23, but four staggered replicas hold them with 80 ms only: 18."""
    model = learnt(alpha_s=0.004, beta_s=0.0075)
    assert decide(SLO, view([10.1] * 30, replicas=4, model=model)) == Send(18)


def test_a_batch_grows_past_that_where_most_of_its_time_is_fixed():
    """50 ms + 1 ms x b: planned are 30 in 80 ms, the head allows 32 and gets them, for they cost next to nothing."""
    assert decide(SLO, view([10.1] * 40, replicas=4, model=learnt(beta_s=0.0495))) == Send(32)


def test_consolidation_sends_one_at_the_very_last_moment_whatever_the_rounding():
    """The moment at which the head alone is just on time: a batch of one, never of none, at any clock reading."""
    model = learnt(largest_batch=4, alpha_s=0.02, beta_s=0.02)
    alone_s = model.p95_by_size_s[1]
    for number in range(1, 2000):
        now_s = number * 0.01
        answer = decide(BATCHING_BY_NAME["consolidate"], view([now_s + alone_s], now_s=now_s, model=model))
        assert isinstance(answer, Wait) or answer.size >= 1

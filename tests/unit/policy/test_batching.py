"""What each batching policy answers in situations small enough to reason about."""

from __future__ import annotations

import pytest

from sojourn.domain.policy import BATCHING_BY_NAME, Fixed, Window
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.policy.batching.port import BatchingView, Send, Wait


def learnt(largest_batch: int = 32, alpha_s: float = 0.001, beta_s: float = 0.020) -> ServiceTimeModel:
    """A model that has seen batches of every size without noise."""
    model = ServiceTimeModel(largest_batch)
    for index in range(200):
        size = index % largest_batch + 1
        model.observe(size, alpha_s * size + beta_s, index * 0.05)
    return model


def view(deadlines_s, *, now_s=10.0, late=0, replicas=1, arrivals_per_s=10.0, model=None, latency_s=0.1):
    """A queue with these deadlines, each of a request that arrived `latency_s` before its deadline."""
    queue = [(1, due_at_s, due_at_s - latency_s, i) for i, due_at_s in enumerate(sorted(deadlines_s))]
    late_lane = [(1, now_s + 1 + i, now_s - 1, 1000 + i) for i in range(late)]
    return BatchingView(
        now_s=now_s,
        queue=queue,
        late=late_lane,
        replicas=replicas,
        arrivals_per_s=arrivals_per_s,
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


def test_past_saturation_heads_are_given_up_until_the_batch_is_large_enough():
    """Not the batch shrinks but the heads that would force it to be small are set aside."""
    answer = decide(SLO, view([10.023, 10.024, 10.025] + [10.09] * 40, arrivals_per_s=5000.0))
    assert isinstance(answer, Send)
    assert answer.sacrifice == 3
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
    """The batch goes 1.5 ms before it would have to: timers of a busy loop come late."""
    slow = learnt(beta_s=0.050)
    answer = decide(SLO, view([10.090, 10.092], replicas=4, arrivals_per_s=400.0, model=slow))
    assert isinstance(answer, Wait)
    assert answer.until_s == pytest.approx(10.090 - 0.053 - 0.0015, abs=1e-6)


def test_a_critical_head_is_not_given_up_to_make_room_for_a_lower_class():
    """The same queue, all of one class: the heads go. With the heads critical: they are served, in a small batch."""
    deadlines_s = [10.0235, 10.024, 10.025] + [10.09] * 40
    one_class = decide(SLO, view(deadlines_s, arrivals_per_s=5000.0))
    assert one_class.sacrifice == 3
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

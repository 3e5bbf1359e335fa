"""The batch of the newest that is worth the most, waits for a better one, and how many stay queued."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.estimate.batch_plan import BusyReplicas
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.newest import NewestFirst
from sojourn.policy.batching.port import BatchingView, Send, Wait
from sojourn.sim.replica import ModelledService

ALPHA_S, BETA_S, LATENCY_S, CAP = 0.001, 0.020, 0.1, 64
NOW_S = 10.0
RATE_PER_S = 1200.0  # twice what batches of 30 within half the objective carry


def learnt(sigma: float) -> ServiceTimeModel:
    """An accelerator's times after three hundred batches of all sizes."""
    rng, model = Random(1), ServiceTimeModel(CAP)
    service = ModelledService(ALPHA_S, BETA_S, sigma)
    for index in range(300):
        size = index % CAP + 1
        model.observe(size, service.duration_s(size, rng), index * 0.01)
    return model


MODELS = {sigma: learnt(sigma) for sigma in (0.0, 0.2)}


def view(ages_s, *, sigma: float = 0.2, replicas: int = 1) -> BatchingView:
    """A queue of requests that have waited so long, the oldest first."""
    queue = [(1, NOW_S - age_s + LATENCY_S, NOW_S - age_s, i) for i, age_s in enumerate(sorted(ages_s, reverse=True))]
    model = MODELS[sigma]
    return BatchingView(
        now_s=NOW_S,
        queue=queue,
        late=[],
        replicas=replicas,
        arrivals=None,
        model=model,
        latency_s=LATENCY_S,
        largest_batch=CAP,
    )


def regular(count: int, first_s: float = 0.0) -> list[float]:
    """Ages of as many as arrived one after the other, the last of them `first_s` ago."""
    return [first_s + place / RATE_PER_S for place in range(count)]


def worth(seen: BatchingView, size: int, rate_per_s: float) -> float:
    """Requests expected in time less the price of the time, one member after the other."""
    model = seen.model
    plan = BusyReplicas(model.mean_by_size_s, model.ratio_quantiles, LATENCY_S, CAP).of_the_newest(rate_per_s)
    time_s = model.mean_by_size_s[size]
    in_time = 0.0
    for entry in seen.queue[-size:]:
        ratios = model.ratio_quantiles
        in_time += sum(NOW_S + ratio * time_s <= entry[1] + 1e-9 for ratio in ratios) / len(ratios)
    return in_time - 0.9 * plan.goodput_per_s * time_s


@pytest.mark.parametrize(("sigma", "replicas", "most"), [(0.0, 1, 0.01), (0.2, 1, 0.1), (0.2, 2, 0.3)])
def test_no_other_size_is_worth_much_more(sigma, replicas, most):
    """Over 200 random queues: what is sent is worth as much as the best of all sizes, within a part of a request on average."""
    rng, lost = Random(2), []
    for _ in range(200):
        ages_s = [rng.uniform(0.0, 0.09) for _ in range(rng.randint(1, 100))]
        seen = view(ages_s, sigma=sigma, replicas=replicas)
        answer = NewestFirst().decide(seen, RATE_PER_S, CAP)
        if not isinstance(answer, Send):
            continue
        sizes = range(1, min(len(seen.queue) - answer.sacrifice, 55) + 1)
        lost.append(max(worth(seen, size, RATE_PER_S) for size in sizes) - worth(seen, answer.size, RATE_PER_S))
    assert len(lost) > 100
    assert sum(lost) / len(lost) < most


def test_the_newest_go_and_others_stay_for_the_other_replica():
    """Of 90 that came one after the other a half goes; nobody is given up who could be served alone."""
    answer = NewestFirst().decide(view(regular(90), replicas=2), 2 * RATE_PER_S, CAP)
    assert isinstance(answer, Send)
    assert 30 <= answer.size <= 50
    assert (answer.sacrifice, answer.skip + answer.size) == (0, 90)


def test_who_cannot_be_in_time_even_alone_is_given_up():
    """One alone takes 21 ms, with luck 15: of those with 5 ms left nobody is kept."""
    answer = NewestFirst().decide(view([0.095] * 7 + regular(60), replicas=2), 2 * RATE_PER_S, CAP)
    assert answer.sacrifice == 7
    everybody = NewestFirst().decide(view([0.095] * 7), RATE_PER_S, CAP)
    assert isinstance(everybody, Wait)
    assert everybody.sacrifice == 7


def test_one_replica_alone_gives_up_whom_it_cannot_come_back_to():
    """Its batch takes 56 ms, with luck 43: who is not in it and came more than 42 ms ago has no chance after it."""
    seen = view(regular(90))
    answer = NewestFirst().decide(seen, RATE_PER_S, CAP)
    oldest_left_s = NOW_S - seen.queue[answer.sacrifice][2]
    assert answer.sacrifice > 20
    assert answer.sacrifice + answer.skip + answer.size == 90
    assert oldest_left_s == pytest.approx(0.042, abs=0.008)


def test_a_replica_in_step_with_another_waits_for_fresh_ones_once():
    """The other took the newest a moment ago: a short wait, kept until it is over, then whatever is there goes."""
    policy = NewestFirst()
    seen = view([0.0, 0.0005, 0.001, *regular(20, 0.06)], replicas=2)
    first = policy.decide(seen, 2 * RATE_PER_S, CAP)
    assert isinstance(first, Wait)
    assert NOW_S < first.until_s <= NOW_S + 0.01
    seen.now_s += 0.001
    again = policy.decide(seen, 2 * RATE_PER_S, CAP)
    assert (again.until_s, again.until_size) == (first.until_s, first.until_size)
    seen.now_s = first.until_s
    assert isinstance(policy.decide(seen, 2 * RATE_PER_S, CAP), Send)


def test_one_replica_alone_never_waits():
    """What it does not take grows old meanwhile, and nobody else is there to be kept out of step with."""
    assert isinstance(NewestFirst().decide(view([0.0, *regular(20, 0.05)]), RATE_PER_S, CAP), Send)


@pytest.mark.parametrize(
    ("rate_per_s", "least", "most"),
    [
        (6000.0, 80, 130),  # twice the capacity: two batches
        (3050.0, 300, 310),  # hardly more than it: all who came within the objective
    ],
)
def test_how_many_stay_queued(rate_per_s, least, most):
    """In overload twice a batch, else nobody gives way who is not overdue."""
    policy = NewestFirst()
    assert policy.decide(view(regular(90), replicas=4), rate_per_s, CAP) is not None
    assert least <= policy.room <= most


def test_nobody_gives_way_who_could_be_served_in_time_after_others():
    """Eight replicas take 48 in 68 ms each: in the 32 ms that are left of the objective some 180 more."""
    policy = NewestFirst()
    assert policy.decide(view(regular(90), replicas=8), 12_000.0, CAP) is not None
    assert 130 <= policy.room <= 280


def test_it_leaves_overload_to_the_order_of_arrival_where_newer_ones_gain_nothing():
    """With batches of at most 16 all in the order of arrival are in time: better to refuse at once."""
    assert NewestFirst().decide(view(regular(90)), RATE_PER_S, 16) is None
    assert NewestFirst().decide(view(regular(90)), RATE_PER_S, CAP) is not None


def test_it_has_nothing_to_say_where_nobody_can_be_in_time():
    """An objective shorter than any batch: left to the rule that gives everybody up."""
    seen = view([0.0])
    seen.latency_s = 0.001
    assert NewestFirst().decide(seen, RATE_PER_S, CAP) is None

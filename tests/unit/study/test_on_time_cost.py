"""What a request on time costs at least, against a search over all batches."""

from __future__ import annotations

from itertools import accumulate
from math import inf
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sojourn.sim.replica import ModelledService
from sojourn.study import on_time_cost
from sojourn.study.goodput_bound import most_on_time
from sojourn.study.on_time_cost import on_time_costs_s
from sojourn.study.work import LeastWork, least_costs_s, least_work
from sojourn.workload.arrivals import poisson


def searched_s(arrivals_s: list[float], work: LeastWork, index: int) -> float:
    """Least over all batches it can be on time in: those that start at an arrival, of it and of the newest beside it."""
    best_s = inf
    for last, start_s in enumerate(arrivals_s):
        if last < index or start_s > arrivals_s[index] + work.latency_s:
            continue
        for size in range(1, min(last + 1, len(work.by_size_s)) + 1):
            time_s = work.by_size_s[size - 1]
            others = [at_s for place, at_s in enumerate(arrivals_s[: last + 1]) if place != index]
            members = [arrivals_s[index], *others[len(others) - size + 1 :]]
            chances = [work.noise.share_within(work.latency_s - (start_s - at_s), time_s) for at_s in members]
            expected = sum(chances)
            if chances[0] > 0.0:
                best_s = min(best_s, time_s / expected)
    return best_s


gaps_s = st.lists(st.floats(0.0, 0.03) | st.sampled_from([0.0, 1e-5, 0.001, 0.09]), min_size=1, max_size=25)
services = st.builds(
    lambda alpha_s, overhead_s, noise: ModelledService(alpha_s, 0.02, overhead_s=overhead_s, **noise),
    st.sampled_from([0.0005, 0.001, 0.004]),
    st.sampled_from([0.0, 0.001, 0.03]),
    st.sampled_from(
        [{}, {"sigma": 0.1}, {"sigma": 0.4}, {"ratios": (0.5, 0.9, 1.0, 1.2, 2.0)}, {"ratios": (0.1, 3.0)}]
    ),
)


# The last start that the first but one can be in, late with luck only, is within the tick of one that is too late for it.
@example([0.0, 5e-5, 0.09997, *[0.0] * 10, 1.3e-4], ModelledService(0.0005, 0.02, ratios=(0.0, 2.0)), 1.01)
@given(gaps_s=gaps_s, service=services, group=st.sampled_from([1.01, 1.5]))
@settings(max_examples=120, deadline=None)
def test_no_batch_is_cheaper(gaps_s, service, group):
    """Rounding, sizes counted as one, and batches of others that come later, make it cheaper only."""
    arrivals_s = list(accumulate(gaps_s))
    work = least_work(service, 12, 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_time_cost, "_GROUP", group)
        costs_s = on_time_costs_s(arrivals_s, work)
    for index, cost_s in enumerate(costs_s):
        assert cost_s <= searched_s(arrivals_s, work, index) * (1 + 1e-9)


@given(gaps_s=gaps_s, service=services, data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_batch_is_charged_more_than_its_time(gaps_s, service, data):
    """Of any members, begun at any time: what those expected on time are charged together is no more than it takes."""
    arrivals_s = list(accumulate(gaps_s))
    work = least_work(service, 12, 0.1)
    costs_s = on_time_costs_s(arrivals_s, work)
    start_s = data.draw(st.floats(0.0, 0.1)) + data.draw(st.sampled_from(arrivals_s))
    there = [index for index, at_s in enumerate(arrivals_s) if at_s <= start_s]
    members = data.draw(st.lists(st.sampled_from(there), min_size=1, max_size=len(work.by_size_s) or 1, unique=True))
    if work.by_size_s:
        time_s = work.by_size_s[len(members) - 1]
        ends_s = [arrivals_s[index] + work.latency_s - start_s for index in members]
        chances = [work.noise.share_within(end_s, time_s) for end_s in ends_s]
        charged = [costs_s[index] * chance for index, chance in zip(members, chances, strict=True) if chance > 0.0]
        assert sum(charged) <= time_s * (1 + 1e-9)


def test_little_is_lost_by_rounding():
    """The cheapest batch of all is told within a fifth of a percent of what a search finds."""
    arrivals_s = list(poisson(600.0, 0.08, Random(3)))
    work = least_work(ModelledService(0.002, 0.02, sigma=0.2), 24, 0.1)
    searched = min(searched_s(arrivals_s, work, index) for index in range(len(arrivals_s)))
    assert 0.998 * searched < min(on_time_costs_s(arrivals_s, work)) <= searched


@pytest.mark.parametrize("rate_per_s", [100.0, 400.0, 1200.0, 4800.0])
@pytest.mark.parametrize(
    "service",
    [
        ModelledService(0.001, 0.02, sigma=0.2),
        ModelledService(0.004, 0.008, sigma=0.5),
        ModelledService(0.0002, 0.08, sigma=0.1),
        ModelledService(0.001, 0.02, ratios=(0.1, 0.9, 1.0, 5.0)),
    ],
)
def test_sizes_that_are_passed_over_are_not_the_best(service, rate_per_s):
    """Each start's costs are the least of those of all sizes."""
    groups = on_time_cost._groups(least_work(service, 64, 0.1), 0.1 / on_time_cost._TICKS)
    ticks = sorted({int(at_s * on_time_cost._TICKS / 0.1) for at_s in poisson(rate_per_s, 0.2, Random(4))})
    for place, found in enumerate(zip(*on_time_cost._cheapest_s(ticks, groups), strict=True)):
        ages = [ticks[place] - tick for tick in ticks[place::-1] if ticks[place] - tick <= on_time_cost._TICKS + 1]
        _, costs_s, old_costs_s = zip(*(group.costs_s(ages) for group in groups), strict=True)
        assert found[0] == pytest.approx(min(costs_s))
        assert found[1] <= min(old_costs_s[: len(ages)]) * (1 + 1e-9)


def test_no_cost_is_below_the_one_without_chances():
    """Each is a bound, so that the larger one counts."""
    arrivals_s = list(poisson(300.0, 2.0, Random(1)))
    work = least_work(ModelledService(0.001, 0.02, sigma=0.2), 64, 0.1)
    plain_s = least_costs_s(arrivals_s, work)
    costs_s = on_time_costs_s(arrivals_s, work)
    assert all(cost_s >= plain for cost_s, plain in zip(costs_s, plain_s, strict=True))
    assert sum(costs_s) > 1.02 * sum(plain_s)


@pytest.mark.parametrize(("sigma", "share"), [(0.0, 0.96), (0.2, 0.862)])
def test_a_batch_has_to_arrive_before_it_can_run(sigma, share):
    """One accelerator, twice its capacity: well below the largest batch over its time, which nobody can fill so fresh."""
    arrivals_s = list(poisson(1200.0, 10.0, Random(2)))
    work = least_work(ModelledService(0.001, 0.02, sigma=sigma), 64, 0.1)
    assert most_on_time(arrivals_s, work, 1) < share * 10.0 * 64 / 0.084


def test_runs_too_busy_to_look_at_closely_keep_the_coarse_cost(monkeypatch):
    """What is told is still a bound, and soon."""
    arrivals_s = list(poisson(300.0, 2.0, Random(1)))
    work = least_work(ModelledService(0.001, 0.02, sigma=0.2), 64, 0.1)
    monkeypatch.setattr(on_time_cost, "_STARTS_MAX", 100)
    assert list(on_time_costs_s(arrivals_s, work)) == least_costs_s(arrivals_s, work)


def test_a_long_run_of_few_requests_is_looked_at_closely():
    """Years of a request a day: each pays for a batch of its own, which may be late."""
    arrivals_s = [day * 86_400.0 for day in range(1000)]
    work = least_work(ModelledService(0.001, 0.06, sigma=0.4), 64, 0.1)
    alone_s = work.by_size_s[0] / work.on_time_share
    assert on_time_costs_s(arrivals_s, work) == pytest.approx([alone_s] * 1000)

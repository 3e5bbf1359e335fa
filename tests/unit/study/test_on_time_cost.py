"""What a request on time costs at least, against a search over all batches."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.sim.replica import ModelledService
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


@given(
    gaps_s=st.lists(st.floats(0.0, 0.03), min_size=1, max_size=25),
    alpha_s=st.sampled_from([0.0005, 0.001, 0.004]),
    noise=st.sampled_from([{}, {"sigma": 0.1}, {"sigma": 0.4}, {"ratios": (0.5, 0.9, 1.0, 1.2, 2.0)}]),
)
@settings(max_examples=80, deadline=None)
def test_no_batch_is_cheaper(gaps_s, alpha_s, noise):
    """Rounding, and batches of others that come later, make it cheaper only."""
    arrivals_s = [sum(gaps_s[: place + 1]) for place in range(len(gaps_s))]
    work = least_work(ModelledService(alpha_s, 0.02, overhead_s=0.001, **noise), 12, 0.1)
    for index, cost_s in enumerate(on_time_costs_s(arrivals_s, work)):
        exact_s = searched_s(arrivals_s, work, index)
        assert cost_s <= exact_s * (1 + 1e-9)


def test_no_cost_is_below_the_one_without_chances():
    """Each is a bound, so that the larger one counts."""
    arrivals_s = list(poisson(300.0, 2.0, Random(1)))
    work = least_work(ModelledService(0.001, 0.02, sigma=0.2), 64, 0.1)
    plain_s = least_costs_s(arrivals_s, work)
    costs_s = on_time_costs_s(arrivals_s, work)
    assert all(cost_s >= plain for cost_s, plain in zip(costs_s, plain_s, strict=True))
    assert sum(costs_s) > 1.02 * sum(plain_s)


@pytest.mark.parametrize(("sigma", "share"), [(0.0, 0.96), (0.2, 0.88)])
def test_a_batch_has_to_arrive_before_it_can_run(sigma, share):
    """One accelerator, twice its capacity: well below the largest batch over its time, which nobody can fill so fresh."""
    arrivals_s = list(poisson(1200.0, 10.0, Random(2)))
    work = least_work(ModelledService(0.001, 0.02, sigma=sigma), 64, 0.1)
    assert most_on_time(arrivals_s, work, 1) < share * 10.0 * 64 / 0.084


def test_runs_too_long_to_look_at_closely_keep_the_coarse_cost():
    """Years of a request a day: what is told is still a bound, and at once."""
    arrivals_s = [day * 86_400.0 for day in range(1000)]
    work = least_work(ModelledService(0.001, 0.02, sigma=0.2), 64, 0.1)
    assert list(on_time_costs_s(arrivals_s, work)) == least_costs_s(arrivals_s, work)

"""Bounds are bounds: no schedule of a tiny instance and no simulated run beats one; and they are not empty words."""

from itertools import combinations, pairwise, product
from math import ceil, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME, SCALING_BY_NAME, FixedReplicas
from sojourn.sim.replica import ColdStart, ModelledService
from sojourn.sim.scenario import Scenario, SimulatedFunction, Traffic, simulate
from sojourn.study.arrivals import arrivals_of
from sojourn.study.cost_bound import CostBound
from sojourn.study.goodput_bound import most_on_time
from sojourn.study.noise import Noise
from sojourn.study.work import LeastWork, least_costs_s, least_work
from sojourn.workload.spec import parse_arrivals

tiny_arrivals = st.lists(st.integers(0, 9), min_size=1, max_size=5).map(sorted)


def work_of(*by_size_s, latency_s, start_s=0.0, first_ready_s=0.0):
    kept = tuple(time_s for time_s in by_size_s if time_s <= latency_s)
    return LeastWork(kept, latency_s, Noise(), 1.0 if kept else 0.0, start_s, first_ready_s)


# ---- against all schedules of tiny instances


def brute_force_on_time(arrivals, times, latency, replicas):
    """Most on time over all left-shifted schedules of all batches, by depth-first search."""
    best = 0

    def search(left, free, done):
        nonlocal best
        best = max(best, done)
        if not left or done + len(left) <= best:
            return
        free = sorted(free)
        for size in range(1, min(len(times), len(left)) + 1):
            for batch in combinations(left, size):
                starts = max(free[0], *(arrivals[member] for member in batch))
                ends = starts + times[size - 1]
                if all(ends <= arrivals[member] + latency for member in batch):
                    search(tuple(set(left) - set(batch)), [*free[1:], ends], done + size)

    search(tuple(range(len(arrivals))), [0] * replicas, 0)
    return best


@given(
    arrivals=tiny_arrivals,
    times=st.lists(st.integers(1, 6), min_size=1, max_size=3).map(sorted),
    latency=st.integers(1, 8),
    replicas=st.integers(1, 2),
)
@settings(max_examples=150, deadline=None)
def test_no_schedule_serves_more_than_the_bound(arrivals, times, latency, replicas):
    """On tiny instances every schedule was tried: none has more on time than the bound says."""
    bound = most_on_time([float(at) for at in arrivals], work_of(*times, latency_s=float(latency)), replicas)
    assert brute_force_on_time(arrivals, times, latency, replicas) <= bound + 1e-9


@given(arrivals=tiny_arrivals, time=st.integers(1, 4), latency=st.integers(1, 8))
@settings(max_examples=100, deadline=None)
def test_the_bound_is_exact_without_batches_on_one_replica(arrivals, time, latency):
    """One replica, one request at a time: the relaxation gives nothing away."""
    bound = most_on_time([float(at) for at in arrivals], work_of(time, latency_s=float(latency)), 1)
    assert bound == brute_force_on_time(arrivals, [time], latency, 1)


def brute_force_cost(arrivals, latency, start, batch_max, replicas, slots):
    """Least replica time by number on time: all sets of slots in which each replica is ready; a slot serves one batch."""
    by_count = {}
    for ready in product(product((0, 1), repeat=slots), repeat=replicas):
        cost = sum(sum(row) + start * sum(now > before for before, now in pairwise((0, *row))) for row in ready)
        left, on_time = list(arrivals), 0
        for slot in range(slots):
            for row in ready:
                if row[slot]:
                    waiting = [at for at in left if at <= slot and slot + 1 <= at + latency][:batch_max]
                    on_time += len(waiting)
                    for at in waiting:
                        left.remove(at)
        for count in range(on_time + 1):
            by_count[count] = min(by_count.get(count, inf), cost)
    return by_count


@given(
    arrivals=st.lists(st.integers(0, 4), min_size=1, max_size=5).map(sorted),
    latency=st.integers(1, 3),
    start=st.integers(0, 4),
    batch_max=st.integers(1, 2),
)
@settings(max_examples=40, deadline=None)
def test_no_fleet_is_cheaper_than_the_bound(arrivals, latency, start, batch_max):
    """Every fleet of two replicas over six slots was tried: none serves as many on time for less."""
    work = work_of(*[1.0] * batch_max, latency_s=float(latency), start_s=float(start))
    bound = CostBound([float(at) for at in arrivals], work, ends_s=9.0)
    for count, cost in brute_force_cost(arrivals, latency, start, batch_max, 2, 6).items():
        assert bound.at(count / len(arrivals)) <= cost + 1e-6


def test_least_costs_know_who_can_share_a_batch():
    """A lone request pays for a whole batch; two that can meet share; the reach shrinks as batches grow longer."""
    work = work_of(4.0, 6.0, 8.0, latency_s=10.0)
    assert least_costs_s([0.0, 100.0, 103.0, 200.0, 205.0], work) == [4.0, 3.0, 3.0, 4.0, 4.0]
    assert least_costs_s([0.0, 1.0, 2.0], work) == [8 / 3] * 3


# ---- against simulated runs

scenarios = st.fixed_dictionaries(
    {
        "alpha_s": st.sampled_from([0.0, 0.001, 0.004, 0.02]),
        "beta_s": st.sampled_from([0.001, 0.005, 0.02]),
        "batch_max": st.sampled_from([1, 4, 32]),
        "latency_s": st.sampled_from([0.03, 0.1, 0.4]),
        "load": st.sampled_from([0.02, 0.3, 0.9, 1.5, 3.0]),
        "arrivals": st.sampled_from(["poisson", "bursty", "constant"]),
        "batching": st.sampled_from(sorted(BATCHING_BY_NAME)),
        "scaling": st.sampled_from(["fixed", "fixed", *sorted(SCALING_BY_NAME)]),
        "replicas": st.integers(1, 3),
        "cold_start_s": st.sampled_from([0.0, 0.2, 1.0, 3.0]),
        "transient_s": st.sampled_from([0.0, 1.5]),
        "seed": st.integers(0, 10_000),
    }
)


def scenario_of(drawn, sigma=0.0, duration_s=3.0):
    service = ModelledService(drawn["alpha_s"], drawn["beta_s"], sigma, drawn["cold_start_s"])
    fixed = drawn["scaling"] == "fixed"
    options = FunctionSettings(
        name="f",
        slo=SLO(drawn["latency_s"]),
        max_batch_size=drawn["batch_max"],
        max_replicas=drawn["replicas"],
        batching=BATCHING_BY_NAME[drawn["batching"]],
        scaling=FixedReplicas(drawn["replicas"]) if fixed else SCALING_BY_NAME[drawn["scaling"]],
    )
    rate_per_s = min(drawn["load"] * service.capacity_per_s(drawn["batch_max"], drawn["replicas"]), 1500.0)
    function = SimulatedFunction(
        settings=options, service=service, traffic=Traffic(parse_arrivals(drawn["arrivals"]), rate_per_s)
    )
    return Scenario(functions=(function,), duration_s=duration_s, transient_s=drawn["transient_s"], seed=drawn["seed"])


def bounds_of(scenario):
    function = scenario.functions[0]
    options = function.settings
    work = least_work(function.service, options.largest_batch, options.slo.latency_s)
    arrivals_s = arrivals_of(scenario, "f")
    return most_on_time(arrivals_s, work, options.max_replicas), CostBound(arrivals_s, work)


@given(drawn=scenarios)
@settings(max_examples=30, deadline=None)
def test_no_run_beats_a_bound(drawn):
    """Whatever the policies, the load and the cold start: no more on time, and no less replica time, than the bounds."""
    scenario = scenario_of(drawn)
    run = simulate(scenario).total
    on_time, cost = bounds_of(scenario)
    assert run.good <= on_time + 1e-6
    if run.sent:
        assert run.replica_seconds >= cost.at(run.good / run.sent) - 1e-6


@pytest.mark.parametrize("batching", ["slo", "window"])
def test_noisy_runs_do_not_beat_the_bound_on_the_mean(batching):
    """With noise of 30 % the mean over five seeds stays below the bound in expectation, in bursts at overload too."""
    good = limits = 0.0
    for seed in range(5):
        drawn = {
            "alpha_s": 0.001, "beta_s": 0.02, "batch_max": 32, "latency_s": 0.1, "load": 1.5, "arrivals": "bursty",
            "batching": batching, "scaling": "fixed", "replicas": 2, "cold_start_s": 0.2, "transient_s": 0.0, "seed": seed,
        }  # fmt: skip
        scenario = scenario_of(drawn, sigma=0.3)
        good += simulate(scenario).total.good
        limits += bounds_of(scenario)[0]
    assert 0.4 * limits < good <= limits


# ---- they say something


def test_the_bound_of_overload_is_the_capacity():
    """Twice the capacity for a minute: the bound is the capacity times the time, and what fits at the end."""
    service = ModelledService(0.0005, 0.005)
    work = least_work(service, 32, 0.1)
    arrivals_s = [number / 3047.0 for number in range(30_470)]
    assert most_on_time(arrivals_s, work, 1) == pytest.approx(service.capacity_per_s(32) * 10.1, rel=1e-3)
    assert most_on_time(arrivals_s, work, None) == len(arrivals_s)


def test_requests_before_the_first_replica_is_ready_are_lost():
    """A cold start of two seconds: who is due before is on time under no policy."""
    work = least_work(ModelledService(0.0, 0.01, cold_start_s=2.0), 1, 0.1)
    assert most_on_time([0.5, 1.0, 1.95, 3.0], work, None) == 2.0
    assert most_on_time([0.5, 1.0, 1.95, 3.0], work, 1) == 2.0


def test_cold_starts_at_the_beginning_cannot_be_saved():
    """Of four requests two are due before the first replica can be ready: half on time is the most, at any cost."""
    bound = CostBound([0.5, 1.0, 5.0, 6.0], least_work(ModelledService(0.0, 0.01, cold_start_s=2.0), 1, 0.1), 9.0)
    assert bound.at(0.5) == pytest.approx(2.0 + 0.9 + 0.02)
    assert bound.at(0.75) == inf


def test_an_objective_shorter_than_the_service_time_cannot_be_held():
    """Not even one item alone is fast enough: nothing on time, and no cost for which it would be."""
    work = least_work(ModelledService(0.0, 0.2), 8, 0.1)
    assert most_on_time([0.0, 1.0], work, 5) == 0.0
    assert CostBound([0.0, 1.0], work).at(0.5) == inf
    assert CostBound([0.0, 1.0], work).at(0.0) == 0.0


def test_steady_traffic_needs_whole_replicas():
    """Work for 1.3 replicas, cold starts of 4 s: two are up nearly all the time, and the bound knows it."""
    work = least_work(ModelledService(0.0, 0.01, cold_start_s=4.0), 1, 0.1)
    arrivals_s = [4.0 + number / 130.0 for number in range(130 * 60)]
    bound = CostBound(arrivals_s, work).at(1.0)
    assert 2 * 60 <= bound <= 2 * (60 + 4)
    assert CostBound(arrivals_s, work).at(0.5) < 0.6 * bound


def test_sparse_calls_pay_for_starts_or_for_idling():
    """A call every ten minutes with a cold start of 3 s: each is worth a start; every two seconds: idling is cheaper."""
    work = least_work(ModelledService(0.0, 0.05, cold_start_s=3.0), 8, 0.5)
    assert CostBound([600.0 * n for n in range(1, 11)], work, 7000.0).at(1.0) == pytest.approx(10 * 3.05)
    often = [2.0 * n for n in range(2, 102)]
    assert CostBound(often, work, 300.0).at(1.0) == pytest.approx(3.0 + 99 * 1.5 + 100 * 0.05)


def test_where_starts_are_nearly_free_pauses_are_not_paid_for():
    """A call every 1.5 s, starts of 0.1 s: a replica for each call is a real schedule, and the bound is not above it."""
    work = least_work(ModelledService(0.0, 0.01, cold_start_s=0.1), 1, 1.0)
    arrivals_s = [0.3 + 1.5 * n for n in range(40)]
    assert 0.3 < CostBound(arrivals_s, work, 100.0).at(1.0) <= 40 * (0.1 + 0.01) + 1e-9


def test_what_may_be_given_up_is_what_costs_most():
    """One lone call far from a busy hour: with one request in a hundred to spare, its start is spared first."""
    work = least_work(ModelledService(0.0, 0.05, cold_start_s=3.0), 1, 0.5)
    busy = [4.0 + 0.1 * n for n in range(99)]
    arrivals_s = [*busy, 1000.0]
    all_of_them, spared = CostBound(arrivals_s, work, 2000.0).at(1.0), CostBound(arrivals_s, work, 2000.0).at(0.99)
    assert all_of_them - spared == pytest.approx(3.05, rel=0.05)


def test_cold_starts_in_phases_count_without_the_import_but_for_the_first():
    """A fork spares the import; the first replica of all cannot; chance in starts leaves nothing to count on."""
    phases = ColdStart(spawn_s=0.1, import_s=1.0, load_s=0.5, warm_up_s=0.2)
    work = least_work(ModelledService(0.0, 0.01, start_phases=phases), 4, 0.1)
    assert (work.start_s, work.first_ready_s) == (pytest.approx(0.8), pytest.approx(1.8))
    noisy = least_work(ModelledService(0.0, 0.01, start_phases=ColdStart(load_s=1.0, sigma=0.3)), 4, 0.1)
    assert (noisy.start_s, noisy.first_ready_s) == (0.0, 0.0)


def test_noise_lets_some_be_lucky():
    """A median batch just misses the objective: about half may be on time, in expectation, alone on idle replicas."""
    work = least_work(ModelledService(0.0, 0.1, sigma=0.2), 1, 0.1 * 0.98)
    assert work.on_time_share == pytest.approx(0.5, abs=0.02)
    ratios = tuple(0.5 + number / 100 for number in range(101))
    assert least_work(ModelledService(0.0, 0.1, ratios=ratios), 1, 0.075).on_time_share == pytest.approx(0.25, abs=0.01)
    assert ceil(most_on_time([0.0, 10.0, 20.0, 30.0], work, 9)) == 2

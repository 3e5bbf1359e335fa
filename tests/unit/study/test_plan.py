"""Plans: the answer is the smallest pool or the largest traffic that holds, uncertain is not held, order is checked."""

from math import inf

import pytest

from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import FixedReplicas
from sojourn.report.statistics import LatencyQuantiles
from sojourn.sim.replica import ModelledService
from sojourn.sim.scenario import Scenario, SimulatedFunction, Traffic
from sojourn.sim.summary import RunSummary
from sojourn.study.outcome import RunOutcome
from sojourn.study.plan import Planner, fewest_replicas
from sojourn.workload.spec import parse_arrivals


def outcome(share):
    return RunOutcome(
        RunSummary(
            sent=1000,
            outcomes={},
            within_slo=share,
            good=int(1000 * share),
            goodput_per_s=share,
            latency_s=LatencyQuantiles(0.1, 0.1, 0.1, 0.1, 0.1),
            rate_per_s=1.0,
            duration_s=1.0,
            replica_seconds=1.0,
            replicas_max=1,
            cold_starts=0,
            batch_size_mean=None,
            utilization=0.5,
            slo=None,
            objective_met=None,
        )
    )


class World:
    """A made-up simulator: attainment by (replicas, rate, seed); remembers what was asked."""

    def __init__(self, share):
        self.share = share
        self.asked = []
        self.ends_after = inf

    def planner(self, seeds=(1, 2, 3)):
        return Planner(lambda *point: point, 0.99, seeds, self.run)

    def run(self, points):
        self.asked.append(points[0][:2])
        if len(self.asked) > self.ends_after:
            return [outcome(self.share(*points[0])), *[None] * (len(points) - 1)]
        return [outcome(self.share(*point)) for point in points]


@pytest.mark.parametrize("needed", [1, 2, 3, 7, 40, 333])
def test_the_smallest_pool_is_found_wherever_the_search_begins(needed):
    """From below, from the answer, and with few points."""
    for impossible in {0, needed // 2, needed - 1}:
        world = World(lambda replicas, _rate, _seed: 1.0 if replicas >= needed else 0.5)
        plan = world.planner().smallest_pool(100.0, impossible=impossible, most=1000)
        assert plan.replicas == plan.chosen.replicas == needed
        assert len(set(world.asked)) == len(world.asked) <= 28
        assert [point.replicas for point in plan.curve] == sorted(point.replicas for point in plan.curve)
        assert not plan.is_partial


def test_uncertain_is_not_held_and_told():
    """Five replicas hold on the mean, but not with confidence: six is the answer, and the remark names five."""

    def share(replicas, _rate, seed):
        return 1.0 if replicas > 5 else 0.999 - 0.01 * (seed == 2) if replicas == 5 else 0.5

    plan = World(share).planner().smallest_pool(100.0, most=50)
    assert plan.replicas == 6
    assert {point.replicas: point.verdict for point in plan.curve}[5] == "uncertain"
    assert any("uncertain" in remark and "5 replicas" in remark for remark in plan.remarks)


def test_a_pool_that_is_worse_though_larger_is_told():
    """Monotony is used, and looked after: more replicas that hold less are named."""
    plan = (
        World(lambda replicas, _rate, _seed: 1.0 if replicas in {3, 4} else 0.5).planner().smallest_pool(9.0, most=50)
    )
    assert plan.replicas == 3
    assert any("5 replicas are more than 3" in remark for remark in plan.remarks)


def test_no_pool_is_an_answer_too():
    """Nothing up to the largest holds: no answer, all points shown, and why."""
    plan = World(lambda *_: 0.5).planner().smallest_pool(9.0, most=20)
    assert (plan.replicas, plan.chosen) == (None, None)
    assert plan.curve[-1].replicas == 20
    assert any("no pool of up to 20" in remark for remark in plan.remarks)


@pytest.mark.parametrize("limit", [3.7, 100.0, 999.0, 20_000.0])
def test_the_largest_rate_is_found_to_two_percent(limit):
    """Wherever the guess was."""
    world = World(lambda _replicas, rate, _seed: 1.0 if rate <= limit else 0.6)
    plan = world.planner().largest_rate(4, about_per_s=1000.0)
    assert limit / 1.021 <= plan.rate_per_s <= limit
    assert plan.chosen.rate_per_s == plan.rate_per_s
    assert len(world.asked) <= 20


def test_no_rate_and_no_end_of_rates_end_too():
    """A pool that holds nothing, and one that holds everything: the search ends, and says what it knows."""
    nothing = World(lambda *_: 0.1).planner().largest_rate(1, about_per_s=10.0)
    assert nothing.rate_per_s is None
    assert nothing.remarks
    everything = World(lambda *_: 1.0).planner().largest_rate(1, about_per_s=10.0)
    assert everything.rate_per_s > 10_000


def test_an_interrupted_plan_keeps_its_points():
    """Two points are done, the third is not: they are shown, marked as partial."""
    world = World(lambda replicas, _rate, _seed: 1.0 if replicas >= 9 else 0.5)
    world.ends_after = 2
    plan = world.planner().smallest_pool(9.0, most=50)
    assert plan.is_partial
    assert len(plan.curve) == 2
    assert plan.replicas is None


def test_the_fewest_replicas_any_policy_needs():
    """Work for 3.4 replicas in full batches: four; an objective shorter than a single item: nobody."""
    service = ModelledService(0.0005, 0.005)

    def scenarios(latency_s):
        options = FunctionSettings(name="f", slo=SLO(latency_s), scaling=FixedReplicas(1))
        rate_per_s = 3.4 * service.capacity_per_s(32)
        function = SimulatedFunction(
            settings=options, service=service, traffic=Traffic(parse_arrivals("constant"), rate_per_s)
        )
        return [Scenario(functions=(function,), duration_s=2.0, seed=seed) for seed in (1, 2)]

    assert fewest_replicas(scenarios(0.1), 0.99) == 4
    assert fewest_replicas(scenarios(0.005), 0.99) is None
    assert fewest_replicas(scenarios(0.1), 0.99, most=2) is None

"""Comparisons: same arrivals for all, verdicts only with evidence, partial results kept."""

from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME, FixedReplicas
from sojourn.report.statistics import LatencyQuantiles
from sojourn.sim.replica import ModelledService
from sojourn.sim.scenario import Scenario, SimulatedFunction, Traffic
from sojourn.sim.summary import RunSummary
from sojourn.study.compare import Case, compared, verdict
from sojourn.study.outcome import Limits, RunOutcome, outcome_of
from sojourn.study.runs import Runs
from sojourn.study.statistics import MeanInterval
from sojourn.workload.spec import parse_arrivals


def scenario(batching="slo", replicas=1, seed=1, rate_per_s=400.0, duration_s=2.0):
    options = FunctionSettings(
        name="f", slo=SLO(0.1), batching=BATCHING_BY_NAME[batching], scaling=FixedReplicas(replicas)
    )
    function = SimulatedFunction(
        settings=options, service=ModelledService(0.001, 0.02), traffic=Traffic(parse_arrivals("poisson"), rate_per_s)
    )
    return Scenario(functions=(function,), duration_s=duration_s, seed=seed)


def summary(share, cost_s, sent=1000):
    return RunSummary(
        sent=sent, outcomes={}, within_slo=share, good=round(share * sent), goodput_per_s=share * sent / 10.0,
        latency_s=LatencyQuantiles(None, None, None, None, None), rate_per_s=sent / 10.0, duration_s=10.0,
        replica_seconds=cost_s, replicas_max=1, cold_starts=1, batch_size_mean=None, utilization=None, slo=None,
        objective_met=None,
    )  # fmt: skip


def study_of(values):
    """A comparison of made-up runs: by policy, (share on time, replica time) per seed."""
    cases, outcomes = [], []
    for policy, runs in values.items():
        for seed, run in enumerate(runs):
            cases.append(Case("steady", policy, seed, scenario()))
            outcomes.append(RunOutcome(summary(*run), Limits(1000.0, 5.0, 6.0)) if run else None)
    return compared(cases, outcomes)


def test_worse_is_said_only_with_evidence():
    """A policy that is always a little worse is told apart from the best; one that is so on the mean only is not."""
    comparison = study_of(
        {
            "best": [(0.95, 10), (0.90, 10), (0.99, 10), (0.93, 10)],
            "always worse": [(0.94, 10), (0.89, 10), (0.98, 10), (0.92, 10)],
            "who knows": [(0.94, 10), (0.85, 10), (0.988, 10), (0.94, 10)],
        }
    )
    ranking = comparison.workloads[0].on_time
    assert ranking.best == "best"
    assert ranking.worse == ["always worse"]
    assert ranking.alike == ["who knows"]


def test_cost_is_compared_among_those_that_held_the_objective():
    """A cheap policy that misses the objective is not the cheapest that holds it, but it is on the front."""
    good, bad = [(0.999, 20), (0.998, 21), (0.999, 20)], [(0.90, 5), (0.91, 5), (0.90, 6)]
    dear = [(0.999, 40), (0.999, 41), (0.999, 40)]
    result = study_of({"good": good, "bad": bad, "dear": dear}).workloads[0]
    assert {row.policy: row.objective for row in result.policies} == {"good": "held", "bad": "missed", "dear": "held"}
    assert result.cost.best == "good"
    assert result.cost.worse == ["dear"]
    assert [row.policy for row in result.policies if row.is_on_front] == ["good", "bad", "dear"]
    assert result.policies[0].cost_of_bound == 61 / 15
    assert result.policies[1].goodput_of_bound == (900 + 910 + 900) / 3000


def test_what_was_not_run_is_left_out_and_told():
    """Interrupted: only the seeds that all policies have are compared, in tables, too, and the study says which."""
    comparison = study_of({"one": [(0.9, 10), (0.9, 10), (0.9, 11)], "two": [(0.8, 10), (0.8, 10), None]})
    assert comparison.is_partial
    assert (comparison.runs_wanted, comparison.runs_done) == (6, 5)
    workload = comparison.workloads[0]
    assert workload.on_time.differences["two"].count == 2
    assert [row.seeds for row in workload.policies] == [[0, 1], [0, 1]]
    assert (workload.seeds, workload.left_out, workload.not_run) == ([0, 1], {"one": [2]}, [])
    few = study_of({"one": [(0.9, 10)], "two": [(0.8, 10)], "three": [None]}).workloads[0]
    assert (few.seeds, few.not_run, few.on_time.best) == ([0], ["three"], "one")
    assert study_of({"one": [None], "two": [None]}).workloads == []


def test_an_objective_is_held_only_by_the_whole_interval():
    """The mean above the objective is not enough; a single seed is never enough."""
    assert verdict(MeanInterval(0.995, 0.991, 0.999, 3), 0.99) == "held"
    assert verdict(MeanInterval(0.995, 0.985, 1.0, 3), 0.99) == "uncertain"
    assert verdict(MeanInterval(0.97, 0.96, 0.98, 3), 0.99) == "missed"
    assert verdict(MeanInterval(1.0, None, None, 1), 0.99) == "uncertain"
    assert verdict(None, 0.99) == verdict(MeanInterval(1.0, 1.0, 1.0, 3), None) == "none"


def test_processes_give_what_one_process_gives():
    """The same scenarios in two processes and in this one: the same numbers, in the same order."""
    scenarios = [scenario(batching, seed=seed) for batching in ("slo", "latency") for seed in (1, 2)]
    shares = []
    with Runs(2, shares.append) as runs:
        there = runs.run(scenarios)
    assert there == [outcome_of(each) for each in scenarios]
    assert shares[-1] == 1.0
    assert all(0.0 <= share <= 1.0 for share in shares)


def test_an_interruption_keeps_what_is_done():
    """Ctrl-C after the second of four runs: two outcomes, two missing, and nothing more is run."""
    scenarios = [scenario(seed=seed) for seed in range(4)]

    def interrupt(share):
        if share >= 0.5:
            raise KeyboardInterrupt

    with Runs(1, interrupt) as runs:
        outcomes = runs.run(scenarios)
        again = runs.run(scenarios)
    assert [outcome is not None for outcome in outcomes] == [True, True, False, False]
    assert runs.was_interrupted
    assert again == [None] * 4


def test_an_interruption_ends_processes_early():
    """Ctrl-C while long runs go on in other processes: they stop in the middle, what is done is kept."""
    scenarios = [scenario(duration_s=1.0), scenario(rate_per_s=900.0, duration_s=50_000.0)]

    def interrupt(share):
        if share >= 0.5:  # the short one is done
            raise KeyboardInterrupt

    with Runs(2, interrupt) as runs:
        outcomes = runs.run(scenarios)
    assert outcomes[0] is not None
    assert outcomes[1] is None


def test_no_policy_beats_its_limits():
    """Limits come with a run: more than was served on time, less than it cost."""
    outcome = outcome_of(scenario("window", rate_per_s=1200.0))
    assert outcome.total.good <= outcome.limits.on_time_most
    assert outcome.total.replica_seconds >= outcome.limits.replica_seconds_least > 0
    assert outcome_of(scenario(), bounds=False).limits is None

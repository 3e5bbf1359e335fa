"""Policies on the same arrivals, seed by seed: means with intervals, and verdicts where there is evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from sojourn.sim.scenario import Scenario
from sojourn.study.outcome import RunOutcome
from sojourn.study.statistics import CONFIDENCE, MeanInterval, confidence_of_each, mean_interval, paired_difference

Verdict = Literal["held", "missed", "uncertain", "none"]


class Case(msgspec.Struct, frozen=True):
    """One run to do: a policy on a workload under one seed."""

    workload: str
    policy: str
    seed: int
    scenario: Scenario


class Done(msgspec.Struct, frozen=True):
    """A case and what it came to."""

    case: Case
    outcome: RunOutcome


class PolicyResult(msgspec.Struct, frozen=True, kw_only=True):
    """One policy on one workload, over its seeds. Intervals are None where a figure is unknown in some run.

    Args:
        policy: Its name.
        seeds: Those that were run.
        attainment: Share of the requests that came, served within the objective; None without an objective.
        goodput_per_s: Served within the objective per second (without one: served).
        latency_s_p99: Of served requests.
        replica_seconds: Replica time from the decision to start until the exit.
        cold_starts: Replicas started.
        batch_size_mean: Mean size of the batches.
        objective: Whether it was held: only if the whole interval of the attainment reaches it is that said.
        objective_share: The share that was promised; None without a promise.
        goodput_of_bound: On-time requests over the most any policy can reach with this pool; None without a bound.
        cost_of_bound: Replica time over the least any policy needs for as many on time; None without a bound.
        is_on_front: Whether no other policy has both more on time and less replica time, by the means.
    """

    policy: str
    seeds: list[int]
    attainment: MeanInterval | None
    goodput_per_s: MeanInterval
    latency_s_p99: MeanInterval | None
    replica_seconds: MeanInterval
    cold_starts: MeanInterval
    batch_size_mean: MeanInterval | None
    objective: Verdict
    objective_share: float | None
    goodput_of_bound: float | None
    cost_of_bound: float | None
    is_on_front: bool = False


class Ranking(msgspec.Struct, frozen=True):
    """The policy with the best mean of one figure, and what can be said of the others.

    Args:
        best: Its name.
        worse: Those that are worse with evidence: the interval of their paired difference from it excludes zero, or their
            own interval and that of the best do not overlap.
        alike: Those of which that cannot be said with these seeds.
        differences: Mean difference from the best with its interval, by policy.
    """

    best: str
    worse: list[str]
    alike: list[str]
    differences: dict[str, MeanInterval]


class WorkloadResult(msgspec.Struct, frozen=True, kw_only=True):
    """All policies on one workload.

    Args:
        workload: Its name.
        seeds: Those that are compared: all policies that were run at all have run them.
        left_out: Seeds that only some policies have run before it was interrupted, by policy.
        not_run: Policies that have run no seed.
        rate_per_s: Mean arrival rate over the seeds.
        policies: In the order they were given.
        on_time: Who answers most within the objective; None without an objective or with fewer than two policies.
        cost: Of those that held the objective, who takes the least replica time; None if fewer than two did.
        goodput_bound_per_s: Most any policy can reach, with the largest pool a policy has; None without an objective.
        replica_seconds_bound: Least replica time that holds the objective; None without one, or if none can hold it.
    """

    workload: str
    seeds: list[int]
    left_out: dict[str, list[int]]
    not_run: list[str]
    rate_per_s: float
    policies: list[PolicyResult]
    on_time: Ranking | None
    cost: Ranking | None
    goodput_bound_per_s: MeanInterval | None
    replica_seconds_bound: MeanInterval | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A study of policies.

    Args:
        confidence: Of every interval, and of all verdicts of one ranking together.
        runs_wanted: Runs that were asked for.
        runs_done: Runs that ended.
        workloads: One entry each.
    """

    confidence: float
    runs_wanted: int
    runs_done: int
    workloads: list[WorkloadResult]

    @property
    def is_partial(self) -> bool:
        """Whether runs are missing because it was interrupted."""
        return self.runs_done < self.runs_wanted


def compared(cases: Sequence[Case], outcomes: Sequence[RunOutcome | None]) -> Comparison:
    """Sum up what was run.

    Args:
        cases: All that was asked for.
        outcomes: What each came to, in the same order; None if it was not run.
    """
    done = [Done(case, outcome) for case, outcome in zip(cases, outcomes, strict=True) if outcome is not None]
    by_workload: dict[str, dict[str, list[Done]]] = {}
    for case in cases:
        by_workload.setdefault(case.workload, {}).setdefault(case.policy, [])
    for each in done:
        by_workload[each.case.workload][each.case.policy].append(each)
    return Comparison(
        confidence=CONFIDENCE,
        runs_wanted=len(cases),
        runs_done=len(done),
        workloads=[_workload(name, runs) for name, runs in by_workload.items() if any(runs.values())],
    )


def _workload(name: str, asked: Mapping[str, list[Done]]) -> WorkloadResult:
    ran = {policy: runs for policy, runs in asked.items() if runs}
    seeds = set.intersection(*({each.case.seed for each in runs} for runs in ran.values()))
    if not seeds:  # of so little nothing can be compared; what there is is shown
        seeds = {each.case.seed for runs in ran.values() for each in runs}
    by_policy = {policy: [each for each in runs if each.case.seed in seeds] for policy, runs in ran.items()}
    left_out = {
        policy: [each.case.seed for each in runs if each.case.seed not in seeds] for policy, runs in ran.items()
    }
    every = [each for runs in by_policy.values() for each in runs]
    rows = _with_front([_policy(policy, runs) for policy, runs in by_policy.items()])
    held = {row.policy for row in rows if row.objective == "held"}
    by_seed = {each.case.seed: each for each in every}  # the least cost and the rate are the same for all policies
    most: dict[int, float] = {}
    for each in every:
        if each.outcome.limits is not None:
            per_s = each.outcome.limits.on_time_most / each.outcome.total.duration_s
            most[each.case.seed] = max(most.get(each.case.seed, 0.0), per_s)
    costs = [each.outcome.limits.replica_seconds_objective for each in by_seed.values() if each.outcome.limits]
    known = [cost for cost in costs if cost is not None]
    return WorkloadResult(
        workload=name,
        seeds=sorted(seeds),
        left_out={policy: numbers for policy, numbers in left_out.items() if numbers},
        not_run=[policy for policy, runs in asked.items() if not runs],
        rate_per_s=sum(each.outcome.total.rate_per_s for each in by_seed.values()) / len(by_seed),
        policies=rows,
        on_time=_ranking(by_policy, _attainment, largest=True),
        cost=_ranking({policy: runs for policy, runs in by_policy.items() if policy in held}, _cost, largest=False),
        goodput_bound_per_s=mean_interval(list(most.values())) if most else None,
        replica_seconds_bound=mean_interval(known) if known and len(known) == len(costs) else None,
    )


def _policy(policy: str, runs: Sequence[Done]) -> PolicyResult:
    attainment = _interval(runs, _attainment)
    if attainment is not None:
        attainment = attainment.clipped(0.0, 1.0)
    share = _promised(runs[0].case.scenario)
    on_time_most = sum(each.outcome.limits.on_time_most for each in runs if each.outcome.limits)
    least_s = sum(each.outcome.limits.replica_seconds_least for each in runs if each.outcome.limits)
    goodput, cost = _interval(runs, _goodput), _interval(runs, _cost)
    starts = _interval(runs, lambda each: float(each.outcome.total.cold_starts))
    assert goodput is not None, "known of every run"
    assert cost is not None, "likewise"
    assert starts is not None, "likewise"
    return PolicyResult(
        policy=policy,
        seeds=[each.case.seed for each in runs],
        attainment=attainment,
        goodput_per_s=goodput,
        latency_s_p99=_interval(runs, lambda each: each.outcome.total.latency_s.p99),
        replica_seconds=cost,
        cold_starts=starts,
        batch_size_mean=_interval(runs, lambda each: each.outcome.total.batch_size_mean),
        objective=verdict(attainment, share),
        objective_share=share,
        goodput_of_bound=sum(each.outcome.total.good for each in runs) / on_time_most if on_time_most else None,
        cost_of_bound=sum(each.outcome.total.replica_seconds for each in runs) / least_s if least_s else None,
    )


def verdict(attainment: MeanInterval | None, promised: float | None) -> Verdict:
    """What an interval of the attainment says of the promise."""
    if attainment is None or promised is None:
        return "none"
    if attainment.low is not None and attainment.low >= promised:
        return "held"
    return "missed" if attainment.is_below(promised) else "uncertain"


def _promised(scenario: Scenario) -> float | None:
    """The share promised; of several functions only if all promise the same."""
    shares = {each.settings.slo.objective for each in scenario.functions if each.settings.slo is not None}
    return shares.pop() if len(shares) == 1 else None


def _with_front(rows: Sequence[PolicyResult]) -> list[PolicyResult]:
    def is_beaten(row: PolicyResult) -> bool:
        return any(_dominates(other, row) for other in rows)

    return [msgspec.structs.replace(row, is_on_front=not is_beaten(row)) for row in rows]


def _dominates(one: PolicyResult, other: PolicyResult) -> bool:
    good, cost = one.goodput_per_s.mean, one.replica_seconds.mean
    other_good, other_cost = other.goodput_per_s.mean, other.replica_seconds.mean
    return good >= other_good and cost <= other_cost and (good > other_good or cost < other_cost)


_Figure = Callable[[Done], float | None]


def _interval(runs: Sequence[Done], figure: _Figure) -> MeanInterval | None:
    """None if a run does not know the figure, though requests came."""
    values = [figure(each) for each in runs]
    if any(value is None and each.outcome.total.sent for each, value in zip(runs, values, strict=True)):
        return None
    known = [value for value in values if value is not None]
    return mean_interval(known) if known else None


def _ranking(by_policy: Mapping[str, Sequence[Done]], figure: _Figure, *, largest: bool) -> Ranking | None:
    """Who is best on the seeds that all policies ran, and who is worse with evidence."""
    if len(by_policy) < 2:
        return None
    with_requests = [{each.case.seed for each in runs if each.outcome.total.sent} for runs in by_policy.values()]
    seeds = set.intersection(*with_requests)
    values: dict[str, list[float]] = {}
    for policy, runs in by_policy.items():
        by_seed = {each.case.seed: figure(each) for each in runs}
        known = [value for seed in sorted(seeds) if (value := by_seed[seed]) is not None]
        if not known or len(known) < len(seeds):
            return None
        values[policy] = known
    sign: Final = 1.0 if largest else -1.0
    best = max(values, key=lambda policy: sign * sum(values[policy]))
    confidence = confidence_of_each(len(values) - 1)
    differences = {
        policy: paired_difference(its, values[best], confidence) for policy, its in values.items() if policy != best
    }
    own = {policy: mean_interval(its) for policy, its in values.items()}
    worse = [
        policy
        for policy, gap in differences.items()
        if (gap.is_below(0.0) if largest else gap.is_above(0.0)) or own[policy].is_apart_from(own[best])
    ]
    return Ranking(best, worse, [policy for policy in differences if policy not in worse], differences)


def _attainment(each: Done) -> float | None:
    return each.outcome.total.within_slo


def _goodput(each: Done) -> float | None:
    return each.outcome.total.goodput_per_s


def _cost(each: Done) -> float | None:
    return each.outcome.total.replica_seconds

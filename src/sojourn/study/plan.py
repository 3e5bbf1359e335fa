"""The smallest pool for a traffic, or the largest traffic for a pool, found by halving, with evidence at each point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, isfinite, log2, sqrt
from typing import Final

import msgspec

from sojourn.domain.scaling import REPLICAS_MAX
from sojourn.errors import ConfigurationError
from sojourn.sim.scenario import Scenario
from sojourn.study.compare import Verdict, verdict
from sojourn.study.goodput_bound import most_on_time
from sojourn.study.outcome import RunOutcome, chances_of
from sojourn.study.statistics import MeanInterval, mean_interval

RATE_PRECISION: Final = 0.02
_RATE_STEP: Final = 1.25
_RATE_STEP_MAX: Final = 4.0
_RATE_FACTOR_MAX: Final = 2.0**12
_POINTS_MAX: Final = 40

RunAll = Callable[[Sequence[Scenario]], list[RunOutcome | None]]
ScenarioAt = Callable[[int, float, int], Scenario]


class PlanPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One pool under one traffic, over the seeds.

    Args:
        replicas: Size of the pool (most replicas at once), >= 1.
        rate_per_s: Mean arrival rate asked for.
        attainment: Share of the requests served within the objective.
        verdict: `held` if the whole interval reaches the objective, `missed` if it lies below, else `uncertain`.
        goodput_per_s: Served within the objective per second.
        replica_seconds: Replica time.
        latency_s_p99: Of served requests; None if some run served none.
        utilization: Share of the replica time spent on batches, mean over the seeds; None without replica time.
        goodput_of_bound: On-time requests over the most any policy can reach with this pool.
    """

    replicas: int
    rate_per_s: float
    attainment: MeanInterval
    verdict: Verdict
    goodput_per_s: MeanInterval
    replica_seconds: MeanInterval
    latency_s_p99: float | None
    utilization: float | None
    goodput_of_bound: float | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with the curve it was read from.

    Args:
        rate_per_s: The traffic (of a search for the largest traffic: what was found, None if nothing was).
        replicas: The pool that was found (or given); None if none up to the largest allowed holds the objective.
        chosen: The point of the answer; None without an answer.
        curve: All points looked at, in order of what was varied.
        remarks: What a reader must know: points that are uncertain, an order that is not as it should be, an end reached.
        is_partial: Whether it was interrupted before the answer was certain.
    """

    rate_per_s: float | None
    replicas: int | None
    chosen: PlanPoint | None
    curve: list[PlanPoint]
    remarks: list[str]
    is_partial: bool = False


class _InterruptedError(Exception):
    """A run of a point is missing."""


class Planner:
    """Looks at points, each once, and searches among them.

    Args:
        scenario_at: The scenario of a pool size, a rate and a seed.
        objective: Share promised, in (0, 1).
        seeds: Seeds of each point; the same for all, so that points share their chance.
        run_all: Runs scenarios; None stands for one that was interrupted.
    """

    def __init__(self, scenario_at: ScenarioAt, objective: float, seeds: Sequence[int], run_all: RunAll) -> None:
        self._scenario_at = scenario_at
        self._objective = objective
        self._seeds = list(seeds)
        self._run_all = run_all
        self._points: dict[tuple[int, float], PlanPoint] = {}

    def smallest_pool(
        self, rate_per_s: float, *, impossible: int = 0, about: int = 1, most: int = REPLICAS_MAX
    ) -> Plan:
        """The fewest replicas that hold the objective under a rate.

        Args:
            rate_per_s: Mean arrival rate.
            impossible: A pool with which no policy can hold it (see `fewest_replicas`), in [0, most).
            about: Where the search begins if more than that is possible, >= 1.
            most: Largest pool to try, >= 1.
        """
        least, trial = impossible, min(max(impossible + 1, about), most)
        found: int | None = None
        try:
            while found is None:
                if self._holds(trial, rate_per_s):
                    found = trial
                elif trial >= most:
                    break
                else:
                    least, trial = trial, min(max(trial + 1, ceil(trial * 1.5)), most)
            while found is not None and found - least > 1:
                middle = (found + least) // 2
                if self._holds(middle, rate_per_s):
                    found = middle
                else:
                    least = middle
            for beside in self._beside(found, most):
                self._look(beside, rate_per_s)
        except _InterruptedError:
            return self._pool_plan(rate_per_s, found, is_partial=True)
        return self._pool_plan(rate_per_s, found, is_partial=False)

    def largest_rate(self, replicas: int, *, about_per_s: float) -> Plan:
        """The largest mean rate under which a pool holds the objective, to within two percent.

        Args:
            replicas: Size of the pool, >= 1.
            about_per_s: Its capacity, or a guess: where the search begins, > 0.
        """
        held, missed = 0.0, 0.0
        trial, step = about_per_s, _RATE_STEP
        try:
            while not (held and missed) and about_per_s / _RATE_FACTOR_MAX <= trial <= about_per_s * _RATE_FACTOR_MAX:
                if self._holds(replicas, trial):
                    held, trial = trial, _rounded(trial * step)
                else:
                    missed, trial = trial, _rounded(trial / step)
                step = min(step * step, _RATE_STEP_MAX)
            while held and missed and missed / held > 1 + RATE_PRECISION:
                middle = _rounded(sqrt(held * missed))
                if not held < middle < missed:
                    break
                if self._holds(replicas, middle):
                    held = middle
                else:
                    missed = middle
        except _InterruptedError:
            return self._rate_plan(replicas, held, is_partial=True)
        return self._rate_plan(replicas, held, is_partial=False)

    # ---- points

    def _holds(self, replicas: int, rate_per_s: float) -> bool:
        return self._look(replicas, rate_per_s).verdict == "held"

    def _look(self, replicas: int, rate_per_s: float) -> PlanPoint:
        """A point; run if it was not yet."""
        key = (replicas, rate_per_s)
        if key not in self._points:
            outcomes = self._run_all([self._scenario_at(replicas, rate_per_s, seed) for seed in self._seeds])
            done = [outcome for outcome in outcomes if outcome is not None]
            if len(done) < len(self._seeds):
                raise _InterruptedError
            self._points[key] = _point(replicas, rate_per_s, done, self._objective)
        return self._points[key]

    def _beside(self, found: int | None, most: int) -> list[int]:
        """Pools around the answer, so that it stands on a curve and the order of its points is checked."""
        if found is None:
            return []
        wide = max(found // 4, 2)
        around = {found - wide, found - 1, found + 1, found + wide}
        return sorted(size for size in around if 1 <= size <= most)

    # ---- answers

    def _pool_plan(self, rate_per_s: float, found: int | None, *, is_partial: bool) -> Plan:
        curve = sorted((each for each in self._points.values() if each.rate_per_s == rate_per_s), key=_size_of)
        remarks = _uncertain([each for each in curve if found is None or each.replicas < found], "replicas")
        if found is None and not is_partial and curve:
            remarks.append(
                f"no pool of up to {curve[-1].replicas} replicas was seen to hold the objective; "
                "if one request alone is too slow, or cold starts alone spend the budget, more replicas do not help"
            )
        fallen = [each for each in curve if found is not None and each.replicas > found and each.verdict != "held"]
        remarks += [
            f"{each.replicas} replicas are more than {found}, and yet the objective is {each.verdict} with them: chance, or a "
            "policy that gets worse with more replicas; look at the curve"
            for each in fallen
        ]
        chosen = self._points.get((found, rate_per_s)) if found is not None else None
        return Plan(
            rate_per_s=rate_per_s, replicas=found, chosen=chosen, curve=curve, remarks=remarks, is_partial=is_partial
        )

    def _rate_plan(self, replicas: int, held: float, *, is_partial: bool) -> Plan:
        curve = sorted((each for each in self._points.values() if each.replicas == replicas), key=_rate_of)
        remarks = _uncertain([each for each in curve if each.rate_per_s > held], "per second")
        if not held and not is_partial:
            remarks.append(
                "no traffic was found that this pool carries: one request alone may be too slow for the objective"
            )
        fallen = [each for each in curve if each.rate_per_s < held and each.verdict != "held"]
        remarks += [
            f"at {each.rate_per_s:g} per second, less than the answer, the objective is {each.verdict}: chance, or a policy "
            "that is worse at low rates; look at the curve"
            for each in fallen
        ]
        chosen = self._points.get((replicas, held))
        return Plan(
            rate_per_s=held or None,
            replicas=replicas,
            chosen=chosen,
            curve=curve,
            remarks=remarks,
            is_partial=is_partial,
        )


def fewest_replicas(scenarios: Sequence[Scenario], objective: float, most: int = REPLICAS_MAX) -> int | None:
    """The fewest replicas with which any policy could hold an objective on these arrivals; None if not even `most` do.

    With fewer the bounds on requests on time say that the mean attainment over the seeds lies below the objective.

    Args:
        scenarios: The same traffic under each seed, with one function.
        objective: Share promised, in (0, 1).
        most: Largest pool looked at, >= 1.
    """
    chances = [chances_of(scenario, scenario.functions[0]) for scenario in scenarios]

    def can_hold(replicas: int) -> bool:
        shares = [
            most_on_time(each.arrivals_s, each.work, replicas, each.on_time_costs_s) / len(each.arrivals_s)
            for each in chances
            if each.arrivals_s
        ]
        return not shares or sum(shares) / len(shares) >= objective - 1e-9

    if not can_hold(most):
        return None
    low, high = 0, 1
    while high < most and not can_hold(high):
        low, high = high, min(high * 2, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if can_hold(middle) else (middle, high)
    return high


def points_of_a_pool_search(fewest: int) -> int:
    """About how many points `smallest_pool` looks at."""
    return min(5 + ceil(log2(fewest / 2 + 1)), _POINTS_MAX)


def points_of_a_rate_search() -> int:
    """About how many points `largest_rate` looks at."""
    return 3 + ceil(log2(log2(_RATE_STEP) / log2(1 + RATE_PRECISION)))


def _point(replicas: int, rate_per_s: float, done: Sequence[RunOutcome], objective: float) -> PlanPoint:
    totals = [outcome.total for outcome in done]
    if not any(total.sent for total in totals):
        raise ConfigurationError(
            f"no request arrives in these runs at {rate_per_s:g} per second, so nothing can be said; lengthen them (--duration)"
        )
    shares = [total.within_slo if total.within_slo is not None else 1.0 for total in totals]
    attainment = mean_interval(shares).clipped(0.0, 1.0)
    p99s = [total.latency_s.p99 for total in totals if total.latency_s.p99 is not None]
    used = [total.utilization for total in totals if total.utilization is not None]
    most = sum(outcome.limits.on_time_most for outcome in done if outcome.limits is not None)
    return PlanPoint(
        replicas=replicas,
        rate_per_s=rate_per_s,
        attainment=attainment,
        verdict=verdict(attainment, objective),
        goodput_per_s=mean_interval([total.goodput_per_s for total in totals]),
        replica_seconds=mean_interval([total.replica_seconds for total in totals]),
        latency_s_p99=sum(p99s) / len(p99s) if len(p99s) == len(totals) else None,
        utilization=sum(used) / len(used) if used else None,
        goodput_of_bound=sum(total.good for total in totals) / most if most and isfinite(most) else None,
    )


def _uncertain(points: Sequence[PlanPoint], unit: str) -> list[str]:
    """Points that were not counted as holding only for want of evidence."""
    doubtful = [f"{_varied(each, unit):g}" for each in points if each.verdict == "uncertain"]
    if not doubtful:
        return []
    return [
        f"uncertain with these seeds, and so not counted as holding: {', '.join(doubtful)} {unit}; more --seeds tell"
    ]


def _rounded(rate_per_s: float) -> float:
    """Four digits are enough of a rate."""
    return float(f"{rate_per_s:.4g}")


def _varied(point: PlanPoint, unit: str) -> float:
    return point.replicas if unit == "replicas" else point.rate_per_s


def _size_of(point: PlanPoint) -> int:
    return point.replicas


def _rate_of(point: PlanPoint) -> float:
    return point.rate_per_s

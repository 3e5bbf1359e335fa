"""What one run came to, beside what the best of all policies could have done with the same arrivals."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from functools import cached_property
from math import inf
from typing import Final

import msgspec

from sojourn.sim.scenario import Progress, Scenario, SimulatedFunction, simulate
from sojourn.sim.summary import RunSummary
from sojourn.study.arrivals import arrivals_of
from sojourn.study.cost_bound import CostBound
from sojourn.study.goodput_bound import most_on_time
from sojourn.study.on_time_cost import on_time_costs_s
from sojourn.study.work import LeastWork, least_costs_s, least_work

BOUNDED_MAX: Final = 1_000_000  # requests of a run; bounds keep all of them in memory
_KEPT: Final = 3


class Limits(msgspec.Struct, frozen=True):
    """Bounds that hold for every policy on the arrivals of one run, over all its functions with an objective.

    Args:
        on_time_most: Most requests on time with the run's pool.
        replica_seconds_least: Least replica time with which as many could have been on time as were.
        replica_seconds_objective: Least replica time that holds every objective; None if no policy can.
    """

    on_time_most: float
    replica_seconds_least: float
    replica_seconds_objective: float | None


class RunOutcome(msgspec.Struct, frozen=True):
    """A finished run and its limits.

    Args:
        total: All functions together.
        limits: None where nothing is promised, if they were not asked for, or of a run of more than a million requests.
    """

    total: RunSummary
    limits: Limits | None = None


def outcome_of(scenario: Scenario, *, bounds: bool = True, progress: Progress | None = None) -> RunOutcome:
    """Run a scenario, and look at what was possible.

    Args:
        scenario: What to run.
        bounds: Whether limits are computed.
        progress: As of `simulate`.
    """
    run = simulate(scenario, progress=progress)
    has_limits = bounds and 0 < run.total.sent <= BOUNDED_MAX
    limits = limits_of(scenario, run.functions) if has_limits else None
    return RunOutcome(run.total, limits)


def limits_of(scenario: Scenario, functions: dict[str, RunSummary]) -> Limits | None:
    """The bounds of a run; those of several functions add up, as each is given the whole pool.

    Args:
        scenario: What was run.
        functions: What each came to.
    """
    promised = [each for each in scenario.functions if each.settings.slo is not None]
    if not promised:
        return None
    on_time = least_s = objective_s = 0.0
    for function in promised:
        assert function.settings.slo is not None, "only these are looked at"
        summary = functions[function.settings.name]
        chances = chances_of(scenario, function)
        on_time += most_on_time(
            chances.arrivals_s, chances.work, pool_size(scenario, function), chances.on_time_costs_s
        )
        least_s += chances.cost.at(summary.good / summary.sent) if summary.sent else 0.0
        objective_s += chances.cost.at(function.settings.slo.objective)
    return Limits(on_time, least_s, objective_s if objective_s < inf else None)


def pool_size(scenario: Scenario, function: SimulatedFunction) -> int | None:
    """Most replicas a function can have at once; None without bound."""
    settings = function.settings
    limits = [settings.max_replicas] if settings.max_replicas is not None else []
    fixed = getattr(settings.scaling, "replicas", None)
    if fixed is not None:
        limits.append(max(fixed, settings.min_replicas))
    if scenario.capacity is not None and scenario.capacity.cpus < inf:
        limits.append(int(scenario.capacity.cpus / settings.cpus + 1e-9))
    return min(limits, default=None)


class Chances:
    """What any policy is up against: arrivals, what they cost at least, and the least replica time for a share of them.

    Args:
        arrivals_s: Instants of the requests that count, ascending.
        work: What batches cost at least.
    """

    def __init__(self, arrivals_s: list[float], work: LeastWork) -> None:
        self.arrivals_s = arrivals_s
        self.work = work
        self.costs_s = least_costs_s(arrivals_s, work)
        self.on_time_costs_s = on_time_costs_s(arrivals_s, work, self.costs_s)

    @cached_property
    def cost(self) -> CostBound:
        """The bound on replica time, made when it is first asked for."""
        return CostBound(self.arrivals_s, self.work, costs_s=self.costs_s)


_known: OrderedDict[bytes, Chances] = OrderedDict()


def chances_of(scenario: Scenario, function: SimulatedFunction) -> Chances:
    """What depends on arrivals and service alone; policies under the same seed share it, so the last few are kept."""
    settings = function.settings
    assert settings.slo is not None, "asked for functions with an objective only"
    parts = (
        settings.name,
        settings.slo.latency_s,
        settings.largest_batch,
        function.service,
        function.traffic,
        scenario.duration_s,
        scenario.transient_s,
        scenario.seed,
    )
    key = pickle.dumps(parts)
    chances = _known.get(key)
    if chances is None:
        arrivals_s = arrivals_of(scenario, settings.name)
        work = least_work(function.service, settings.largest_batch, settings.slo.latency_s)
        chances = Chances(arrivals_s, work)
        _known[key] = chances
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return chances

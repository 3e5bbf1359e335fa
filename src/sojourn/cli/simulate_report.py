"""From a simulated run to what its HTML report is made from."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import Any, Final

import msgspec

from sojourn.cli.run_view import Rows
from sojourn.cli.simulate_view import (
    Ended,
    function_cells,
    function_verdict,
    last_decisions,
    left_rows,
    right_rows,
    run_rows,
    verdict_of,
)
from sojourn.config.policies import policy_text
from sojourn.domain.wording import counted
from sojourn.report.axis import duration_text, number_text, share_text
from sojourn.report.sim_series import Course, FunctionReport, SimReport, Stretch, together
from sojourn.sim.result import SimulationResult
from sojourn.sim.scenario import SimulatedFunction
from sojourn.sim.timeline import Timeline

SECTIONS_MAX: Final = 10
_DECISIONS_SHOWN: Final = 12
_FOOTER: Final = (
    "Simulated in virtual time with the scheduler, the policies and the scaling that serve in production; replicas are modelled. "
    "Counts and the quantiles in tables are exact; those drawn over time come from a histogram with a relative error of at most "
    "1.083 %. The same seed gives the same run."
)


def report_of(
    ended: Ended, results: dict[str, SimulationResult], *, title: str, arrivals: str, remarks: tuple[str, ...] = ()
) -> SimReport:
    """What the report of a run says.

    Args:
        ended: The run, with timelines.
        results: What came of each function, in full.
        title: Headline.
        arrivals: The workload as it was typed.
        remarks: What a reader must know.
    """
    scenario, run = ended.scenario, ended.run
    functions = {each.settings.name: each for each in scenario.functions}
    names = ended.by_traffic
    courses = {name: course_of(functions[name], run.timelines[name], results[name], ended) for name in names}
    verdict, text = verdict_of(ended)
    is_one = len(names) == 1
    return SimReport(
        title=title,
        subtitle=f"{counted(run.total.sent, 'request')}, {_without_folder(arrivals)} arrivals over {_span(scenario.duration_s)}, seed {scenario.seed}",
        verdict=verdict,
        verdict_text=text,
        remarks=remarks,
        numbers=[left_rows(run.total), [*right_rows(run.total), *run_rows(ended)]],
        setting=_setting(functions[names[0]], ended) if is_one else [],
        functions=[
            _function(functions[name], results[name], courses[name] if place < SECTIONS_MAX else None, ended)
            for place, name in enumerate(names)
        ],
        total=None if is_one else together(list(courses.values())),
        footer=_FOOTER,
    )


def course_of(function: SimulatedFunction, timeline: Timeline, result: SimulationResult, ended: Ended) -> Course:
    """A function's timeline as it is drawn."""
    per_replica_s = capacity_per_s(function) * timeline.cell_s
    instants = [at_s for at_s, _ in result.replicas]
    stretches = []
    for number, cell in enumerate(timeline.cells):
        begin, end = (bisect_right(instants, edge * timeline.cell_s) for edge in (number, number + 1))
        before = result.replicas[begin - 1][1] if begin else 0
        stretches.append(
            Stretch(
                arrivals=cell.arrivals,
                good=cell.good,
                late=cell.late,
                lost=cell.lost,
                latency=list(cell.latency.cells()),
                batches=cell.batches,
                items=cell.items,
                queued_max=cell.queued_max if cell.looks else None,
                ready=cell.ready_sum / cell.looks if cell.looks else None,
                living=max([before, *(living for _, living in result.replicas[begin:end])]),
                starts=cell.starts,
                demand=cell.arrivals / per_replica_s,
            )
        )
    scenario = ended.scenario
    return Course(
        stretch_s=timeline.cell_s,
        stretches=stretches,
        duration_s=scenario.duration_s,
        transient_s=scenario.transient_s,
    )


def full_batch(function: SimulatedFunction) -> int:
    """The largest batch that fits into the objective's latency by itself; without one, the largest there is."""
    settings, service = function.settings, function.service
    if settings.slo is None:
        return settings.largest_batch
    fitting = [
        size
        for size in range(1, settings.largest_batch + 1)
        if service.mean_s(size) + service.overhead_s <= settings.slo.latency_s
    ]
    return max(fitting, default=1)


def capacity_per_s(function: SimulatedFunction) -> float:
    """Requests per second that one replica serves in such batches."""
    size = full_batch(function)
    return size / max(function.service.mean_s(size) + function.service.overhead_s, 1e-9)


def policies_of(function: SimulatedFunction) -> dict[str, Any]:
    """The policies of a function in text."""
    settings = function.settings
    return {
        "batching": policy_text(settings.batching),
        "scaling": policy_text(settings.scaling),
        "keepalive": policy_text(settings.keepalive),
        "max_batch_size": settings.largest_batch,
    }


def _function(
    function: SimulatedFunction, result: SimulationResult, course: Course | None, ended: Ended
) -> FunctionReport:
    settings = function.settings
    summary = ended.run.functions[settings.name]
    return FunctionReport(
        name=settings.name,
        slo=str(settings.slo) if settings.slo else None,
        objective_s=settings.slo.latency_s if settings.slo else None,
        objective=settings.slo.objective if settings.slo else None,
        is_met=summary.objective_met,
        verdict_text=function_verdict(summary),
        numbers=[left_rows(summary), [*right_rows(summary), *_policy_rows(function)]],
        row=function_cells(settings.name, summary),
        course=course,
        full_batch=full_batch(function),
        batch_sizes=Counter(result.batch_sizes) if course is not None else {},
        decisions=[
            (at_s, decision.sentence()) for at_s, decision in last_decisions(ended, [settings.name], _DECISIONS_SHOWN)
        ],
    )


def _policy_rows(function: SimulatedFunction) -> Rows:
    policies = policies_of(function)
    return [(name, policies[name]) for name in ("batching", "scaling", "keepalive")]


def _setting(function: SimulatedFunction, ended: Ended) -> list[Rows]:
    """What was simulated, of a run with one function."""
    service, settings, scenario = function.service, function.settings, ended.scenario
    size = full_batch(function)
    of_one, of_full = (duration_text(service.mean_s(one) + service.overhead_s) for one in (1, size))
    pool: Rows = []
    if scenario.machines and scenario.machines[0].cpus < float("inf"):
        pool.append(("machines", f"{len(scenario.machines):,} of {number_text(scenario.machines[0].cpus)} cores"))
    elif scenario.capacity is not None and scenario.capacity.cpus < float("inf"):
        pool.append(("cores", number_text(scenario.capacity.cpus)))
    if settings.max_replicas is not None:
        pool.append(("replicas at most", f"{settings.max_replicas:,}"))
    start = service.start_phases
    start_s = service.cold_start_s if start is None else sum(msgspec.structs.astuple(start)[:4])
    times: Rows = [
        ("a batch of 1 takes", of_one),
        (f"a batch of {size} takes", of_full),
        ("one replica serves at most", f"{number_text(float(f'{capacity_per_s(function):.3g}'))}/s"),
        ("cold start", duration_text(start_s)),
    ]
    if service.sigma:
        times.append(("noise of service times", share_text(service.sigma)))
    return [
        times if size > 1 else [times[0], *times[2:]],
        [*_policy_rows(function), ("largest batch", f"{settings.largest_batch}"), *pool],
    ]


def _without_folder(arrivals: str) -> str:
    """A trace is named by its file alone: where it lies is nobody's business in a report."""
    kind, colon, rest = arrivals.partition(":")
    return f"{kind}:{rest.rpartition('/')[2]}" if colon and kind == "trace" else arrivals


def _span(value_s: float) -> str:
    for unit, size_s in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if value_s >= 2 * size_s:
            return f"{value_s / size_s:.4g} {unit}"
    return f"{value_s:.4g} s"

"""A plan for people: the answers, the curves they were read from, and what more traffic costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sojourn.cli.compare_view import interval_duration, interval_share, span_of
from sojourn.domain.objective import SLO
from sojourn.domain.wording import counted
from sojourn.report.axis import duration_text, number_text, share_text
from sojourn.report.plan_page import CurvePoint, PlanReport, PlanSection
from sojourn.study.plan import Plan, PlanPoint

_COLOURS: Final = {"held": "green", "missed": "red", "uncertain": "yellow", "none": "default"}
_STYLES: Final = {"met": "bold green", "missed": "bold red", "void": "bold yellow"}
_MORE: Final = ("within objective", "verdict", "goodput", "p99", "busy", "replica time")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One question and its plan.

    Args:
        find: What was asked for.
        times: By how much the traffic was multiplied.
        plan: What was found.
        fewest_replicas: No policy can do with fewer; None if that was not looked at, or nobody can at all.
        cores_each: Cores of a replica.
    """

    find: Literal["pool", "rate"]
    times: float
    plan: Plan
    fewest_replicas: int | None
    cores_each: float


def page_of(
    answers: Sequence[Answer], *, slo: SLO, setting: str, remarks: Sequence[str], seeds: int, confidence: float
) -> PlanReport:
    """All that is said of a plan, for the page and for the terminal."""
    told = list(remarks)
    if seeds == 1:
        told.append("one seed has no interval, so that nothing can be said to hold; give --seeds 3 or more")
    growth = [
        (f"x {answer.times:g}", answer.plan.rate_per_s or 0.0, answer.plan.replicas, _cost_s(answer.plan))
        for answer in answers
        if answer.find == "pool"
    ]
    return PlanReport(
        title="Capacity plan",
        subtitle=f"{setting}; objective {slo}",
        remarks=told,
        growth=growth,
        sections=[_section(answer, slo) for answer in answers],
        footer=(
            f"A point holds if the whole {confidence * 100:g} % confidence interval of its attainment, over {seeds} "
            f"seed{'s' * (seeds > 1)}, reaches the objective; it is uncertain if only a part does. All points share the chance "
            "of each seed. Limits hold for every policy, even one that knows the future."
        ),
    )


def print_plan(console: Console, page: PlanReport) -> None:
    """Print a plan."""
    console.print(escape(page.subtitle), style="dim", highlight=False)
    for remark in page.remarks:
        console.print(remark, style="yellow", markup=False, highlight=False)
    for section in page.sections:
        console.print()
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for number, head in enumerate(section.heads):
            table.add_column(head, justify="right", overflow="fold", no_wrap=number == 0)
        for point in section.points:
            cells = [escape(cell) for cell in point.cells]
            cells[2] = f"[{_COLOURS[point.verdict]}]{cells[2]}[/]" if point.verdict != "none" else cells[2]
            table.add_row(*cells, style="bold" if point.is_chosen else "")
        if section.points:
            console.print(table)
        console.print(section.answer, style=_STYLES[section.verdict], markup=False, highlight=False)
        for remark in section.remarks:
            console.print(f"  {remark}", markup=False, highlight=False)
    if len(page.growth) > 1:
        console.print()
        growth = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for head in ("traffic", "requests/s", "replicas", "replica time"):
            growth.add_column(head, justify="right")
        for label, rate_per_s, replicas, cost_s in page.growth:
            found = "none found" if replicas is None else f"{replicas:,}"
            growth.add_row(label, number_text(rate_per_s), found, duration_text(cost_s))
        console.print(growth)


def _section(answer: Answer, slo: SLO) -> PlanSection:
    plan, is_pool = answer.plan, answer.find == "pool"
    remarks = list(plan.remarks)
    if is_pool and answer.fewest_replicas is not None:
        remarks.append(f"no policy can do with fewer than {answer.fewest_replicas} on these arrivals")
    title = (
        f"{number_text(plan.rate_per_s or 0.0)} requests per second"
        if is_pool
        else counted(plan.replicas or 0, "replica")
    )
    if is_pool and answer.times != 1.0:
        title += f" (x {answer.times:g})"
    return PlanSection(
        title=title,
        verdict="void" if plan.is_partial else "met" if plan.chosen is not None else "missed",
        answer=_sentence(answer, slo),
        remarks=remarks,
        unit="replicas" if is_pool else "requests per second",
        bound=float(answer.fewest_replicas) if is_pool and answer.fewest_replicas is not None else None,
        objective=slo.objective,
        heads=("replicas" if is_pool else "requests/s", *_MORE),
        points=[_curve_point(point, plan, is_pool=is_pool) for point in plan.curve],
    )


def _sentence(answer: Answer, slo: SLO) -> str:
    plan, chosen = answer.plan, answer.plan.chosen
    so_far = "Interrupted; so far: " if plan.is_partial else ""
    if answer.find == "pool":
        traffic = f"{number_text(plan.rate_per_s or 0.0)} requests per second"
        if chosen is None:
            return f"{so_far}no pool was found that holds {slo} at {traffic}."
        cores = number_text(chosen.replicas * answer.cores_each)
        return (
            f"{so_far}{counted(chosen.replicas, 'replica')} ({cores} core{'s' * (cores != '1')}) "
            f"{'holds' if chosen.replicas == 1 else 'hold'} {slo} at {traffic}: {share_text(chosen.attainment.mean)} within it."
        )
    if chosen is None:
        return f"{so_far}no traffic was found at which {counted(plan.replicas or 0, 'replica holds', 'replicas hold')} {slo}."
    return (
        f"{so_far}{counted(plan.replicas or 0, 'replica carries', 'replicas carry')} {number_text(chosen.rate_per_s)} "
        f"requests per second within {slo}: {share_text(chosen.attainment.mean)} within it."
    )


def _curve_point(point: PlanPoint, plan: Plan, *, is_pool: bool) -> CurvePoint:
    at = float(point.replicas) if is_pool else point.rate_per_s
    return CurvePoint(
        at=at,
        attainment=span_of(point.attainment),
        verdict=point.verdict,
        cost_s=span_of(point.replica_seconds),
        is_chosen=point == plan.chosen,
        cells=[
            number_text(at),
            interval_share(point.attainment),
            point.verdict,
            f"{number_text(point.goodput_per_s.mean)}/s",
            duration_text(point.latency_s_p99),
            "n/a" if point.utilization is None else share_text(point.utilization),
            interval_duration(point.replica_seconds),
        ],
    )


def _cost_s(plan: Plan) -> float | None:
    return plan.chosen.replica_seconds.mean if plan.chosen is not None else None

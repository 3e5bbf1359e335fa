"""A comparison for people: a table per workload with what can be said of it, and the same as a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sojourn.domain.objective import SLO
from sojourn.report.axis import duration_text, number_text, share_text
from sojourn.report.compare_chart import PolicyMark, Span
from sojourn.report.compare_page import CompareReport, WorkloadSection
from sojourn.study.compare import Comparison, PolicyResult, Ranking, WorkloadResult
from sojourn.study.statistics import MeanInterval

HEADS: Final = (
    "policy", "within objective", "goodput", "of limit", "p99", "replica time", "of least", "cold starts", "batch",
)  # fmt: skip
_WIDE_COLUMNS: Final = 120
_SEEN: Final = 5e-4
_ONLY_WIDE: Final = ("of limit", "of least", "batch")
_INTERVAL: Final = re.compile(r" ±[0-9.,e-]+")
_COLOURS: Final = {"held": "green", "missed": "red", "uncertain": "yellow", "none": "default"}


def page_of(
    comparison: Comparison, *, title: str, slo: SLO | None, setting: str, remarks: Sequence[str] = ()
) -> CompareReport:
    """All that is said of a comparison, for the page and for the terminal."""
    told = list(remarks)
    if comparison.is_partial:
        told.insert(0, f"interrupted: {comparison.runs_done} of {comparison.runs_wanted} runs, partial results")
    seeds = max((len(row.seeds) for each in comparison.workloads for row in each.policies), default=0)
    if seeds == 1:
        told.append("one seed has no intervals and allows no verdict; give --seeds 3 or more")
    return CompareReport(
        title=title,
        subtitle=f"{setting}; {f'objective {slo}' if slo else 'nothing promised'}",
        remarks=told,
        sections=[_section(each) for each in comparison.workloads],
        footer=(
            f"Means over the seeds with {comparison.confidence * 100:g} % confidence intervals (Student's t). Policies share "
            "the arrivals of each seed; one is called worse only where the interval of its paired differences from the best "
            "excludes zero (the confidence is shared among all comparisons), or where their own intervals do not overlap. "
            "Limits hold for every policy, even one that knows the future; they come from relaxations, so that they may be "
            "out of reach."
        ),
    )


def print_comparison(console: Console, comparison: Comparison, page: CompareReport) -> None:
    """Print a comparison; a narrow terminal gets the means alone."""
    is_wide = console.width >= _WIDE_COLUMNS
    for remark in page.remarks:
        console.print(remark, style="yellow", markup=False, highlight=False)
    for section in page.sections:
        console.print(f"[bold]{escape(section.title)}[/]  [dim]{escape(section.subtitle)}[/]", highlight=False)
        console.print(_table(section, is_wide=is_wide))
        for finding in section.findings:
            console.print(f"  {finding}", markup=False, highlight=False)
        console.print()
    if not comparison.workloads:
        console.print("nothing was run", markup=False)


def _table(section: WorkloadSection, *, is_wide: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    shown = [number for number, head in enumerate(section.heads) if is_wide or head not in _ONLY_WIDE]
    for number in shown:
        table.add_column(section.heads[number], justify="right" if number else "left", overflow="fold")
    for policy in section.policies:
        cells = [escape(cell if is_wide or number < 2 else _mean_of(cell)) for number, cell in enumerate(policy.cells)]
        colour = _COLOURS[policy.verdict]
        cells[1] = f"[{colour}]{cells[1]}[/]" if colour != "default" else cells[1]
        table.add_row(*(cells[number] for number in shown), style="bold" if policy.is_best else "")
    return table


def _mean_of(cell: str) -> str:
    """A cell without its interval."""
    return _INTERVAL.sub("", cell)


def _section(result: WorkloadResult) -> WorkloadSection:
    seeds = max(len(row.seeds) for row in result.policies)
    goodput, cost = result.goodput_bound_per_s, result.replica_seconds_bound
    return WorkloadSection(
        title=result.workload,
        subtitle=f"{number_text(result.rate_per_s)} requests per second, {seeds} seed{'s' * (seeds > 1)}",
        findings=_findings(result),
        heads=HEADS,
        policies=[_mark(row, result) for row in result.policies],
        objective=result.policies[0].objective_share,
        rate_per_s=result.rate_per_s,
        goodput_bound_per_s=goodput.mean if goodput else None,
        cost_bound_s=cost.mean if cost else None,
    )


def _findings(result: WorkloadResult) -> list[str]:
    found = _left_out(result)
    if result.on_time is not None:
        found.append(_ranked("Most on time", result.on_time))
    if result.cost is not None:
        found.append(_ranked("Least replica time of those that held the objective", result.cost))
    else:
        held = [row.policy for row in result.policies if row.objective == "held"]
        if held:
            is_only = len(result.policies) == 1  # nothing was compared with it
            found.append(f"Objective held by {held[0]}{'' if is_only else ' alone'}.")
        elif result.policies[0].objective != "none":
            found.append("No policy was seen to hold the objective.")
    limits = []
    if result.goodput_bound_per_s is not None:
        limits.append(f"no policy exceeds {number_text(result.goodput_bound_per_s.mean)}/s on time")
    if result.replica_seconds_bound is not None:
        limits.append(
            f"none holds the objective below {duration_text(result.replica_seconds_bound.mean)} of replica time"
        )
    elif result.goodput_bound_per_s is not None:
        limits.append(
            "none can hold the objective on these arrivals, with any pool (are cold starts at the beginning to blame? "
            "leave them out with --transient)"
        )
    if limits:
        found.append(f"Limits: {'; '.join(limits)}.")
    return found


def _left_out(result: WorkloadResult) -> list[str]:
    """What an interruption kept from being compared."""
    found = []
    if result.left_out:
        only = "; ".join(f"{policy} {_numbers(seeds)}" for policy, seeds in result.left_out.items())
        found.append(f"Compared over the seeds that all have run, {_numbers(result.seeds)}; left out: {only}.")
    if result.not_run:
        found.append(f"Not run: {', '.join(result.not_run)}.")
    return found


def _numbers(seeds: Sequence[int]) -> str:
    """Some seeds, with those in a row as a range: `1 to 4, 7`."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and parts[-1][-1] == seed - 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts)


def _ranked(what: str, ranking: Ranking) -> str:
    if all(gap.mean == 0.0 == gap.half_width for gap in ranking.differences.values()):
        return f"{what}: all alike."
    text = f"{what}: {ranking.best}."
    if ranking.worse:
        text += f" Worse, with evidence: {', '.join(ranking.worse)}."
    if ranking.alike:
        text += f" Not told apart from it: {', '.join(ranking.alike)}."
    return text


def _mark(row: PolicyResult, result: WorkloadResult) -> PolicyMark:
    best = {ranking.best for ranking in (result.on_time, result.cost) if ranking is not None}
    return PolicyMark(
        name=row.policy,
        attainment=span_of(row.attainment) if row.attainment is not None else None,
        cost_s=span_of(row.replica_seconds),
        goodput_per_s=span_of(row.goodput_per_s),
        verdict=row.objective,
        is_on_front=row.is_on_front,
        is_best=row.policy in best,
        cells=[
            row.policy,
            interval_share(row.attainment),
            _plain(row.goodput_per_s, "/s"),
            "n/a" if row.goodput_of_bound is None else share_text(min(row.goodput_of_bound, 1.0)),
            interval_duration(row.latency_s_p99),
            interval_duration(row.replica_seconds),
            "n/a" if row.cost_of_bound is None else f"{row.cost_of_bound:.3g} x",
            _plain(row.cold_starts, ""),
            "n/a" if row.batch_size_mean is None else _plain(row.batch_size_mean, ""),
        ],
    )


def interval_share(interval: MeanInterval | None) -> str:
    """A share with half its interval in percentage points."""
    if interval is None:
        return "n/a"
    return share_text(interval.mean) + (f" ±{_two_digits(interval.half_width * 100)}" if _is_told(interval) else "")


def interval_duration(interval: MeanInterval | None) -> str:
    """A duration with half its interval in the same unit."""
    if interval is None:
        return "n/a"
    text = duration_text(interval.mean)
    if not _is_told(interval):
        return text
    value, _, unit = text.rpartition(" ")
    scale = {"s": 1.0, "ms": 1e3}.get(unit, 1e6)
    return f"{value} ±{_two_digits(interval.half_width * scale)} {unit}"


def _two_digits(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _is_told(interval: MeanInterval) -> bool:
    """Whether the interval is known, and wide enough to be seen beside its mean."""
    return interval.low is not None and interval.half_width > _SEEN * abs(interval.mean)


def _plain(interval: MeanInterval, unit: str) -> str:
    text = number_text(interval.mean)
    return text + (f" ±{_two_digits(interval.half_width)}" if _is_told(interval) else "") + unit


def span_of(interval: MeanInterval) -> Span:
    """An interval as plots take it."""
    return Span(interval.mean, interval.low, interval.high)

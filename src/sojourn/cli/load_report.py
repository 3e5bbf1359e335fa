"""A finished run of load for people: lines on the terminal, and the one-file HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from sojourn.cli.replica_use import ReplicaUse
from sojourn.domain.objective import SLO
from sojourn.errors import SojournError
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.record import OUTCOMES
from sojourn.loadgen.result import LoadResult
from sojourn.report.axis import duration_text, number_text, share_text
from sojourn.report.page import RunReport, render
from sojourn.report.series import RunSeries

Rows = list[tuple[str, str]]
_NOT_FAULTY = {429, 499}  # refused for want of room, or given up: not what was sent


def series_of(run: LoadRun, duration_s: float) -> RunSeries:
    """The columns a report draws, from the log of a run."""
    log = run.log
    return RunSeries(
        arrival_at_s=log.intended_at_s,
        latency_s=log.latency_s,
        outcome=[OUTCOMES[code] for code in log.outcome],
        batch_size=log.batch_size,
        duration_s=duration_s,
    )


def verdict_of(result: LoadResult) -> tuple[Literal["met", "missed", "void", "none"], str]:
    """The verdict of a run, and the sentence that says it."""
    nothing = nothing_served(result)
    if result.void:
        return "void", f"Void: {result.void_reason}. {nothing}".rstrip()
    if nothing:
        return "missed", nothing
    if result.objective_met is None:
        return "none", f"{number_text(result.outcomes['served'])} of {number_text(result.sent)} requests were served."
    word = "met" if result.objective_met else "missed"
    text = f"Objective {result.slo} was {word}: {share_text(result.within_slo)} of all requests were within it."
    return ("met" if result.objective_met else "missed"), text


def nothing_served(result: LoadResult) -> str:
    """Why a run without a single served request says nothing, in a sentence; empty if there was one."""
    if result.outcomes["served"]:
        return ""
    if not result.sent:
        return f"Nothing was sent: no arrival fell into {result.duration_s:g} s; raise the rate or the duration."
    statuses = {int(status): count for status, count in result.failures.statuses.items()}
    told = [f"{count:,} x {status}" for status, count in statuses.items()]
    told += [f"{count:,} without {what}" for count, what in _silent(result) if count]
    faulty = sum(count for status, count in statuses.items() if 400 <= status < 500 and status not in _NOT_FAULTY)
    if faulty == result.sent:
        return f"Nothing could count: all {faulty:,} requests were faulty ({', '.join(told)}); see --body and the URL."
    return f"Nothing was served: none of {result.sent:,} requests ({', '.join(told)})."


def _silent(result: LoadResult) -> list[tuple[int, str]]:
    return [(result.failures.timeouts, "an answer in time"), (result.failures.connections, "a connection")]


def use_rows(use: ReplicaUse) -> Rows:
    """What replicas it took."""
    return [
        ("replica time", duration_text(use.replica_seconds)),
        ("replicas, most", f"{use.replicas_max:,}"),
        ("cold starts", f"{use.cold_starts:,}"),
    ]


def service_rows(result: LoadResult) -> Rows:
    """How the server did."""
    latency = result.latency_s
    rows = [
        ("within objective", share_text(result.within_slo)),
        ("goodput", f"{number_text(result.goodput_per_s)}/s"),
        ("latency p50", duration_text(latency.p50)),
        ("latency p90", duration_text(latency.p90)),
        ("latency p99", duration_text(latency.p99)),
        ("latency p99.9", duration_text(latency.p999)),
        ("latency, highest", duration_text(latency.max)),
    ]
    if result.batch_size_mean is not None:
        rows.append(("mean batch", f"{result.batch_size_mean:.1f}"))
    return rows if result.within_slo is not None else rows[1:]


def count_rows(result: LoadResult) -> Rows:
    """What was sent, how it ended, and how well the generator did."""
    rows = [("sent", f"{result.sent:,} ({number_text(result.rate_per_s)}/s)")]
    rows += [(name, f"{count:,}") for name, count in result.outcomes.items() if count or name in {"served", "shed"}]
    if result.failures.timeouts:
        rows.append(("no answer in time", f"{result.failures.timeouts:,}"))
    if result.failures.connections:
        rows.append(("no connection", f"{result.failures.connections:,}"))
    if result.mismatched:
        rows.append(("wrong answers", f"{result.mismatched:,}"))
    lateness = result.lateness_s
    return [
        *rows,
        ("own lateness, p99", duration_text(lateness.p99)),
        ("own lateness, highest", duration_text(lateness.max)),
        ("connections", f"{result.connections_peak:,}"),
    ]


def print_result(console: Console, result: LoadResult, extra: Sequence[tuple[str, str]] = ()) -> None:
    """Print the run's numbers side by side, and its verdict."""
    left, right = [*extra, *service_rows(result)], count_rows(result)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for justify in ("left", "right", "left", "right"):
        table.add_column(justify=justify, no_wrap=True)
    for number in range(max(len(left), len(right))):
        cells = [rows[number] if number < len(rows) else ("", "") for rows in (left, right)]
        table.add_row(cells[0][0], f"[bold]{cells[0][1]}[/]", f"  {cells[1][0]}", f"[bold]{cells[1][1]}[/]")
    console.print(table)
    if result.failures.first:
        console.print(f"first failure: {result.failures.first}", style="yellow", markup=False, highlight=False)
    verdict, text = verdict_of(result)
    style = {"met": "bold green", "missed": "bold red", "void": "bold yellow", "none": "bold"}[verdict]
    console.print(text, style=style, markup=False, highlight=False)


def write_report(
    path: Path,
    run: LoadRun,
    result: LoadResult,
    *,
    title: str,
    subtitle: str,
    slo: SLO | None,
    extra: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the HTML report of a run, making its folder if needed.

    Raises:
        SojournError: The file cannot be written.
    """
    verdict, text = verdict_of(result)
    report = RunReport(
        title=title,
        subtitle=subtitle,
        verdict=verdict,
        verdict_text=text,
        numbers=[[*extra, *service_rows(result)], count_rows(result)],
        objective_s=slo.latency_s if slo else None,
        series=series_of(run, result.duration_s),
        footer="Open loop: latency counts from the instant each request was meant to be sent, whatever became of "
        "those before it. A run in which the generator itself was late is void.",
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(report), encoding="utf-8")
    except OSError as err:
        raise SojournError(f"cannot write the report to {path}: {err.strerror or err}") from err

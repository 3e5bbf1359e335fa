"""A finished run of load for people: lines on the terminal, and the one-file HTML report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sojourn.cli.http_call import UNAUTHENTICATED, key_hint
from sojourn.cli.replica_use import ReplicaUse
from sojourn.cli.run_view import (
    Rows,
    Verdict,
    objective_text,
    outcome_rows,
    print_rows,
    print_verdict,
    served_text,
    service_rows,
    use_rows,
    write_page,
)
from sojourn.domain.objective import SLO
from sojourn.domain.wording import counted
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.record import OUTCOMES
from sojourn.loadgen.result import LoadResult
from sojourn.report.axis import duration_text
from sojourn.report.page import RunReport, render
from sojourn.report.series import RunSeries
from sojourn.telemetry.log import escaped

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


def verdict_of(result: LoadResult) -> tuple[Verdict, str]:
    """The verdict of a run, and the sentence that says it."""
    nothing = nothing_served(result)
    if result.void:
        return "void", f"Void: {result.void_reason}. {nothing}".rstrip()
    if nothing:
        return "missed", nothing
    if result.objective_met is None:
        return "none", served_text(result.outcomes["served"], result.sent)
    text = objective_text(result.slo, result.within_slo, is_met=result.objective_met)
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
    if statuses.get(UNAUTHENTICATED) == result.sent:
        return f"Nothing could count: the server asks for a key ({', '.join(told)}); {key_hint()}."
    faulty = sum(count for status, count in statuses.items() if 400 <= status < 500 and status not in _NOT_FAULTY)
    if faulty == result.sent:
        of_all = "the request was " if faulty == 1 else f"all {faulty:,} requests were "
        return f"Nothing could count: {of_all}faulty ({', '.join(told)}); see --body and the URL."
    return f"Nothing was served: none of {counted(result.sent, 'request')} ({', '.join(told)})."


def _silent(result: LoadResult) -> list[tuple[int, str]]:
    return [(result.failures.timeouts, "an answer in time"), (result.failures.connections, "a connection")]


def replica_rows(use: ReplicaUse) -> Rows:
    """What replicas it took."""
    return use_rows(use.replica_seconds, use.replicas_max, use.cold_starts)


def result_rows(result: LoadResult) -> Rows:
    """How the server did."""
    return service_rows(
        within_slo=result.within_slo,
        goodput_per_s=result.goodput_per_s,
        latency_s=result.latency_s,
        batch_size_mean=result.batch_size_mean,
    )


def count_rows(result: LoadResult) -> Rows:
    """What was sent, how it ended, and how well the generator did."""
    rows = outcome_rows(result.sent, result.rate_per_s, result.outcomes)
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


def failure_text(first: str) -> str:
    """The first failure as a sentence, where the server told one in its own form: `HTTP 404: ...`."""
    head, _, body = first.partition(": ")
    try:
        told = json.loads(body)
        return f"{head}: {escaped(told['error'])} ({escaped(told['code'])}, request {escaped(told['request_id'])})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return first


def print_result(console: Console, result: LoadResult, extra: Sequence[tuple[str, str]] = ()) -> None:
    """Print the run's numbers side by side, and its verdict."""
    print_rows(console, [*extra, *result_rows(result)], count_rows(result))
    if result.failures.first:
        console.print(
            f"first failure: {failure_text(result.failures.first)}", style="yellow", markup=False, highlight=False
        )
    verdict, text = verdict_of(result)
    print_verdict(console, verdict, text)


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
        numbers=[[*extra, *result_rows(result)], count_rows(result)],
        objective_s=slo.latency_s if slo else None,
        series=series_of(run, result.duration_s),
        footer="Open loop: latency counts from the instant each request was meant to be sent, whatever became of "
        "those before it. A run in which the generator itself was late is void.",
    )
    write_page(path, render(report))

"""How the numbers of a run look, whichever command made it: rows side by side, a verdict, a report in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from sojourn.domain.wording import counted
from sojourn.errors import SojournError
from sojourn.report.axis import duration_text, number_text, share_text
from sojourn.report.statistics import LatencyQuantiles

Rows = list[tuple[str, str]]
Verdict = Literal["met", "missed", "void", "none"]
_STYLES = {"met": "bold green", "missed": "bold red", "void": "bold yellow", "none": "bold"}


def use_rows(replica_seconds: float, replicas_max: int, cold_starts: int) -> Rows:
    """What replicas a run took."""
    return [
        ("replica time", duration_text(replica_seconds)),
        ("replicas, most", f"{replicas_max:,}"),
        ("cold starts", f"{cold_starts:,}"),
    ]


def service_rows(
    *, within_slo: float | None, goodput_per_s: float, latency_s: LatencyQuantiles, batch_size_mean: float | None
) -> Rows:
    """How requests were served."""
    rows = [("within objective", share_text(within_slo))] if within_slo is not None else []
    rows += [
        ("goodput", f"{number_text(goodput_per_s)}/s"),
        ("latency p50", duration_text(latency_s.p50)),
        ("latency p90", duration_text(latency_s.p90)),
        ("latency p99", duration_text(latency_s.p99)),
        ("latency p99.9", duration_text(latency_s.p999)),
        ("latency, highest", duration_text(latency_s.max)),
    ]
    if batch_size_mean is not None:
        rows.append(("mean batch", f"{batch_size_mean:.1f}"))
    return rows


def outcome_rows(sent: int, rate_per_s: float, outcomes: dict[str, int]) -> Rows:
    """What was sent, and how it ended."""
    rows = [("sent", f"{sent:,} ({number_text(rate_per_s)}/s)")]
    return rows + [(name, f"{count:,}") for name, count in outcomes.items() if count or name in {"served", "shed"}]


def objective_text(slo: str | None, within_slo: float | None, *, is_met: bool) -> str:
    """The verdict on one objective in a sentence."""
    word = "met" if is_met else "missed"
    return f"Objective {slo} was {word}: {share_text(within_slo)} of all requests were within it."


def served_text(served: int, sent: int) -> str:
    """The verdict on what promised nothing, in a sentence."""
    return f"{served:,} of {counted(sent, 'request was', 'requests were')} served."


def print_rows(console: Console, left: Sequence[tuple[str, str]], right: Sequence[tuple[str, str]]) -> None:
    """Print two lists of numbers side by side."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for justify in ("left", "right", "left", "right"):
        table.add_column(justify=justify, no_wrap=True)
    for number in range(max(len(left), len(right))):
        cells = [rows[number] if number < len(rows) else ("", "") for rows in (left, right)]
        table.add_row(cells[0][0], f"[bold]{cells[0][1]}[/]", f"  {cells[1][0]}", f"[bold]{cells[1][1]}[/]")
    console.print(table)


def print_verdict(console: Console, verdict: Verdict, text: str) -> None:
    """Print the verdict in its colour."""
    console.print(text, style=_STYLES[verdict], markup=False, highlight=False)


def write_page(path: Path, html: str) -> None:
    """Write a report into a folder that exists.

    Raises:
        SojournError: The file cannot be written.
    """
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as err:
        raise SojournError(f"cannot write the report to {path}: {err.strerror or err}") from err

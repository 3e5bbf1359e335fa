"""How `sojourn slo show` looks in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sojourn.cli.function_table import Column, function_table, instant_text, table_width
from sojourn.report.axis import duration_text, share_text
from sojourn.report.slo_words import (
    QUANTILES_NOTE,
    alert_text,
    alerts_told,
    budget_text,
    burn_text,
    long_text,
    notes_of,
    percent_left,
    verdict_of,
)
from sojourn.slo.alert import AlertState
from sojourn.slo.status import HistoryState, SLOStatus
from sojourn.telemetry.log import escaped

_BAR_CHARACTERS = 24
_BAR_CHARACTERS_SHORT = 10


def budget_bar(remaining: float, width: int, *, is_plain: bool = False) -> str:
    """What is left of a budget, as a bar of `width` characters; empty once it is used up, full only if it is whole."""
    filled = round(min(max(remaining, 0.0), 1.0) * width)
    if remaining < 1:
        filled = min(filled, width - 1)
    if remaining > 0:
        filled = max(filled, 1)
    full, empty = ("#", "-") if is_plain else ("█", "░")
    return full * filled + empty * (width - filled)


def _budget_style(status: SLOStatus) -> str:
    if status.budget is None:
        return ""
    left = status.budget.remaining_ratio
    return "bold red" if left <= 0 else "yellow" if left < 0.25 else "green"


def overview_of(statuses: Sequence[SLOStatus], width: int, *, is_plain: bool) -> RenderableType:
    """A row per function; those with the least budget first, those without an objective last.

    Where alerts and causes do not fit beside the figures as they are, they stand below the table.
    """
    ordered = sorted(statuses, key=lambda one: one.budget.remaining_ratio if one.budget else float("inf"))
    bar = Column("", lambda one: _short_bar(one, is_plain=is_plain), is_number=False, from_width=2, style=_budget_style)
    figures = (*_FIGURES, bar)
    if table_width([*figures, *_WORDS], ordered) <= width:
        return function_table(width, [*figures, *_WORDS], ordered, has_whole_names=True)
    lines = [_below(status) for status in ordered if status.causes or _firing(status) != "-"]
    return Group(function_table(width, figures, ordered, has_whole_names=True), *lines)


def _below(status: SLOStatus) -> Text:
    firing = _firing(status)
    said = [Text(f"alerts fire: {firing}", "bold red")] if firing != "-" else []
    said += [Text(cause.sentence) for cause in status.causes[:1]]
    return Text(f"{escaped(status.function)}: ").append_text(Text("; ").join(said))


def _short_bar(status: SLOStatus, *, is_plain: bool) -> str:
    if status.budget is None:
        return ""
    return budget_bar(status.budget.remaining_ratio, _BAR_CHARACTERS_SHORT, is_plain=is_plain)


def _firing(status: SLOStatus) -> str:
    return ", ".join(alert.rule for alert in status.alerts if alert.state is AlertState.FIRING) or "-"


_FIGURES: Final = (
    Column("function", lambda one: escaped(one.function), is_number=False),
    Column("objective", lambda one: one.objective.text if one.objective else "none", is_number=False, from_width=1),
    Column("within", lambda one: share_text(one.good / one.total) if one.total else "-"),
    Column("burn", lambda one: burn_text(_present_burn(one))),
    Column(
        "budget",
        lambda one: percent_left(one.budget.remaining_ratio) if one.budget else "-",
        is_number=False,
        style=_budget_style,
    ),
)
_WORDS: Final = (
    Column("alerts", _firing, is_number=False, style=lambda one: "bold red" if _firing(one) != "-" else ""),
    Column("mostly", lambda one: one.causes[0].sentence if one.causes else "-", is_number=False),
)


def _present_burn(status: SLOStatus) -> float | None:
    """Burn rate over the long window of the quickest alert: an hour, for an objective over thirty days."""
    present_s = status.alerts[0].long_s if status.alerts else None
    return next((window.burn_rate for window in status.windows if window.window_s == present_s), None)


def story_of(status: SLOStatus, *, is_plain: bool) -> RenderableType:
    """All there is to say of one objective."""
    parts: list[RenderableType] = [_head(status), _verdict(status)]
    parts += _budget_lines(status, is_plain=is_plain)
    parts += [Text(), _windows(status), Text(QUANTILES_NOTE, "dim")]
    for title, lines in (
        ("alerts", list(_alert_lines(status))),
        ("causes", [Text(f"{cause.sentence} ({cause.requests:,})") for cause in status.causes]),
        ("notes", list(_notes(status))),
    ):
        if lines:
            parts += [Text(), Text(title, "bold"), *(Text("  ").append_text(line) for line in lines)]
    return Group(*parts)


def _head(status: SLOStatus) -> Text:
    promised = status.objective.text if status.objective else "no objective"
    return Text.assemble((escaped(status.function), "bold"), f"  {promised}  revision {status.revision}")


def _verdict(status: SLOStatus) -> Text:
    kind, said = verdict_of(status)
    if kind == "none":
        return Text(said)
    return Text.assemble(("held", "bold green") if kind == "met" else ("missed", "bold red"), f": {said}")


def _budget_lines(status: SLOStatus, *, is_plain: bool) -> Iterator[Text]:
    budget = status.budget
    if budget is None:
        return
    bar = budget_bar(budget.remaining_ratio, _BAR_CHARACTERS, is_plain=is_plain)
    left = percent_left(budget.remaining_ratio)
    yield Text.assemble("budget ", (bar, _budget_style(status)), f" {left} ({budget_text(status, budget)})")
    if budget.exhausted_in_s:
        yield Text(f"       burning as now it is used up in {long_text(budget.exhausted_in_s)}")


def _windows(status: SLOStatus) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    counted = ("window", "within", "burn", "requests") if status.objective else ("window", "served")
    for heading in (*counted, "p50", "p99"):
        table.add_column(heading, justify="left" if heading == "window" else "right", no_wrap=True)
    for window in status.windows:
        latency = window.latency_s
        if status.objective is None:
            figures = [f"{latency.served:,}" if latency else "-"]
        else:
            share = share_text(window.attainment) if window.attainment is not None else "-"
            figures = [share, burn_text(window.burn_rate), f"{window.total:,}"]
        table.add_row(
            long_text(window.window_s),
            *figures,
            duration_text(latency.p50) if latency and latency.p50 is not None else "-",
            duration_text(latency.p99) if latency and latency.p99 is not None else "-",
        )
    return table


def _alert_lines(status: SLOStatus) -> Iterator[Text]:
    styles = {AlertState.FIRING: "bold red", AlertState.PENDING: "yellow"}
    for alert in alerts_told(status):
        style = styles.get(alert.state, "")
        yield Text.assemble((f"{alert.rule} {alert.state.value}", style), f" {alert_text(alert, instant_text)}")


def _notes(status: SLOStatus) -> Iterator[Text]:
    for note in notes_of(status, instant_text):
        yield Text(escaped(note), "bold red" if note.startswith("the objective cannot be met") else "")
    if status.history.state is HistoryState.FAILING:
        yield Text(f"history is not kept: {escaped(status.history.why)}", "bold red")

"""How `sojourn slo show` looks in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sojourn.cli.function_table import clock_text
from sojourn.report.axis import duration_text, number_text, share_text
from sojourn.slo.alert import AlertState
from sojourn.slo.status import AlertStatus, HistoryState, SLOStatus
from sojourn.telemetry.log import escaped

_BAR_CHARACTERS = 24
_BAR_CHARACTERS_SHORT = 10
_DAY_S, _HOUR_S, _MINUTE_S = 86_400.0, 3600.0, 60.0
_CAUSE_FROM_WIDTH = 120


def long_text(value_s: float) -> str:
    """A long duration with the unit that suits it: "3.2 d", "14 min", "8 s"."""
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if value_s >= unit_s:
            return f"{value_s / unit_s:.3g} {unit}"
    return duration_text(value_s)


def budget_bar(remaining: float, width: int, *, is_plain: bool = False) -> str:
    """What is left of a budget, as a bar of `width` characters; empty once it is used up, full only if it is whole."""
    filled = round(min(max(remaining, 0.0), 1.0) * width)
    if remaining < 1:
        filled = min(filled, width - 1)
    if remaining > 0:
        filled = max(filled, 1)
    full, empty = ("#", "-") if is_plain else ("█", "░")
    return full * filled + empty * (width - filled)


def percent_left(remaining: float) -> str:
    """The share of a budget that is left, for people; what is far below zero is told in multiples."""
    if remaining < -1:
        return f"spent {1 - remaining:.3g} times over"
    return f"{remaining * 100:.3g} % left" if remaining >= 0 else f"overspent by {-remaining * 100:.3g} %"


def burn_text(burn: float | None) -> str:
    """A burn rate: "2.1x"; a dash without requests."""
    return "-" if burn is None else f"{burn:.3g}x"


def _budget_style(status: SLOStatus) -> str:
    if status.budget is None:
        return ""
    left = status.budget.remaining_ratio
    return "bold red" if left <= 0 else "yellow" if left < 0.25 else "green"


def overview_of(statuses: Sequence[SLOStatus], width: int, *, is_plain: bool) -> RenderableType:
    """A row per function; those with the least budget first, those without an objective last."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading, is_number in (("function", False), ("objective", False), ("within", True), ("budget", False)):
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=True)
    table.add_column("burn", justify="right", no_wrap=True)
    table.add_column("alerts", no_wrap=True)
    has_causes = width >= _CAUSE_FROM_WIDTH
    if has_causes:
        table.add_column("mostly", no_wrap=True)
    for status in sorted(statuses, key=lambda one: one.budget.remaining_ratio if one.budget else float("inf")):
        budget = Text("-")
        if status.budget is not None:
            left = status.budget.remaining_ratio
            bar = budget_bar(left, _BAR_CHARACTERS_SHORT, is_plain=is_plain)
            budget = Text(f"{bar} {percent_left(left)}", _budget_style(status))
        firing = [alert.rule for alert in status.alerts if alert.state is AlertState.FIRING]
        row: list[RenderableType] = [
            Text(escaped(status.function)),
            Text(status.objective.text if status.objective else "none"),
            Text(share_text(status.good / status.total) if status.total else "-"),
            budget,
            Text(burn_text(_present_burn(status))),
            Text(", ".join(firing) or "-", "bold red" if firing else ""),
        ]
        if has_causes:
            row.append(Text(status.causes[0].sentence if status.causes else "-"))
        table.add_row(*row)
    return table


def _present_burn(status: SLOStatus) -> float | None:
    """Burn rate over the long window of the quickest alert: an hour, for an objective over thirty days."""
    present_s = status.alerts[0].long_s if status.alerts else None
    return next((window.burn_rate for window in status.windows if window.window_s == present_s), None)


def story_of(status: SLOStatus, *, is_plain: bool) -> RenderableType:
    """All there is to say of one objective."""
    parts: list[RenderableType] = [_head(status), _verdict(status)]
    parts += _budget_lines(status, is_plain=is_plain)
    parts += [Text(), _windows(status)]
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
    if not status.total:
        return Text("no request counted yet: nothing can be said of the objective")
    share = share_text(status.good / status.total)
    if status.objective is None:
        return Text(f"{status.total:,} requests; without an objective nothing is promised")
    counted = f"{share} of {status.total:,} requests were answered within {duration_text(status.objective.latency_s)}"
    promised = f"{status.objective.objective * 100:.10g} % were promised"
    if status.is_met:
        return Text.assemble(("held", "bold green"), f": {counted}; {promised}")
    return Text.assemble(("missed", "bold red"), f": {counted}; {promised}")


def _budget_lines(status: SLOStatus, *, is_plain: bool) -> Iterator[Text]:
    budget = status.budget
    if budget is None:
        return
    bar = budget_bar(budget.remaining_ratio, _BAR_CHARACTERS, is_plain=is_plain)
    spent = f"{budget.spent:,} bad of {number_text(budget.allowed)} allowed"
    yield Text.assemble(
        "budget ", (bar, _budget_style(status)), f" {percent_left(budget.remaining_ratio)} ({spent} so far)"
    )
    if budget.exhausted_in_s:
        yield Text(f"       burning as now it is used up in {long_text(budget.exhausted_in_s)}")


def _windows(status: SLOStatus) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for heading in ("window", "within", "burn", "requests", "p50", "p99"):
        table.add_column(heading, justify="left" if heading == "window" else "right", no_wrap=True)
    for window in status.windows:
        latency = window.latency_s
        table.add_row(
            window.name,
            share_text(window.attainment) if window.attainment is not None else "-",
            burn_text(window.burn_rate),
            f"{window.total:,}",
            duration_text(latency.p50) if latency and latency.p50 is not None else "-",
            duration_text(latency.p99) if latency and latency.p99 is not None else "-",
        )
    return table


def _alert_lines(status: SLOStatus) -> Iterator[Text]:
    for alert in status.alerts:
        if alert.state is AlertState.INACTIVE:
            continue
        since = f" since {clock_text(alert.since)}" if alert.since else ""
        style = (
            "bold red" if alert.state is AlertState.FIRING else "yellow" if alert.state is AlertState.PENDING else ""
        )
        yield Text.assemble(
            (f"{alert.rule} {alert.state.value}", style), f" ({alert.severity.value}){since}{_why(alert)}"
        )


def _why(alert: AlertStatus) -> str:
    if not alert.factor:
        return ": what is counted now will be forgotten when the server ends"
    now = f"{burn_text(alert.long_burn)} and {burn_text(alert.short_burn)}"
    return f": budget burns at {now} over {long_text(alert.long_s)} and {long_text(alert.short_s)}, limit {alert.factor:g}x"


def _notes(status: SLOStatus) -> Iterator[Text]:
    if status.client_faults or status.cancelled:
        yield Text(
            f"left out: {status.client_faults:,} requests with a fault of the client's, "
            f"{status.cancelled:,} whose client left before the deadline"
        )
    for gap in status.gaps:
        why = (
            "the server was stopped"
            if gap.was_planned
            else "the server was killed: up to 10 s before it are missing, too"
        )
        yield Text(f"nothing is known of {long_text(gap.duration_s)} from {escaped(gap.begins_at)}: {why}")
    whole_s = status.objective.window_s if status.objective else 30 * _DAY_S
    if status.known_s < whole_s * 0.99:
        yield Text(f"known so far: {long_text(status.known_s)} of {long_text(whole_s)}")
    if status.history.state is HistoryState.FAILING:
        yield Text(f"history is not kept: {escaped(status.history.why)}", "bold red")
    elif status.history.state is HistoryState.OFF:
        yield Text("history is kept in memory only: this server has no state directory of its own (--port 0)")

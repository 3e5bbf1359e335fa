"""The page of objectives: one section per function, in one file that opens anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from sojourn.report.axis import duration_text, number_text, share_text
from sojourn.report.heat import HEAT_STYLE
from sojourn.report.page import STYLE, figure, keys, number_table
from sojourn.report.slo_chart import (
    BUDGET_DRAWN_MIN,
    attainment_chart,
    budget_chart,
    budget_course,
    heat_chart,
    rate_chart,
    replica_chart,
)
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
from sojourn.slo.status import HistoryState, SLOHistory, SLOStatus

_STYLE_HERE = """
.cell.good { fill: var(--good); opacity: .75; } .cell.lost { fill: var(--lost); opacity: .9; }
.gap { fill: var(--soft); opacity: .25; } .gap.unplanned { fill: var(--late); opacity: .4; }
.bars { margin: 8px 0 0; } .bars div { display: flex; align-items: center; gap: 10px; margin: 4px 0; }
.bars .track { flex: 0 0 220px; height: 12px; background: var(--card); border-radius: 3px; overflow: hidden; }
.bars .fill { height: 100%; background: var(--lost); }
.budget { height: 18px; background: var(--card); border-radius: 4px; overflow: hidden; margin: 10px 0 4px; }
.budget .fill { height: 100%; background: var(--fine); } .budget .fill.low { background: var(--late); }
.key.planned { background: var(--soft); opacity: .4; } .key.unplanned { background: var(--late); opacity: .6; }
section { margin-top: 40px; } section:first-of-type { margin-top: 18px; } th { text-align: right; padding: 4px 0 4px 18px; }
th:first-child { text-align: left; padding-left: 0; } .windows { width: 100%; } h1 small { color: var(--soft); font-weight: 400; }
"""
_LOW_BUDGET = 0.25


def render(objectives: Sequence[tuple[SLOStatus, SLOHistory]]) -> str:
    """All objectives as one HTML document; it refers to nothing outside itself."""
    ends_at_s = max((history.ends_at_s for _, history in objectives), default=0.0)
    at = datetime.fromtimestamp(ends_at_s, UTC).strftime("%d %B %Y, %H:%M:%S UTC") if objectives else ""
    sections = "\n".join(_section(status, history) for status, history in objectives)
    title = f"Objective of {objectives[0][0].function}" if len(objectives) == 1 else "Objectives"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escape(title)}</title><style>{STYLE}{HEAT_STYLE}{_STYLE_HERE}</style></head><body>\n"
        f'<h1>{escape(title)}</h1><p class="subtitle">as of {escape(at)}</p>\n'
        f"{sections or '<p>No function is deployed.</p>'}\n"
        "<footer>Counts are exact. Latencies come from a histogram with a relative error of at most 1.083 %. Times are UTC."
        "</footer></body></html>\n"
    )


def _section(status: SLOStatus, history: SLOHistory) -> str:
    kind, verdict = _verdict(status)
    promised = status.objective.text if status.objective else "no objective"
    parts = [
        f"<section><h1>{escape(status.function)} <small>{escape(promised)}</small></h1>",
        f'<p class="subtitle">revision {escape(status.revision)}</p>',
        f'<div class="verdict {kind}">{escape(verdict)}</div>',
        _budget_bar(status),
        '<div class="numbers">' + "".join(number_table(rows) for rows in _numbers(status)) + "</div>",
        _alerts(status),
        _windows(status),
        *_figures(status, history),
        _causes(status),
        _notes(status),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _verdict(status: SLOStatus) -> tuple[str, str]:
    kind, said = verdict_of(status)
    if kind == "none":
        return kind, f"{said[0].upper()}{said[1:]}."
    return kind, f"{'Held' if kind == 'met' else 'Missed'}: {said}."


def _budget_bar(status: SLOStatus) -> str:
    budget = status.budget
    if budget is None:
        return ""
    left = budget.remaining_ratio
    width = 100 * min(max(left, 0.0), 1.0)
    kind = "fill low" if left < _LOW_BUDGET else "fill"
    said = f"Error budget: {percent_left(left)} ({budget_text(status, budget)})"
    if budget.exhausted_in_s:
        said += f"; burning as now, it is used up in {long_text(budget.exhausted_in_s)}"
    return f'<div class="budget"><div class="{kind}" style="width:{width:.1f}%"></div></div><p>{escape(said)}.</p>'


def _at(at: str) -> str:
    """The second in which an instant lies, as the API tells it; the page says that times are UTC."""
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S")


def _alerts(status: SLOStatus) -> str:
    lines = "".join(
        f"<p><strong>{escape(alert.rule)} {alert.state.value}</strong> {escape(alert_text(alert, _at))}</p>"
        for alert in alerts_told(status)
    )
    return f"<h2>Alerts</h2>{lines}" if lines else ""


def _numbers(status: SLOStatus) -> list[list[tuple[str, str]]]:
    counted = [
        ("requests that count", f"{status.total:,}"),
        ("bad requests", f"{status.total - status.good:,}"),
        ("bad requests allowed", number_text(status.budget.allowed) if status.budget else "-"),
    ]
    other = [
        ("left out: faults of clients", f"{status.client_faults:,}"),
        ("left out: cancelled in time", f"{status.cancelled:,}"),
        ("left out: client asked for less time", f"{status.client_timeouts:,}"),
    ]
    return [counted, other]


def _windows(status: SLOStatus) -> str:
    rows = []
    for window in status.windows:
        latency = window.latency_s
        cells = (
            long_text(window.window_s),
            share_text(window.attainment) if window.attainment is not None else "-",
            burn_text(window.burn_rate),
            f"{window.total if status.objective or not latency else latency.served:,}",
            duration_text(latency.p50) if latency and latency.p50 is not None else "-",
            duration_text(latency.p99) if latency and latency.p99 is not None else "-",
        )
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    heads = "".join(f"<th>{name}</th>" for name in ("window", "within", "burn rate", "requests", "p50", "p99"))
    note = f'<p class="subtitle">{QUANTILES_NOTE}.</p>'
    return f'<table class="windows"><tr>{heads}</tr>{"".join(rows)}</table>{note}'


def _figures(status: SLOStatus, history: SLOHistory) -> list[str]:
    if not history.cells:
        return []
    gaps = keys([("planned", "server stopped"), ("unplanned", "server killed")]) if history.gaps else ""
    found, objective = list[str](), ""
    target_since = status.former_objectives[-1].ends_at if status.former_objectives else None
    others = [former.ends_at for former in status.former_objectives if not former.judges_alike]
    latency_since = others[-1] if others else None
    if status.objective is not None:
        promised = f"{status.objective.objective * 100:.10g} %"
        found += [
            figure(
                "Requests within the objective",
                keys(
                    [
                        ("good", "in time"),
                        ("lost", "missed"),
                        ("objective", f"objective {promised}{_since(target_since)}"),
                    ]
                )
                + gaps,
                attainment_chart(history, _instant_s(target_since)),
            ),
            figure(
                "Error budget left",
                keys([("good", "left"), ("objective", "used up")]) + gaps + escape(_cut(history)),
                budget_chart(history),
            ),
        ]
        latency = f"objective {duration_text(status.objective.latency_s)}{_since(latency_since)}"
        objective = keys([("objective", latency)])
    found += [
        figure(
            "Latency",
            keys([("p99", "share of served requests; stronger is more")]) + objective + gaps,
            heat_chart(history, _instant_s(latency_since)),
        ),
        figure(
            "Requests per second", keys([("good", "all"), ("lost", "missed the objective")]) + gaps, rate_chart(history)
        ),
        figure("Replicas", gaps, replica_chart(history)),
    ]
    return found


def _since(at: str | None) -> str:
    return f" since {_at(at)}" if at else ""


def _instant_s(at: str | None) -> float:
    return datetime.fromisoformat(at).timestamp() if at else -math.inf


def _cut(history: SLOHistory) -> str:
    """What a plot of the budget that does not reach down to all of it leaves out, and the figure of now."""
    left = [value for _, value in budget_course(history)]
    if min(left, default=0.0) >= BUDGET_DRAWN_MIN:
        return ""
    return f"; below {BUDGET_DRAWN_MIN * 100:.0f} % it is cut: {left[-1] * 100:,.0f} % now"


def _causes(status: SLOStatus) -> str:
    if not status.causes:
        return ""
    rows = "".join(
        f'<div><span class="track"><span class="fill" style="display:block;width:{cause.share * 100:.1f}%"></span></span>'
        f"<span>{escape(cause.sentence)} ({cause.requests:,})</span></div>"
        for cause in status.causes
    )
    return f'<figure><h2>What spent the budget</h2><div class="bars">{rows}</div></figure>'


def _notes(status: SLOStatus) -> str:
    said = list(notes_of(status, _at))
    if status.history.state is HistoryState.FAILING:
        said.append(f"history is not kept: {status.history.why}")
    return "".join(f'<p class="subtitle">{escape(one[0].upper() + one[1:])}.</p>' for one in said)

"""The page of a simulated run: verdict, numbers, what was simulated, and the course of each function, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from sojourn.report.axis import duration_text
from sojourn.report.chart import size_histogram
from sojourn.report.heat import HEAT_STYLE
from sojourn.report.page import STYLE, figure, keys, number_table
from sojourn.report.sim_chart import (
    attainment_chart,
    batch_chart,
    latency_chart,
    queue_chart,
    rate_chart,
    replica_chart,
    start_chart,
)
from sojourn.report.sim_series import FUNCTION_HEADS, Course, FunctionReport, SimReport

_STYLE_HERE: Final = """
.cell.good { fill: var(--good); opacity: .75; } .cell.lost { fill: var(--lost); opacity: .9; } .cell.start { fill: var(--late); }
.line.halo { stroke: var(--paper); stroke-width: 5; opacity: .75; } .line.demand { stroke: var(--late); stroke-dasharray: 6 4; }
.line.bad { stroke: var(--lost); } .transient { fill: var(--soft); opacity: .16; }
.key.heat { background: var(--p99); opacity: .5; } .key.bad { background: var(--lost); } .key.start { background: var(--late); }
.key.demand { width: 18px; height: 0; border-top: 2px dashed var(--late); border-radius: 0; vertical-align: middle; }
.key.area { background: var(--good); opacity: .35; } .key.transient { background: var(--soft); opacity: .35; }
.column { float: right; } .remark { margin: 10px 0; padding: 8px 16px; border-left: 5px solid var(--late); background: var(--card); }
.wide { overflow: auto; max-height: 560px; margin-top: 8px; } .wide table { width: 100%; font-size: 13.5px; }
@media print { .wide { max-height: none; } } .wide th { position: sticky; top: 0; background: var(--paper); }
.wide th, .wide td { padding: 4px 0 4px 14px; white-space: nowrap; } .wide td { font-weight: 400; }
.wide th { text-align: right; color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--rule); }
.wide th:first-child, .wide td:first-child { text-align: left; padding-left: 0; } .wide td.missed { color: var(--lost); }
.wide td.met { color: var(--fine); } a { color: var(--good); text-decoration: none; } a:hover { text-decoration: underline; }
.why td:last-child { text-align: left; font-weight: 400; padding-left: 18px; } .why td { vertical-align: top; }
.why td:first-child { white-space: nowrap; color: var(--soft); } section { margin-top: 44px; border-top: 1px solid var(--rule);
  padding-top: 18px; } h2.function { font-size: 20px; } h2 small { color: var(--soft); font-weight: 400; }
"""


def render(report: SimReport) -> str:
    """The report as one HTML document; it refers to nothing outside itself."""
    parts = [
        f'<h1>{escape(report.title)}</h1><p class="subtitle">{escape(report.subtitle)}</p>',
        f'<div class="verdict {report.verdict}">{escape(report.verdict_text)}</div>',
        *(f'<p class="remark">{escape(remark)}</p>' for remark in report.remarks),
        _tables(report.numbers),
    ]
    if report.setting:
        parts.append(f"<h2>What was simulated</h2>{_tables(report.setting)}")
    with_course = [function for function in report.functions if function.course is not None]
    if len(report.functions) == 1:
        parts += _figures(report.functions[0])
    else:
        parts.append(_function_table(report.functions))
        if report.total is not None:
            parts += _total_figures(report.total)
        if len(with_course) < len(report.functions):
            parts.append(
                f'<p class="subtitle">The {len(with_course)} functions with the most traffic follow one by one.</p>'
            )
        parts += [_section(function) for function in with_course]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escape(report.title)}</title><style>{STYLE}{HEAT_STYLE}{_STYLE_HERE}</style></head><body>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>{escape(report.footer)}</footer>\n</body></html>\n"
    )


def _tables(tables: Sequence[Sequence[tuple[str, str]]]) -> str:
    return '<div class="numbers">' + "".join(number_table(rows) for rows in tables) + "</div>"


def _function_table(functions: Sequence[FunctionReport]) -> str:
    heads = "".join(f"<th>{escape(head)}</th>" for head in FUNCTION_HEADS)
    rows = "".join(_function_row(function) for function in functions)
    return f'<h2>Functions</h2><div class="wide"><table><tr>{heads}</tr>{rows}</table></div>'


def _function_row(function: FunctionReport) -> str:
    kind = "" if function.is_met is None else "met" if function.is_met else "missed"
    name = escape(function.name)
    cells = [f'<td><a href="#{name}">{name}</a></td>' if function.course is not None else f"<td>{name}</td>"]
    for head, text in zip(FUNCTION_HEADS[1:], function.row[1:], strict=True):
        cells.append(f'<td class="{kind}">{escape(text)}</td>' if head == "within" else f"<td>{escape(text)}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _section(function: FunctionReport) -> str:
    name, promised = escape(function.name), escape(function.slo or "no objective")
    kind = "none" if function.is_met is None else "met" if function.is_met else "missed"
    parts = [
        f'<section id="{name}"><h2 class="function">{name} <small>{promised}</small></h2>',
        f'<div class="verdict {kind}">{escape(function.verdict_text)}</div>',
        _tables(function.numbers),
        *_figures(function),
        "</section>",
    ]
    return "\n".join(parts)


def _figures(function: FunctionReport) -> list[str]:
    course = function.course
    if course is None or not course.stretches:
        return []
    promised = function.objective_s is not None
    shaded = _transient_key(course)
    aim = keys([("objective", f"objective {duration_text(function.objective_s)}")]) if promised else ""
    figures = [
        figure(
            "Latency against the objective" if promised else "Latency",
            keys([("heat", "share of served requests; stronger is more"), ("p50", "p50"), ("p99", "p99")])
            + aim
            + shaded
            + _column(course.readable(), "by arrival"),
            latency_chart(course, function.objective_s),
        )
    ]
    if function.objective is not None:
        figures.append(
            figure(
                "Share within the objective",
                keys([("good", "held"), ("lost", "missed")])
                + keys([("objective", f"objective {function.objective * 100:.10g} %")])
                + shaded
                + _column(course.readable()),
                attainment_chart(course, function.objective),
            )
        )
    figures += [_rate_figure(course, is_promised=promised), _replica_figure(course, function.full_batch)]
    if function.batch_sizes:
        figures += [
            figure(
                "Batch size",
                keys([("p99", f"mean per {_span(course.readable())}")]) + shaded,
                batch_chart(course),
            ),
            figure("Batches by size", "", size_histogram(function.batch_sizes)),
        ]
    figures.append(figure("Queue", keys([("area", f"most waiting per {_span(course)}")]) + shaded, queue_chart(course)))
    if any(stretch.starts for stretch in course.stretches):
        figures.append(figure("Cold starts", keys([("start", "replicas started")]) + shaded, start_chart(course)))
    return [*figures, _decisions(function.decisions)]


def _total_figures(course: Course) -> list[str]:
    return [_rate_figure(course, is_promised=True), _replica_figure(course, None)]


def _rate_figure(course: Course, *, is_promised: bool) -> str:
    is_lossy = any(stretch.late or stretch.lost for stretch in course.stretches)
    bad = [("bad", "late or not served" if is_promised else "not served")] if is_lossy else []
    return figure(
        "Arrivals and goodput",
        keys([("area", "arrivals"), ("p50", "served within the objective" if is_promised else "served"), *bad])
        + _transient_key(course)
        + _column(course.readable()),
        rate_chart(course),
    )


def _replica_figure(course: Course, full_batch: int | None) -> str:
    full = "full batches" if full_batch is None else f"batches of {full_batch}" if full_batch > 1 else "single calls"
    return figure(
        "Replicas against demand",
        keys([("area", "living"), ("p50", "ready"), ("demand", f"kept busy by the arrivals in {full}")])
        + _transient_key(course),
        replica_chart(course),
    )


def _decisions(decisions: Sequence[tuple[float, str]]) -> str:
    if not decisions:
        return ""
    rows = "".join(f"<tr><td>{at_s:,.2f} s</td><td>{escape(why)}</td></tr>" for at_s, why in decisions)
    return f'<figure><h2>Why it scaled</h2><figcaption>the last decisions</figcaption><table class="why">{rows}</table></figure>'


def _transient_key(course: Course) -> str:
    return keys([("transient", "transient, not counted")]) if course.transient_s else ""


def _column(course: Course, more: str = "") -> str:
    """How long a column of a plot is."""
    return f'<span class="column">one step is {_span(course)}{", " if more else ""}{more}</span>'


def _span(course: Course) -> str:
    return duration_text(course.stretch_s)

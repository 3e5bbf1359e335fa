"""The page around the plots: verdict, numbers and figures, in one file that opens anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal

import msgspec

from sojourn.report.axis import duration_text
from sojourn.report.chart import batch_chart, batch_histogram, latency_chart, rate_chart
from sojourn.report.series import RunSeries, intervals_of

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #1b1f24; --soft: #5b6570; --rule: #dde1e6;
  --good: #2f6fde; --late: #d9820f; --lost: #cc2f3d; --p50: #0d8a72; --p99: #7a3fc4; --fine: #187a3f; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1d2126; --ink: #e6e9ed; --soft: #9aa5b1;
  --rule: #30363d; --good: #6aa2ff; --late: #f0a640; --lost: #ff6b76; --p50: #3ecfb0; --p99: #c39bff; --fine: #56d08a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1000px; padding: 28px 20px 48px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 17px; margin: 0 0 2px; } p { margin: 4px 0; }
.subtitle, figcaption, footer { color: var(--soft); font-size: 13.5px; }
.verdict { margin: 18px 0; padding: 12px 16px; border-left: 5px solid var(--soft); background: var(--card); font-size: 17px; }
.verdict.met { border-color: var(--fine); } .verdict.missed { border-color: var(--lost); }
.verdict.void { border-color: var(--late); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 0 32px; margin: 8px 0 20px; }
.numbers table { width: 100%; align-self: start; }
td { padding: 4px 0; border-bottom: 1px solid var(--rule); } td + td { text-align: right; font-weight: 600; }
figure { margin: 26px 0 0; } svg { display: block; width: 100%; height: auto; margin-top: 6px; }
svg text { fill: var(--soft); font-size: 12px; } svg .title { font-size: 12px; }
.grid { stroke: var(--rule); } .tick { stroke: var(--soft); }
.dots { fill: none; stroke-width: 2.6; stroke-linecap: round; opacity: .55; } .dots.late, .dots.lost { opacity: .9; }
.dots.good { stroke: var(--good); } .dots.late { stroke: var(--late); } .dots.lost { stroke: var(--lost); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.p50 { stroke: var(--p50); } .line.p99 { stroke: var(--p99); } .line.edge { stroke: var(--good); stroke-width: 1.2; }
.area { fill: var(--good); opacity: .22; } .bar { fill: var(--good); }
.objective { stroke: var(--lost); stroke-width: 1.5; stroke-dasharray: 7 5; }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin: 0 5px 0 14px; }
.key:first-child { margin-left: 0; }
.key.good { background: var(--good); } .key.late { background: var(--late); } .key.lost { background: var(--lost); }
.key.objective { width: 18px; height: 0; border-top: 2px dashed var(--lost); border-radius: 0; vertical-align: middle; }
.key.p50 { background: var(--p50); } .key.p99 { background: var(--p99); }
footer { margin-top: 32px; }
"""


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """All a report of one run says.

    Args:
        title: Headline.
        subtitle: One line below it: what ran, with which workload.
        verdict: Whether the objective was met, missed, could not be judged (`void`), or was not asked for.
        verdict_text: The verdict in a sentence.
        numbers: Tables of (label, value) rows, side by side.
        objective_s: The latency objective in seconds, if any.
        series: What the plots are drawn from.
        footer: How it was measured.
    """

    title: str
    subtitle: str
    verdict: Literal["met", "missed", "void", "none"]
    verdict_text: str
    numbers: Sequence[Sequence[tuple[str, str]]]
    objective_s: float | None
    series: RunSeries
    footer: str = ""


def render(report: RunReport) -> str:
    """The report as one HTML document; it refers to nothing outside itself."""
    series = report.series
    intervals = intervals_of(series, report.objective_s)
    span = f"{intervals[0].span_s:.6g} s"
    figures = [
        figure(
            "Latency against the objective" if report.objective_s else "Latency",
            keys([("good", "within" if report.objective_s else "served"), ("late", "late"), ("lost", "not served")])
            + keys([("p50", f"p50 per {span}"), ("p99", f"p99 per {span}")])
            + (keys([("objective", f"objective {duration_text(report.objective_s)}")]) if report.objective_s else ""),
            latency_chart(series, intervals, report.objective_s),
        ),
        figure(
            "Arrival rate",
            keys([("good", "arrivals"), ("p50", "served within the objective" if report.objective_s else "served")]),
            rate_chart(series, intervals),
        ),
    ]
    if any(series.batch_size):
        figures += [
            figure(
                "Batch size",
                keys([("good", "batch a request was served in"), ("p99", f"mean per {span}")]),
                batch_chart(series, intervals),
            ),
            figure("Batches by size", "", batch_histogram(series)),
        ]
    tables = "".join(number_table(rows) for rows in report.numbers)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head><body>\n"
        f'<h1>{escape(report.title)}</h1><p class="subtitle">{escape(report.subtitle)}</p>\n'
        f'<div class="verdict {report.verdict}">{escape(report.verdict_text)}</div>\n'
        f'<div class="numbers">{tables}</div>\n' + "\n".join(figures) + f"\n<footer>{escape(report.footer)}</footer>\n"
        "</body></html>\n"
    )


def number_table(rows: Sequence[tuple[str, str]]) -> str:
    """A table of (label, value) rows."""
    cells = "".join(f"<tr><td>{escape(label)}</td><td>{escape(value)}</td></tr>" for label, value in rows)
    return f"<table>{cells}</table>"


def figure(title: str, caption: str, svg: str) -> str:
    """A plot under its title; the caption is HTML, as `keys` makes it."""
    return f"<figure><h2>{escape(title)}</h2><figcaption>{caption}</figcaption>{svg}</figure>"


def keys(entries: Sequence[tuple[str, str]]) -> str:
    """What the colours mean: (class, text) of each."""
    return "".join(f'<span class="key {kind}"></span>{escape(text)}' for kind, text in entries)

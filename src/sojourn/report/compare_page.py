"""The page of a comparison of policies: per workload what was found, cost against attainment, goodput, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec

from sojourn.report.compare_chart import PolicyMark, cost_chart, goodput_chart
from sojourn.report.page import STYLE, figure, keys

STUDY_STYLE: Final = """
.mark { stroke: var(--paper); stroke-width: 1.5; } .mark.held { fill: var(--fine); } .mark.missed { fill: var(--lost); }
:root { --doubt: #8a5200; } @media (prefers-color-scheme: dark) { :root { --doubt: #f0a640; } } /* --late as text */
.mark.uncertain { fill: var(--late); } .mark.none { fill: var(--good); } .whisker { stroke: var(--soft); stroke-width: 1.4; }
.line.front { stroke: var(--good); stroke-width: 1.3; stroke-dasharray: 3 4; opacity: .8; }
.limit { stroke: var(--p99); stroke-width: 1.6; stroke-dasharray: 9 4 2 4; } svg text.name { fill: var(--ink); }
.key.held { background: var(--fine); } .key.missed { background: var(--lost); } .key.uncertain { background: var(--late); }
.key.none { background: var(--good); } .key.limit { width: 20px; height: 0; border-top: 2px dashed var(--p99); border-radius: 0;
  vertical-align: middle; } .key.front { width: 18px; height: 0; border-top: 2px dotted var(--good); border-radius: 0;
  vertical-align: middle; }
.wide { overflow-x: auto; margin-top: 14px; } .wide table { width: 100%; font-size: 12.8px; }
.wide th, .wide td { padding: 4px 0 4px 11px; white-space: nowrap; text-align: right; font-weight: 400; }
.wide th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--rule); }
.wide th:first-child, .wide td:first-child { text-align: left; padding-left: 0; }
.wide td.name, .wide.named th:nth-child(2) { text-align: left; } .wide td.held { color: var(--fine); } .wide td.missed { color: var(--lost); } .wide td.uncertain { color: var(--doubt); }
.wide tr.chosen td { font-weight: 700; } .finding { margin: 6px 0; } section { margin-top: 44px; padding-top: 18px;
  border-top: 1px solid var(--rule); } section > h2 { font-size: 20px; }
.remark { margin: 10px 0; padding: 8px 16px; border-left: 5px solid var(--late); background: var(--card); }
"""


class WorkloadSection(msgspec.Struct, frozen=True, kw_only=True):
    """All policies on one workload.

    Args:
        title: Its name.
        subtitle: Its rate and how often it was run.
        findings: What can be said with evidence, a sentence each.
        heads: Heads of the table.
        policies: In the order they are shown.
        objective: The share promised; None without a promise, or with several.
        rate_per_s: Mean arrival rate.
        goodput_bound_per_s: Most any policy can reach; None if unknown.
        cost_bound_s: Least replica time that holds the objective; None if unknown.
    """

    title: str
    subtitle: str
    findings: Sequence[str]
    heads: Sequence[str]
    policies: Sequence[PolicyMark]
    objective: float | None
    rate_per_s: float
    goodput_bound_per_s: float | None
    cost_bound_s: float | None


class CompareReport(msgspec.Struct, frozen=True, kw_only=True):
    """All the page says.

    Args:
        title: Headline.
        subtitle: What was compared.
        remarks: What a reader must know before the rest, such as that it is partial.
        sections: One per workload.
        footer: How it was measured.
    """

    title: str
    subtitle: str
    remarks: Sequence[str]
    sections: Sequence[WorkloadSection]
    footer: str


def render(report: CompareReport) -> str:
    """The report as one HTML document; it refers to nothing outside itself."""
    sections = "\n".join(_section(section) for section in report.sections)
    return document(report.title, report.subtitle, report.remarks, sections, report.footer)


def document(title: str, subtitle: str, remarks: Sequence[str], content: str, footer: str) -> str:
    """A page of a study around its content (HTML)."""
    told = "".join(f'<p class="remark">{escape(remark)}</p>' for remark in remarks)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escape(title)}</title><style>{STYLE}{STUDY_STYLE}</style></head><body>\n"
        f'<h1>{escape(title)}</h1><p class="subtitle">{escape(subtitle)}</p>\n{told}\n{content}\n'
        f"<footer>{escape(footer)}</footer>\n</body></html>\n"
    )


def wide_table(heads: Sequence[str], rows: Sequence[tuple[Sequence[str], Sequence[str], bool]]) -> str:
    """A table that scrolls sideways where it must: (cells, class of each cell, whether the row is the chosen one)."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(_table_row(cells, kinds, is_chosen=is_chosen) for cells, kinds, is_chosen in rows)
    named = " named" if any("name" in kinds for _, kinds, _ in rows) else ""
    return f'<div class="wide{named}"><table><tr>{head}</tr>{body}</table></div>'


def _table_row(cells: Sequence[str], kinds: Sequence[str], *, is_chosen: bool) -> str:
    columns = "".join(
        f'<td class="{kind}">{escape(cell)}</td>' if kind else f"<td>{escape(cell)}</td>"
        for cell, kind in zip(cells, kinds, strict=True)
    )
    return f'<tr class="chosen">{columns}</tr>' if is_chosen else f"<tr>{columns}</tr>"


def _section(section: WorkloadSection) -> str:
    findings = "".join(f'<p class="finding">{escape(text)}</p>' for text in section.findings)
    rows = [
        ([str(number), *policy.cells], ["", "name", policy.verdict, *[""] * (len(policy.cells) - 2)], policy.is_best)
        for number, policy in enumerate(section.policies, start=1)
    ]
    figures = []
    if all(policy.attainment is not None for policy in section.policies):
        figures.append(
            figure(
                "Attainment against cost",
                keys(_verdict_keys(section))
                + keys([("front", "no policy has both more on time and less replica time")])
                + (keys([("objective", "objective")]) if section.objective is not None else "")
                + (
                    keys([("limit", "least that holds it, for any policy")]) if section.cost_bound_s is not None else ""
                ),
                cost_chart(section.policies, section.objective, section.cost_bound_s),
            )
        )
    figures.append(
        figure(
            "Goodput against the limit",
            keys(_verdict_keys(section))
            + (keys([("limit", "most any policy can reach")]) if section.goodput_bound_per_s is not None else ""),
            goodput_chart(section.policies, section.goodput_bound_per_s, section.rate_per_s),
        )
    )
    return (
        f'<section><h2>{escape(section.title)}</h2><p class="subtitle">{escape(section.subtitle)}</p>{findings}'
        + wide_table(["", *section.heads], rows)
        + "\n".join(figures)
        + "</section>"
    )


def _verdict_keys(section: WorkloadSection) -> list[tuple[str, str]]:
    names = {"held": "objective held", "missed": "missed", "uncertain": "uncertain", "none": "policies"}
    seen = {policy.verdict for policy in section.policies}
    return [(kind, name) for kind, name in names.items() if kind in seen]

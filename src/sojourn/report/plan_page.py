"""The page of a plan: the answer, the curve it was read from, and what more traffic costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final, Literal

import msgspec

from sojourn.report.axis import Axis, duration_text, number_text, round_top, share_text
from sojourn.report.compare_chart import Span, upright, whisker
from sojourn.report.compare_page import document, wide_table
from sojourn.report.page import figure, keys
from sojourn.report.plot import Frame, across, upward

_SPAN_MIN: Final = 1e-9


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One pool under one traffic.

    Args:
        at: What was varied: replicas, or requests per second.
        attainment: Share within the objective.
        verdict: What it says of the objective.
        cost_s: Replica time.
        is_chosen: Whether it is the answer.
        cells: Its row of the table: what was varied, attainment, ...
    """

    at: float
    attainment: Span
    verdict: Literal["held", "missed", "uncertain", "none"]
    cost_s: Span
    is_chosen: bool
    cells: Sequence[str]


class PlanSection(msgspec.Struct, frozen=True, kw_only=True):
    """One question with its answer.

    Args:
        title: The question in short.
        verdict: `met` with an answer, `missed` without, `void` if it was interrupted.
        answer: The answer in a sentence.
        remarks: What a reader must know of it.
        unit: What was varied, for the axis.
        bound: What no policy can do without (or pass), in the same unit; None if unknown.
        objective: The share promised.
        heads: Heads of the table.
        points: The curve, in order.
    """

    title: str
    verdict: Literal["met", "missed", "void"]
    answer: str
    remarks: Sequence[str]
    unit: str
    bound: float | None
    objective: float
    heads: Sequence[str]
    points: Sequence[CurvePoint]


class PlanReport(msgspec.Struct, frozen=True, kw_only=True):
    """All the page says.

    Args:
        title: Headline.
        subtitle: What was planned.
        remarks: What a reader must know before the rest.
        growth: What more traffic costs, one (label of the traffic, rate, replicas, replica time) each; none if not asked.
        sections: The questions.
        footer: How it was measured.
    """

    title: str
    subtitle: str
    remarks: Sequence[str]
    growth: Sequence[tuple[str, float, int | None, float | None]]
    sections: Sequence[PlanSection]
    footer: str


def render(report: PlanReport) -> str:
    """The report as one HTML document; it refers to nothing outside itself."""
    parts = []
    if len(report.growth) > 1:
        parts.append(figure("What more traffic costs", "", _growth_chart(report.growth)))
        parts.append(wide_table(("traffic", "requests/s", "replicas", "replica time"), _growth_rows(report.growth)))
    parts += [_section(section) for section in report.sections]
    return document(report.title, report.subtitle, report.remarks, "\n".join(parts), report.footer)


def _section(section: PlanSection) -> str:
    rows = [
        (point.cells, ["", point.verdict, point.verdict, *[""] * (len(point.cells) - 3)], point.is_chosen)
        for point in section.points
    ]
    remarks = "".join(f'<p class="finding">{escape(remark)}</p>' for remark in section.remarks)
    parts = [
        f'<section><h2>{escape(section.title)}</h2><div class="verdict {section.verdict}">{escape(section.answer)}</div>',
        remarks,
    ]
    if section.points:
        said = [("objective", "objective"), ("held", "held"), ("missed", "missed"), ("uncertain", "uncertain")]
        limit = [("limit", "no policy can do better")] if section.bound is not None else []
        parts += [
            figure("Attainment", keys(said + limit), _attainment_chart(section)),
            figure("Replica time", keys([("limit", "no policy can do better")] if limit else []), _cost_chart(section)),
            wide_table(section.heads, rows),
        ]
    return "".join(parts) + "</section>"


def _attainment_chart(section: PlanSection) -> str:
    """Attainment over what was varied, with its interval, the objective and the answer."""
    lowest = min([section.objective, *(point.attainment.ends[0] for point in section.points)])
    low = 0.0 if lowest < 0.1 else max(1.0 - 1.15 * (1.0 - lowest) - 0.002, 0.0)
    frame = Frame(
        _varied(section),
        upward(1.0 + (1.0 - low) * 0.04, low),
        "within the objective",
        lambda value: share_text(round(value, 9)) if value <= 1.0 else "",
        section.unit,
        _tick_text(section),
    )
    points = section.points
    return frame.draw(
        f"Attainment by {section.unit}",
        frame.level(section.objective),
        upright(frame, section.bound) if section.bound is not None else "",
        frame.line([(point.at, point.attainment.mean) for point in points], "edge"),
        *(whisker(frame, *((point.at, end) for end in point.attainment.ends)) for point in points),
        *(
            frame.mark(
                point.at, point.attainment.mean, point.verdict, ", ".join(point.cells), 7.0 if point.is_chosen else 4.0
            )
            for point in points
        ),
        *(
            frame.label(point.at, (low + point.attainment.mean) / 2, f"answer: {number_text(point.at)}")
            + frame.line([(point.at, low), (point.at, point.attainment.mean)], "edge")
            for point in points
            if point.is_chosen
        ),
    )


def _cost_chart(section: PlanSection) -> str:
    points = section.points
    top = round_top(max([*(point.cost_s.ends[1] for point in points), _SPAN_MIN]) * 1.08, 5)
    frame = Frame(
        _varied(section),
        upward(top),
        "replica time",
        lambda value: duration_text(value, top),
        section.unit,
        _tick_text(section),
    )
    return frame.draw(
        f"Replica time by {section.unit}",
        upright(frame, section.bound) if section.bound is not None else "",
        frame.line([(point.at, point.cost_s.mean) for point in points], "edge"),
        *(whisker(frame, *((point.at, end) for end in point.cost_s.ends)) for point in points),
        *(
            frame.mark(
                point.at, point.cost_s.mean, point.verdict, ", ".join(point.cells), 7.0 if point.is_chosen else 4.0
            )
            for point in points
        ),
    )


def _tick_text(section: PlanSection) -> Callable[[float], str]:
    """Half a replica is no tick."""
    are_whole = all(point.at == int(point.at) for point in section.points) and section.points[-1].at < 50
    return _whole_text if are_whole else number_text


def _whole_text(value: float) -> str:
    return number_text(round(value)) if abs(value - round(value)) < 1e-9 else ""


def _varied(section: PlanSection) -> Axis:
    ats = [point.at for point in section.points] + ([section.bound] if section.bound is not None else [])
    low, high = min(ats), max(ats)
    room = max((high - low) * 0.06, high * 0.05, _SPAN_MIN)
    return across(max(low - room, 0.0), high + room)


def _growth_chart(growth: Sequence[tuple[str, float, int | None, float | None]]) -> str:
    """Replicas needed over the traffic; a straight line from the origin would be cost in proportion."""
    known = [(rate_per_s, float(replicas)) for _, rate_per_s, replicas, _ in growth if replicas is not None]
    right = max(rate_per_s for _, rate_per_s, _, _ in growth)
    top = round_top(max([1.0, *(replicas for _, replicas in known)]) * 1.1, 5)
    frame = Frame(across(0.0, right * 1.08), upward(top), "replicas", _whole_text, "requests per second", number_text)
    return frame.draw(
        "Replicas needed by traffic",
        frame.line(known, "edge"),
        *(
            frame.mark(rate_per_s, replicas, "held", f"{number_text(rate_per_s)}/s: {number_text(replicas)} replicas")
            + frame.label(rate_per_s, replicas - top * 0.04, number_text(replicas))
            for rate_per_s, replicas in known
        ),
    )


def _growth_rows(
    growth: Sequence[tuple[str, float, int | None, float | None]],
) -> list[tuple[list[str], list[str], bool]]:
    return [
        (
            [
                label,
                number_text(rate_per_s),
                "none found" if replicas is None else number_text(replicas),
                duration_text(cost_s),
            ],
            [""] * 4,
            False,
        )
        for label, rate_per_s, replicas, cost_s in growth
    ]

"""The plots of an objective's history, each one SVG element as text. Colours are classes; the page's style gives them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape

from sojourn.report.axis import Axis, duration_text, number_text, round_top, share_text
from sojourn.report.heat import heat_column, heat_row, heat_rows, heat_ticks
from sojourn.slo.status import Gap, SLOHistory

WIDTH_PX, HEIGHT_PX = 920, 230
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 92, 14, 12, 34
_TICKS = 7
_LABEL_PX = 30  # half a label: one nearer to the end than this ends there
BUDGET_DRAWN_MIN = -1.0  # a plot that reached down to -8,000 % would show nothing above 0
_RATE_OVER_S_MIN = 1.0  # a cell that has just begun is no rate: its first request would be a thousand a second
_STEPS_S = (10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 3 * 86_400, 7 * 86_400)

Point = tuple[float, float]


def attainment_chart(history: SLOHistory, since_s: float) -> str:
    """Share of good requests per cell against the objective; the axis begins a little below the worst.

    A column with requests is as high as the plot: what was missed fills it up from above, so that the worst is seen best
    and only a time without requests is empty. The objective's line begins where it was first in force, at `since_s`
    (seconds since the epoch).
    """
    assert history.objective is not None, "drawn only where something is promised"
    promised = history.objective.objective
    shares = [(cell, cell.good / cell.total) for cell in history.cells if cell.total]
    allowed = 1 - promised
    worst = min([share for _, share in shares], default=promised)
    low = max(0.0, min(worst, promised - 2 * allowed) - 0.1 * (1 - worst + allowed))
    x, y = _time_axis(history), Axis(low, 1.0, HEIGHT_PX - _BOTTOM_PX, _TOP_PX)
    parts = [_gap_marks(history, x)]
    for cell, share in shares:
        left, right = x.px(cell.starts_at_s), x.px(cell.starts_at_s + cell.duration_s)
        width = max(right - left - 0.5, 0.8)
        for kind, lower, upper in (("good", low, share), ("lost", share, 1.0)):
            if upper > lower:
                top = y.px(upper)
                parts.append(
                    f'<rect class="cell {kind}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
                    f'height="{y.px(lower) - top:.1f}"/>'
                )
    parts.append(_level(x, y.px(promised), since_s))
    return _svg("Share of requests within the objective", _axes(x, y, share_text, history) + "".join(parts))


def budget_chart(history: SLOHistory) -> str:
    """What was left of the error budget; below zero the objective is missed.

    Budgets spent more than twice over lie on the bottom of the plot: the figure is told beside it.
    """
    points = budget_course(history)
    lowest = max(min([left for _, left in points], default=0.0), BUDGET_DRAWN_MIN)
    low = max(-round_top(-lowest * 1.05, 4), BUDGET_DRAWN_MIN) if lowest < 0 else 0.0
    x, y = _time_axis(history), Axis(low, 1.0, HEIGHT_PX - _BOTTOM_PX, _TOP_PX)
    parts = [_gap_marks(history, x)]
    if points:
        steps: list[Point] = []
        for (at_s, left), (_, before) in zip(points, [points[0], *points], strict=False):
            steps += [(x.px(at_s), y.px(before)), (x.px(at_s), y.px(left))]
        zero = y.px(0.0)
        parts.append(f'<path class="area" d="{_path([(steps[0][0], zero), *steps, (steps[-1][0], zero)])}Z"/>')
        parts.append(f'<path class="line edge" d="{_path(steps)}"/>')
    parts.append(_level(x, y.px(0.0)))
    return _svg(
        "Error budget left", _axes(x, y, lambda value: f"{number_text(value * 100)} %", history) + "".join(parts)
    )


def budget_course(history: SLOHistory) -> list[Point]:
    """(Instant, what was left of the budget): from each instant on until the next, the last of them being now.

    The budget is that of all requests of the window, so that the last is what is left now. A cell has what was left at
    its end: in which part of it the budget was spent is not known. Empty without requests.
    """
    assert history.objective is not None, "drawn only where something is promised"
    total = history.total_before + sum(cell.total for cell in history.cells)
    allowed = (1 - history.objective.objective) * total
    bad = history.total_before - history.good_before
    if not allowed:
        return []
    points = [(min([history.begins_at_s, *(cell.starts_at_s for cell in history.cells[:1])]), 1 - bad / allowed)]
    for cell in history.cells:
        bad += cell.total - cell.good
        points.append((cell.starts_at_s, 1 - bad / allowed))
    return [*points, (history.ends_at_s, points[-1][1])]


def heat_chart(history: SLOHistory, since_s: float) -> str:
    """Latency over time: each column shows which share of its served requests took how long; stronger is more.

    The line of the objective's latency begins where that was first in force, at `since_s` (seconds since the epoch).
    """
    objective_s = history.objective.latency_s if history.objective else None
    rows_low, rows_high = heat_rows((cell.latency for cell in history.cells), objective_s)
    x, y = _time_axis(history), Axis(rows_low, rows_high, HEIGHT_PX - _BOTTOM_PX, _TOP_PX)
    parts = [_gap_marks(history, x)]
    for cell in history.cells:
        left, right = x.px(cell.starts_at_s), x.px(cell.starts_at_s + cell.duration_s)
        parts.append(heat_column(cell.latency, left, right, y))
    if objective_s is not None:
        parts.append(_level(x, y.px(heat_row(objective_s)), since_s))
    return _svg("Latency over time", _heat_axes(x, y, rows_low, rows_high, history) + "".join(parts))


def replica_chart(history: SLOHistory) -> str:
    """Mean number of replicas per cell, and arrivals per second beside it as a line of their own scale."""
    replicas = [(cell, cell.replica_s / cell.duration_s) for cell in history.cells]
    top = round_top(max([1.0, *(count for _, count in replicas)]) * 1.05, 4)
    x, y = _time_axis(history), Axis(0.0, top, HEIGHT_PX - _BOTTOM_PX, _TOP_PX)
    parts = [_gap_marks(history, x)]
    for cell, count in replicas:
        left, right = x.px(cell.starts_at_s), x.px(cell.starts_at_s + cell.duration_s)
        at = y.px(count)
        parts.append(
            f'<rect class="cell good" x="{left:.1f}" y="{at:.1f}" width="{max(right - left - 0.5, 0.8):.1f}" '
            f'height="{max(y.px(0.0) - at, 0):.1f}"/>'
        )
    return _svg("Replicas over time", _axes(x, y, number_text, history) + "".join(parts))


def rate_chart(history: SLOHistory) -> str:
    """Arrivals per second, per cell; the part that missed the objective in another colour."""
    rates = [(cell, cell.arrivals / max(cell.duration_s, _RATE_OVER_S_MIN)) for cell in history.cells]
    top = round_top(max([1e-3, *(rate for _, rate in rates)]) * 1.05, 4)
    x, y = _time_axis(history), Axis(0.0, top, HEIGHT_PX - _BOTTOM_PX, _TOP_PX)
    parts = [_gap_marks(history, x)]
    for cell, rate in rates:
        left, right = x.px(cell.starts_at_s), x.px(cell.starts_at_s + cell.duration_s)
        bad_rate = (cell.total - cell.good) / max(cell.duration_s, _RATE_OVER_S_MIN)
        for kind, low, high in (("good", bad_rate, max(rate, bad_rate)), ("lost", 0.0, bad_rate)):
            if high > low:
                parts.append(
                    f'<rect class="cell {kind}" x="{left:.1f}" y="{y.px(high):.1f}" '
                    f'width="{max(right - left - 0.5, 0.8):.1f}" height="{y.px(low) - y.px(high):.1f}"/>'
                )
    return _svg("Requests per second over time", _axes(x, y, number_text, history) + "".join(parts))


# ---- shared


def _time_axis(history: SLOHistory) -> Axis:
    # The first cell may begin before the window does; a window without length has no axis.
    begins_s = min([history.begins_at_s, *(cell.starts_at_s for cell in history.cells[:1])])
    return Axis(begins_s, max(history.ends_at_s, begins_s + 1.0), _LEFT_PX, WIDTH_PX - _RIGHT_PX)


def _instant_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _gap_marks(history: SLOHistory, x: Axis) -> str:
    return "".join(_gap_mark(gap, x) for gap in history.gaps)


def _gap_mark(gap: Gap, x: Axis) -> str:
    left, right = x.px(_instant_s(gap.begins_at)), x.px(_instant_s(gap.ends_at))
    kind = "planned" if gap.was_planned else "unplanned"
    why = "the server was stopped" if gap.was_planned else "the server was killed"
    return (
        f'<rect class="gap {kind}" x="{left:.1f}" y="{_TOP_PX}" width="{max(right - left, 1.5):.1f}" '
        f'height="{HEIGHT_PX - _TOP_PX - _BOTTOM_PX}"><title>{escape(f"{gap.begins_at} to {gap.ends_at}: {why}")}</title></rect>'
    )


def _level(x: Axis, at_px: float, since_s: float = -math.inf) -> str:
    return f'<line class="objective" x1="{x.px(since_s):.1f}" x2="{x.to_px}" y1="{at_px:.1f}" y2="{at_px:.1f}"/>'


def _axes(x: Axis, y: Axis, text: Callable[[float], str], history: SLOHistory) -> str:
    ticks = [(y.px(value), text(value)) for value in y.ticks(5)]
    return _grid(x, ticks) + _time_ticks(x, history)


def _heat_axes(x: Axis, y: Axis, low: int, high: int, history: SLOHistory) -> str:
    return _grid(x, [(y.px(row), duration_text(value_s)) for row, value_s in heat_ticks(low, high)]) + _time_ticks(
        x, history
    )


def _grid(x: Axis, ticks: Sequence[tuple[float, str]]) -> str:
    return "".join(
        f'<line class="grid" x1="{x.from_px}" x2="{x.to_px}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text x="{x.from_px - 8}" y="{at + 4:.1f}" text-anchor="end">{escape(label)}</text>'
        for at, label in ticks
    )


def _time_ticks(x: Axis, history: SLOHistory) -> str:
    span_s = x.high - x.low
    step_s = next((step for step in _STEPS_S if span_s / step <= _TICKS), 30 * 86_400)
    form = "%d %b" if step_s >= 86_400 else "%H:%M" if step_s >= 60 else "%H:%M:%S"
    first = math.ceil(x.low / step_s)
    parts = []
    for number in range(first, math.floor(x.high / step_s) + 1):
        at = x.px(number * step_s)
        label = datetime.fromtimestamp(number * step_s, UTC).strftime(form)
        anchor = "end" if at > x.to_px - _LABEL_PX else "middle"
        parts.append(
            f'<line class="tick" x1="{at:.1f}" x2="{at:.1f}" y1="{HEIGHT_PX - _BOTTOM_PX}" y2="{HEIGHT_PX - _BOTTOM_PX + 4}"/>'
            f'<text x="{at:.1f}" y="{HEIGHT_PX - _BOTTOM_PX + 18}" text-anchor="{anchor}">{label}</text>'
        )
    day = datetime.fromtimestamp(history.ends_at_s, UTC).strftime("%d %b %Y, UTC")
    parts.append(f'<text class="title" x="{x.to_px}" y="{HEIGHT_PX - 2}" text-anchor="end">{day}</text>')
    return "".join(parts)


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{left:.1f},{top:.1f}" for left, top in points)


def _svg(title: str, content: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{content}</svg>"
    )

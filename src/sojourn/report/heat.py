"""A heat map of latencies: columns of time, rows of a logarithmic scale, darker where more requests lie."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sojourn.report.axis import Axis

HEAT_STYLE = """
.heat { fill: var(--p99); } .h1 { opacity: .12; } .h2 { opacity: .26; } .h3 { opacity: .42; } .h4 { opacity: .6; }
.h5 { opacity: .8; } .h6 { opacity: 1; }
"""
_ROWS_PER_DECADE = 8
_LEVELS = 6
_ROWS_LEAST = 4
_SMALLEST_S = 1e-6

Counted = Sequence[tuple[float, int]]  # (latency in seconds, requests)


def heat_row(latency_s: float) -> float:
    """Height of a latency on the logarithmic scale, in rows."""
    return math.log10(max(latency_s, _SMALLEST_S)) * _ROWS_PER_DECADE


def heat_rows(columns: Iterable[Counted], objective_s: float | None = None) -> tuple[int, int]:
    """The lowest and the highest row that all columns and the objective need."""
    values = [latency_s for column in columns for latency_s, _ in column]
    marks = [*values, *([objective_s] if objective_s else [])]
    low = math.floor(heat_row(min(marks, default=1e-3)))
    return low, max(math.ceil(heat_row(max(marks, default=1.0))) + 1, low + _ROWS_LEAST)


def heat_ticks(low: int, high: int) -> list[tuple[float, float]]:
    """The round latencies between two rows: (row, seconds)."""
    ticks = []
    for decade in range(math.floor(low / _ROWS_PER_DECADE), math.ceil(high / _ROWS_PER_DECADE) + 1):
        for factor in (1, 2, 5):
            value_s = factor * 10.0**decade
            if low <= heat_row(value_s) <= high:
                ticks.append((heat_row(value_s), value_s))
    return ticks


def heat_column(counted: Counted, left_px: float, right_px: float, y: Axis) -> str:
    """One column: which share of its requests took how long."""
    counts: dict[int, int] = {}
    for latency_s, count in counted:
        row = math.floor(heat_row(latency_s))
        counts[row] = counts.get(row, 0) + count
    total = sum(counts.values())
    parts = []
    for row, count in counts.items():
        level = min(_LEVELS, 1 + math.floor(_LEVELS * math.sqrt(count / total)))
        top, bottom = y.px(row + 1), y.px(row)
        parts.append(
            f'<rect class="heat h{level}" x="{left_px:.1f}" y="{top:.1f}" width="{max(right_px - left_px, 1):.1f}" '
            f'height="{bottom - top + 0.3:.1f}"/>'
        )
    return "".join(parts)

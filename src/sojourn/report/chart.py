"""The plots of a run, each one SVG element as text. Colours are classes; the page's style gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sojourn.domain.request import Outcome
from sojourn.report.axis import Axis, duration_text, number_text, round_top, share_text
from sojourn.report.plot import Point, across, axes, line, path, scatter, seconds_text, svg, upward
from sojourn.report.series import Interval, RunSeries, batches_by_size, round_step

_BARS_MAX = 40
_BAR_WIDTH_MAX_PX = 48


def latency_chart(series: RunSeries, intervals: Sequence[Interval], objective_s: float | None) -> str:
    """Latency of each request by arrival, with p50 and p99 per interval and the objective as a line (named in the key).

    The axis ends a little above objective and p99; dots beyond it are drawn at its top.
    """
    tops_s = [interval.latency_s_p99 for interval in intervals if interval.latency_s_p99]
    highest_s = max([*tops_s, 1.12 * (objective_s or 0.0), 1e-4]) * 1.05
    x, y = _time_axis(series), upward(round_top(highest_s, 6))
    dots: dict[str, list[Point]] = {"good": [], "late": [], "lost": []}
    for at_s, latency_s, outcome in zip(series.arrival_at_s, series.latency_s, series.outcome, strict=True):
        kind = "lost"
        if outcome is Outcome.SERVED:
            kind = "good" if objective_s is None or latency_s <= objective_s else "late"
        dots[kind].append((x.px(at_s), y.px(latency_s)))
    parts = [scatter(points, kind) for kind, points in dots.items()]
    for name in ("p50", "p99"):
        values_s = [getattr(interval, f"latency_s_{name}") for interval in intervals]
        parts.append(line(_middles(intervals, values_s, x, y), name))
    if objective_s is not None:
        at_px = y.px(objective_s)
        parts.append(f'<line class="objective" x1="{x.from_px}" x2="{x.to_px}" y1="{at_px:.1f}" y2="{at_px:.1f}"/>')
    frame = axes(x, y, lambda value: duration_text(value, y.high), "latency", seconds_text)
    return svg("Latency of each request over time", frame + "".join(parts))


def rate_chart(series: RunSeries, intervals: Sequence[Interval]) -> str:
    """Arrivals per second over time as an area, and those served within the objective as a line."""
    rates = [interval.arrivals / interval.span_s for interval in intervals]
    good = [interval.good / interval.span_s for interval in intervals]
    x, y = _time_axis(series), upward(round_top(max([*rates, 1.0]) * 1.05, 5))
    corners: list[Point] = []
    for interval, rate in zip(intervals, rates, strict=True):
        corners += [(x.px(interval.start_s), y.px(rate)), (x.px(interval.end_s), y.px(rate))]
    area = [(x.px(0.0), y.px(0.0)), *corners, (x.px(series.duration_s), y.px(0.0))]
    parts = f'<path class="area" d="{path(area)}Z"/>' + line([corners], "edge")
    parts += line(_middles(intervals, good, x, y), "p50")
    return svg("Requests per second over time", axes(x, y, number_text, "requests per second", seconds_text) + parts)


def batch_chart(series: RunSeries, intervals: Sequence[Interval]) -> str:
    """The batch size each request was served in, and the mean over batches per interval."""
    x, y = _time_axis(series), upward(round_top(max([*series.batch_size, 4]) * 1.05, 5))
    points = [
        (x.px(at_s), y.px(size)) for at_s, size in zip(series.arrival_at_s, series.batch_size, strict=True) if size > 0
    ]
    means = [interval.batch_size_mean for interval in intervals]
    parts = scatter(points, "good") + line(_middles(intervals, means, x, y), "p99")
    return svg("Batch size over time", axes(x, y, number_text, "batch size", seconds_text) + parts)


def batch_histogram(series: RunSeries) -> str:
    """Share of batches by size."""
    return size_histogram(batches_by_size(series))


def size_histogram(counts: Mapping[int, float]) -> str:
    """Share of batches by size, from how many there were of each."""
    largest, total = max(counts, default=1), sum(counts.values()) or 1.0
    width = max(1, int(round_step(largest / _BARS_MAX)))
    bars: dict[int, float] = {}
    for size, count in counts.items():
        first = (size - 1) // width * width + 1
        bars[first] = bars.get(first, 0.0) + count / total
    x = across(0.5, largest + 0.5 if width == 1 else largest + width)
    y = upward(round_top(max([*bars.values(), 0.01]) * 1.05, 5))
    parts = []
    for first, share in bars.items():
        middle_px = (x.px(first - 0.5) + x.px(first - 0.5 + width)) / 2
        bar_px = min(x.px(first - 0.5 + width) - x.px(first - 0.5) - 2, _BAR_WIDTH_MAX_PX)
        label = f"{first}" if width == 1 else f"{first} to {first + width - 1}"
        parts.append(
            f'<rect class="bar" x="{middle_px - bar_px / 2:.1f}" y="{y.px(share):.1f}" width="{bar_px:.1f}" '
            f'height="{y.from_px - y.px(share):.1f}"><title>batch of {label}: {share_text(share)}</title></rect>'
        )
    frame = axes(x, y, lambda value: f"{value * 100:.3g} %", "share of batches", number_text, "batch size")
    return svg("Share of batches by size", frame + "".join(parts))


def _time_axis(series: RunSeries) -> Axis:
    return across(0.0, series.duration_s)


def _middles(intervals: Sequence[Interval], values: Sequence[float | None], x: Axis, y: Axis) -> list[list[Point]]:
    """Points at the middle of each interval, in unbroken stretches: where nothing is known the line pauses."""
    stretches: list[list[Point]] = [[]]
    for interval, value in zip(intervals, values, strict=True):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append((x.px((interval.start_s + interval.end_s) / 2), y.px(value)))
    return stretches

"""The plots of a simulated run, each one SVG element as text. Colours are classes; the page's style gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from sojourn.report.axis import Axis, duration_text, number_text, round_top, share_text
from sojourn.report.heat import heat_column, heat_row, heat_rows, heat_ticks
from sojourn.report.plot import Frame, across, seconds_text, upward
from sojourn.report.sim_series import Course, Stretch

_UNITS: Final = ((600.0, 1.0, "seconds"), (3 * 3600.0, 60.0, "minutes"), (3 * 86_400.0, 3600.0, "hours"))
_GAP_PX: Final = 0.5
_SHARE_LOW_MARGIN: Final = 0.1


class _Clock(msgspec.Struct, frozen=True):
    """Virtual time in the unit that suits the length of a run."""

    course: Course
    unit_s: float
    unit: str

    @property
    def x(self) -> Axis:
        return across(0.0, self.course.duration_s / self.unit_s)

    def frame(self, y: Axis, title: str, text: Callable[[float], str], y_ticks: Sequence[float] = ()) -> Frame:
        return Frame(self.x, y, title, text, f"{self.unit} since the start", seconds_text, y_ticks)

    def stretches(self) -> Iterator[tuple[float, float, Stretch]]:
        """Those that begin before the arrivals end: (begin, end, stretch) in the unit of the axis."""
        width = self.course.stretch_s / self.unit_s
        for number, stretch in enumerate(self.course.stretches):
            if number * self.course.stretch_s < self.course.duration_s * (1 - 1e-9):
                yield number * width, min((number + 1) * width, self.course.duration_s / self.unit_s), stretch

    def transient(self, frame: Frame) -> str:
        """The part that is not counted, shaded."""
        if not self.course.transient_s:
            return ""
        left, right = frame.x.from_px, frame.x.px(self.course.transient_s / self.unit_s)
        return (
            f'<rect class="transient" x="{left}" y="{frame.y.to_px}" width="{right - left:.1f}" '
            f'height="{frame.y.from_px - frame.y.to_px}"><title>transient, not counted</title></rect>'
        )


def _clock(course: Course) -> _Clock:
    for longest_s, unit_s, unit in _UNITS:
        if course.duration_s <= longest_s:
            return _Clock(course, unit_s, unit)
    return _Clock(course, 86_400.0, "days")


def latency_chart(course: Course, objective_s: float | None) -> str:
    """Latency by arrival as a heat map, with p50 and p99 of each stretch and the objective; logarithmic."""
    course = course.readable()
    clock = _clock(course)
    columns = list(clock.stretches())
    low, high = heat_rows((stretch.latency for _, _, stretch in columns), objective_s)
    texts = {row: duration_text(value_s) for row, value_s in heat_ticks(low, high)}
    frame = clock.frame(upward(high, low), "latency", texts.__getitem__, list(texts))
    parts = [clock.transient(frame)]
    parts += [
        heat_column(stretch.latency, frame.x.px(begin), frame.x.px(end), frame.y) for begin, end, stretch in columns
    ]
    for kind, share in (("p50", 0.5), ("p99", 0.99)):
        values = (((begin + end) / 2, stretch.latency_s(share)) for begin, end, stretch in columns)
        line = frame.line(((at, None if value is None else heat_row(value)) for at, value in values), kind)
        parts += [line.replace('class="line', 'class="halo line', 1), line]  # readable on dark cells, too
    if objective_s is not None:
        parts.append(frame.level(heat_row(objective_s)))
    return frame.draw("Latency over time", *parts)


def attainment_chart(course: Course, objective: float) -> str:
    """Share of the requests of each stretch that were served within the objective."""
    course = course.readable()
    clock = _clock(course)
    shares = [
        (begin, end, stretch.good / (stretch.good + stretch.late + stretch.lost))
        for begin, end, stretch in clock.stretches()
        if stretch.good + stretch.late + stretch.lost
    ]
    counted = [share for _, end, share in shares if end * clock.unit_s > course.transient_s]
    worst = min(counted, default=objective)
    low = max(0.0, min(worst, 2 * objective - 1) - _SHARE_LOW_MARGIN * (1 - min(worst, objective)))
    frame = clock.frame(upward(1.0, low), "within the objective", lambda value: f"{value * 100:.4g} %")
    parts = [clock.transient(frame)]
    for begin, end, share in shares:
        kind = "good" if share >= objective else "lost"
        bottom = frame.y.from_px
        top = min(frame.y.px(share), bottom - 3.0)
        parts.append(_bar(frame, begin, end, top, max(bottom - top, 3.0), kind, share_text(share)))
    return frame.draw("Share within the objective", *parts, frame.level(objective))


def rate_chart(course: Course) -> str:
    """Arrivals per second as an area, requests served within the objective as a line, those not served as another."""
    course = course.readable()
    clock = _clock(course)
    width_s = course.stretch_s
    rows = [(begin, end, stretch, stretch.arrivals / width_s) for begin, end, stretch in clock.stretches()]
    frame = clock.frame(
        upward(round_top(max([1e-3, *(rate for *_, rate in rows)]) * 1.05, 5)), "requests per second", number_text
    )
    edge = [point for begin, end, _, rate in rows for point in ((begin, rate), (end, rate))]
    good = [((begin + end) / 2, stretch.good / width_s) for begin, end, stretch, _ in rows]
    lost = [((begin + end) / 2, (stretch.late + stretch.lost) / width_s) for begin, end, stretch, _ in rows]
    parts = [clock.transient(frame), frame.area(edge), frame.line(edge, "edge"), frame.line(good, "p50")]
    if any(value for _, value in lost):
        parts.append(frame.line(lost, "bad"))
    return frame.draw("Arrivals and goodput over time", *parts)


def replica_chart(course: Course) -> str:
    """Living and ready replicas, and how many the arrivals would keep busy in full batches."""
    clock = _clock(course)
    rows = list(clock.stretches())
    ready = _held((begin, stretch.ready) for begin, _, stretch in rows)
    living = [(begin, float(stretch.living)) for begin, _, stretch in rows]
    demand = [((begin + end) / 2, stretch.demand) for begin, end, stretch in rows]
    tops = [value for points in (living, ready, demand) for _, value in points]
    frame = clock.frame(upward(round_top(max([1.0, *tops]) * 1.1, 5)), "replicas", number_text)
    until = rows[-1][1] if rows else 0.0  # where the run ended, not where it should have
    corners = [
        point
        for (begin, end, _), (_, value) in zip(rows, living, strict=True)
        for point in ((begin, value), (end, value))
    ]
    return frame.draw(
        "Replicas over time",
        clock.transient(frame),
        frame.area(corners),
        frame.steps(living, until, "edge"),
        frame.steps(ready, until, "p50"),
        frame.line(demand, "demand"),
    )


def batch_chart(course: Course) -> str:
    """Mean size of the batches of each stretch."""
    course = course.readable()
    clock = _clock(course)
    rows = [((begin + end) / 2, stretch.batch_size_mean) for begin, end, stretch in clock.stretches()]
    top = max([1.0, *(size for _, size in rows if size is not None)])
    frame = clock.frame(upward(round_top(top * 1.1, 5)), "mean batch size", number_text)
    return frame.draw("Batch size over time", clock.transient(frame), frame.line(rows, "p99"))


def queue_chart(course: Course) -> str:
    """Most requests waiting in each stretch."""
    clock = _clock(course)
    rows = list(clock.stretches())
    queued = _held((begin, stretch.queued_max) for begin, _, stretch in rows)
    frame = clock.frame(
        upward(round_top(max([1.0, *(count for _, count in queued)]) * 1.05, 5)), "requests waiting", number_text
    )
    edge = [
        point
        for (_, end, _), (begin, count) in zip(rows, queued, strict=True)
        for point in ((begin, count), (end, count))
    ]
    return frame.draw("Queue over time", clock.transient(frame), frame.area(edge), frame.line(edge, "edge"))


def start_chart(course: Course) -> str:
    """Replicas started in each stretch."""
    course = course.coarser() if len(course.stretches) >= 100 else course
    clock = _clock(course)
    rows = list(clock.stretches())
    frame = clock.frame(
        upward(round_top(max([1, *(stretch.starts for *_, stretch in rows)]) * 1.05, 4)), "cold starts", number_text
    )
    parts = [clock.transient(frame)]
    for begin, end, stretch in rows:
        if stretch.starts:
            top = frame.y.px(stretch.starts)
            parts.append(_bar(frame, begin, end, top, frame.y.from_px - top, "start", f"{stretch.starts:,} started"))
    return frame.draw("Cold starts over time", *parts)


def _held(points: Iterable[tuple[float, float | None]]) -> list[tuple[float, float]]:
    """Values that are only known now and then, each held until the next."""
    held, before = [], 0.0
    for at, value in points:
        before = before if value is None else float(value)
        held.append((at, before))
    return held


def _bar(frame: Frame, begin: float, end: float, top_px: float, height_px: float, kind: str, title: str) -> str:
    left, right = frame.x.px(begin), frame.x.px(end)
    return (
        f'<rect class="cell {kind}" x="{left:.1f}" y="{top_px:.1f}" width="{max(right - left - _GAP_PX, 0.8):.1f}" '
        f'height="{height_px:.1f}"><title>{title}</title></rect>'
    )

"""The primitives of a plot: a frame with axes, lines, steps, areas, dots and marks, as SVG text. Colours are classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

import msgspec

from sojourn.report.axis import Axis

WIDTH_PX, HEIGHT_PX = 920, 260
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 92, 14, 14, 40  # left: ticks of nine characters beside their title
_CELL_PX = 2  # dots closer than this would hide one another: one is drawn for all
_DOTS_MAX = 8000

Point = tuple[float, float]


def seconds_text(value: float) -> str:
    """A tick of an axis of seconds."""
    return f"{value:.6g}"


class Frame(msgspec.Struct, frozen=True):
    """The rectangle a plot is drawn in, with its two scales.

    Args:
        x: Maps values to pixels from left to right.
        y: Maps values to pixels upward.
        y_title: What the upward axis shows.
        y_text: How its ticks are written.
        x_title: What the other axis shows.
        x_text: How its ticks are written.
        y_ticks: Where the upward axis has ticks; none lets it choose round values.
    """

    x: Axis
    y: Axis
    y_title: str
    y_text: Callable[[float], str]
    x_title: str = "seconds since the start"
    x_text: Callable[[float], str] = seconds_text
    y_ticks: Sequence[float] = ()

    def px(self, x: float, y: float) -> Point:
        """Where a pair of values lies."""
        return self.x.px(x), self.y.px(y)

    def draw(self, label: str, *parts: str) -> str:
        """The whole plot: axes below, then the parts in order."""
        content = axes(self.x, self.y, self.y_text, self.y_title, self.x_text, self.x_title, self.y_ticks) + "".join(
            parts
        )
        return svg(label, content)

    def line(self, points: Iterable[tuple[float, float | None]], kind: str) -> str:
        """A line through values; where one is None it pauses."""
        return line(self._stretches(points), kind)

    def steps(self, points: Sequence[tuple[float, float]], until: float, kind: str) -> str:
        """A line that holds each value until the next one, the last until `until`."""
        corners: list[Point] = []
        for number, (at, value) in enumerate(points):
            end = points[number + 1][0] if number + 1 < len(points) else until
            corners += [self.px(at, value), self.px(end, value)]
        return line([corners], kind) if corners else ""

    def area(self, points: Sequence[tuple[float, float]], kind: str = "area") -> str:
        """The area between a line of values and the lower axis."""
        if not points:
            return ""
        floor_px = self.y.from_px
        corners = [(self.x.px(points[0][0]), floor_px), *(self.px(*point) for point in points)]
        corners.append((self.x.px(points[-1][0]), floor_px))
        return f'<path class="{kind}" d="{path(corners)}Z"/>'

    def dots(self, points: Iterable[tuple[float, float]], kind: str) -> str:
        """A dot per pair of values, so many that dense places stay readable."""
        return scatter([self.px(*point) for point in points], kind)

    def level(self, y: float, kind: str = "objective") -> str:
        """A line across at one height."""
        at_px = self.y.px(y)
        return f'<line class="{kind}" x1="{self.x.from_px}" x2="{self.x.to_px}" y1="{at_px:.1f}" y2="{at_px:.1f}"/>'

    def mark(self, x: float, y: float, kind: str, title: str, radius_px: float = 5.0) -> str:
        """One named dot; its name is shown when pointed at."""
        x_px, y_px = self.px(x, y)
        return (
            f'<circle class="mark {kind}" cx="{x_px:.1f}" cy="{y_px:.1f}" r="{radius_px:g}">'
            f"<title>{escape(title)}</title></circle>"
        )

    def label(self, x: float, y: float, text: str, *, anchor: str = "start") -> str:
        """A few words beside a place."""
        x_px, y_px = self.px(x, y)
        shift_px = 8 if anchor == "start" else -8
        return f'<text x="{x_px + shift_px:.1f}" y="{y_px + 4:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

    def _stretches(self, points: Iterable[tuple[float, float | None]]) -> list[list[Point]]:
        stretches: list[list[Point]] = [[]]
        for at, value in points:
            if value is None:
                stretches.append([])
            else:
                stretches[-1].append(self.px(at, value))
        return stretches


def across(low: float, high: float) -> Axis:
    """An axis from left to right."""
    return Axis(low, high, _LEFT_PX, WIDTH_PX - _RIGHT_PX)


def upward(high: float, low: float = 0.0) -> Axis:
    """An axis from below to above."""
    return Axis(low, high, HEIGHT_PX - _BOTTOM_PX, _TOP_PX)


def axes(
    x: Axis,
    y: Axis,
    y_text: Callable[[float], str],
    y_title: str,
    x_text: Callable[[float], str] = seconds_text,
    x_title: str = "seconds since the start",
    y_ticks: Sequence[float] = (),
) -> str:
    """Ticks, grid and titles of a plot; without `y_ticks` they stand at round values."""
    parts = []
    for value in y_ticks or y.ticks(6):
        at_px = y.px(value)
        parts.append(
            f'<line class="grid" x1="{x.from_px}" x2="{x.to_px}" y1="{at_px:.1f}" y2="{at_px:.1f}"/>'
            f'<text x="{x.from_px - 8}" y="{at_px + 4:.1f}" text-anchor="end">{escape(y_text(value))}</text>'
        )
    for value in x.ticks(10):
        at_px = x.px(value)
        parts.append(
            f'<line class="tick" x1="{at_px:.1f}" x2="{at_px:.1f}" y1="{y.from_px}" y2="{y.from_px + 5}"/>'
            f'<text x="{at_px:.1f}" y="{y.from_px + 18}" text-anchor="middle">{escape(x_text(value))}</text>'
        )
    middle_px = (y.from_px + y.to_px) / 2
    parts.append(
        f'<line class="tick" x1="{x.from_px}" x2="{x.to_px}" y1="{y.from_px}" y2="{y.from_px}"/>'
        f'<text class="title" x="{(x.from_px + x.to_px) / 2}" y="{HEIGHT_PX - 6}" text-anchor="middle">'
        f"{escape(x_title)}</text>"
        f'<text class="title" transform="translate(12 {middle_px}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_title)}</text>"
    )
    return "".join(parts)


def scatter(points: Iterable[Point], kind: str) -> str:
    """Dots at these places."""
    cells = {(round(x_px / _CELL_PX), round(y_px / _CELL_PX)): (x_px, y_px) for x_px, y_px in points}
    kept = list(cells.values())
    if len(kept) > _DOTS_MAX:
        kept = [kept[number * len(kept) // _DOTS_MAX] for number in range(_DOTS_MAX)]
    # A line of no length with round ends is a dot; one path of them is far smaller than as many circles.
    return f'<path class="dots {kind}" d="{"".join(f"M{x:.0f} {y:.1f}h0" for x, y in kept)}"/>' if kept else ""


def line(stretches: Iterable[Sequence[Point]], kind: str) -> str:
    """A line through these places, in one or more stretches."""
    d = "".join(path(points) if len(points) > 1 else path([*points, *points]) for points in stretches if points)
    return f'<path class="line {kind}" d="{d}"/>' if d else ""


def path(points: Sequence[Point]) -> str:
    """What a path through these places is described by."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def svg(label: str, content: str) -> str:
    """A drawing with its name."""
    return (
        f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" aria-label="{escape(label)}"><title>{escape(label)}'
        f"</title>{content}</svg>"
    )

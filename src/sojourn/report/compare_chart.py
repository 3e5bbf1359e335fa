"""The plots of a comparison: attainment against cost, and goodput against its limit, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, Literal

import msgspec

from sojourn.report.axis import duration_text, number_text, round_top, share_text
from sojourn.report.plot import HEIGHT_PX, WIDTH_PX, Frame, across, line, upward

_NAME_PX: Final = 7.0  # a letter, roughly
_ROW_PX: Final = 14.0
_PLOT_PX: Final = 800.0
_NAMED_MAX: Final = 5


class Span(msgspec.Struct, frozen=True):
    """A mean and its interval; without ends nothing is known of it."""

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends; the mean itself where they are not known."""
        return (self.mean if self.low is None else self.low), (self.mean if self.high is None else self.high)


class PolicyMark(msgspec.Struct, frozen=True, kw_only=True):
    """One policy in table and plots.

    Args:
        name: Its name.
        attainment: Share within the objective; None without one.
        cost_s: Replica time.
        goodput_per_s: Served within the objective per second.
        verdict: Whether it held the objective.
        is_on_front: Whether no other has both more on time and less replica time.
        is_best: Whether it is the best of its kind; its row stands out.
        cells: Its row of the table: name, attainment, ...
    """

    name: str
    attainment: Span | None
    cost_s: Span
    goodput_per_s: Span
    verdict: Literal["held", "missed", "uncertain", "none"]
    is_on_front: bool
    is_best: bool
    cells: Sequence[str]


def cost_chart(policies: Sequence[PolicyMark], objective: float | None, bound_s: float | None) -> str:
    """Attainment over replica time: up and to the left is better; intervals as crosses, names (of many: the table's numbers) beside their marks."""
    known = [(policy, policy.attainment) for policy in policies if policy.attainment is not None]
    lowest = min([*(span.ends[0] for _, span in known), objective if objective is not None else 1.0])
    low = 0.0 if lowest < 0.1 else max(1.0 - 1.15 * (1.0 - lowest) - 0.002, 0.0)
    right = max([*(policy.cost_s.ends[1] for policy in policies), bound_s or 0.0, 1e-9])
    x = across(0.0, round_top(right * 1.25, 8))  # room for names on the right
    frame = Frame(
        x,
        upward(1.0 + (1.0 - low) * 0.04, low),
        "within the objective",
        lambda value: share_text(round(value, 9)) if value <= 1.0 else "",
        "replica time",
        lambda value: duration_text(value, x.high),
    )
    parts = [frame.level(objective)] if objective is not None else []
    if bound_s is not None:
        parts.append(upright(frame, bound_s))
    front = sorted(
        ((policy.cost_s.mean, span.mean) for policy, span in known if policy.is_on_front), key=lambda point: point[0]
    )
    parts.append(frame.line(front, "front"))
    parts += [
        whisker(frame, (policy.cost_s.mean, end), (policy.cost_s.mean, other))
        + whisker(frame, *((side, span.mean) for side in policy.cost_s.ends))
        for policy, span in known
        for end, other in [span.ends]
    ]
    parts += [
        frame.mark(policy.cost_s.mean, span.mean, policy.verdict, f"{policy.name}: {', '.join(policy.cells[1:])}")
        for policy, span in known
    ]
    is_named = len(policies) <= _NAMED_MAX
    places = [
        (*frame.px(policy.cost_s.mean, policy.attainment.mean), policy.name if is_named else str(number))
        for number, policy in enumerate(policies, start=1)
        if policy.attainment is not None
    ]
    parts.append(_names_beside(places if is_named else _gathered(places)))
    return frame.draw("Attainment against replica time", *parts)


def goodput_chart(policies: Sequence[PolicyMark], bound_per_s: float | None, rate_per_s: float) -> str:
    """On-time answers per second of each policy as bars with intervals, under the most any policy can reach."""
    highest = max([*(policy.goodput_per_s.ends[1] for policy in policies), bound_per_s or rate_per_s, 1e-9])
    count = len(policies)
    x, y = across(0.5, count + 0.5), upward(round_top(highest * 1.05, 5))
    width_px = (x.px(2) - x.px(1)) if count > 1 else _PLOT_PX
    fits = all(len(policy.name) * _NAME_PX <= width_px - 4 for policy in policies)
    frame = Frame(
        x, y, "on time per second", number_text, "" if fits else "policy, by its number in the table", lambda _: ""
    )
    parts = []
    for number, policy in enumerate(policies, start=1):
        bar_px = min(width_px * 0.6, 90.0)
        left_px, top_px = x.px(number) - bar_px / 2, y.px(policy.goodput_per_s.mean)
        said = f"{policy.name}: {number_text(policy.goodput_per_s.mean)}/s"
        parts.append(
            f'<rect class="mark {policy.verdict}" x="{left_px:.1f}" y="{top_px:.1f}" width="{bar_px:.1f}" '
            f'height="{max(y.from_px - top_px, 0.0):.1f}"><title>{escape(said)}</title></rect>'
            f'<text class="name" x="{x.px(number):.1f}" y="{HEIGHT_PX - 22}" text-anchor="middle">'
            f"{escape(policy.name if fits else str(number))}</text>"
        )
        low, high = policy.goodput_per_s.ends
        parts.append(whisker(frame, (number, low), (number, high)))
    if bound_per_s is not None:
        parts.append(frame.level(bound_per_s, "limit"))
    return frame.draw("Goodput of each policy", *parts)


def whisker(frame: Frame, one: tuple[float, float], other: tuple[float, float]) -> str:
    """The line of an interval between two places."""
    return f"<g>{line([[frame.px(*one), frame.px(*other)]], 'whisker')}</g>" if one != other else ""


def upright(frame: Frame, x: float, kind: str = "limit") -> str:
    """A line from below to above at one value."""
    at_px = frame.x.px(x)
    return f'<line class="{kind}" x1="{at_px:.1f}" x2="{at_px:.1f}" y1="{frame.y.from_px}" y2="{frame.y.to_px}"/>'


def _gathered(places: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Numbers of marks that (nearly) cover one another, written as one."""
    groups: list[tuple[float, float, str]] = []
    for x_px, y_px, name in places:
        for number, (near_x_px, near_y_px, names) in enumerate(groups):
            if abs(near_x_px - x_px) < _ROW_PX and abs(near_y_px - y_px) < _ROW_PX:
                groups[number] = (near_x_px, near_y_px, f"{names}, {name}")
                break
        else:
            groups.append((x_px, y_px, name))
    return groups


def _names_beside(places: Sequence[tuple[float, float, str]]) -> str:
    """Names right of their marks (left where there is no room), moved apart where they would cover one another."""
    taken: list[tuple[float, float, float]] = []  # left, right, height of what is written already
    parts = []
    for x_px, y_px, name in sorted(places, key=lambda place: (place[1], place[0])):
        long_px = len(name) * _NAME_PX
        is_left = x_px + 12 + long_px > WIDTH_PX
        left_px = x_px - 10 - long_px if is_left else x_px + 10
        at_px = y_px + 4
        for _ in range(len(places)):
            beside = [
                top
                for low, high, top in taken
                if low < left_px + long_px and high > left_px and abs(top - at_px) < _ROW_PX
            ]
            if not beside:
                break
            at_px = max(beside) + _ROW_PX
        taken.append((left_px, left_px + long_px, at_px))
        anchor = "end" if is_left else "start"
        text_px = x_px - 10 if is_left else x_px + 10
        parts.append(
            f'<text class="name" x="{text_px:.1f}" y="{at_px:.1f}" text-anchor="{anchor}">{escape(name)}</text>'
        )
    return "".join(parts)

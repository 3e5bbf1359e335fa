"""The plots of the study as SVG files that are readable by themselves, on white and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from studied.findings import front, gaps
from studied.models import MODELS, OBJECTIVE
from studied.record import Row, by_place

from sojourn.report.axis import duration_text, round_top
from sojourn.report.compare_chart import upright, whisker
from sojourn.report.plot import HEIGHT_PX, WIDTH_PX, Frame, Point, across, line, upward

_STYLE: Final = """
svg { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; --paper: #fff; --ink: #1b1f24; --soft: #5b6570;
  --rule: #dde1e6; --a: #2f6fde; --b: #d9820f; --c: #0d8a72; --d: #7a3fc4; --e: #cc2f3d; --f: #8a939c; }
@media (prefers-color-scheme: dark) { svg { --paper: #14171b; --ink: #e6e9ed; --soft: #9aa5b1; --rule: #30363d;
  --a: #6aa2ff; --b: #f0a640; --c: #3ecfb0; --d: #c39bff; --e: #ff6b76; --f: #78828c; } }
.paper { fill: var(--paper); } text { fill: var(--soft); } text.name { fill: var(--ink); paint-order: stroke;
  stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; } text.head { fill: var(--ink);
  font-size: 14px; font-weight: 600; } .grid { stroke: var(--rule); } .tick { stroke: var(--soft); }
.dots { fill: none; stroke-width: 5; stroke-linecap: round; opacity: .5; } .line { fill: none; stroke-width: 1.6;
  stroke-linejoin: round; } .line.a { stroke-width: 3; } .a { stroke: var(--a); } .b { stroke: var(--b); } .c { stroke: var(--c); }
.d { stroke: var(--d); } .e { stroke: var(--e); } .f { stroke: var(--f); } .limit { stroke: var(--soft); stroke-width: 1.4;
  stroke-dasharray: 9 4 2 4; fill: none; } .objective { stroke: var(--e); stroke-width: 1.3; stroke-dasharray: 7 5; }
.front { stroke: var(--soft); stroke-dasharray: 3 4; } .whisker { stroke: var(--soft); stroke-width: 1.3; }
.mark { stroke: var(--paper); stroke-width: 1.5; } .mark.a { fill: var(--a); } .mark.b { fill: var(--b); }
.mark.c { fill: var(--c); } .mark.d { fill: var(--d); } .mark.e { fill: var(--e); } .mark.f { fill: var(--f); }
text.a { fill: var(--a); } text.b { fill: var(--b); } text.c { fill: var(--c); } text.d { fill: var(--d); } text.e { fill: var(--e); }
text.f { fill: var(--soft); }
"""
_HEAD_PX, _PAD_PX, _RIGHT_PX = 28, 4, 26
_NEAR_PX, _ROW_PX, _LETTER_PX, _MARK_PX = 12.0, 14.0, 6.6, 6.0
BATCHING_COLOURS: Final = {"slo": "a", "window": "b", "consolidate": "c", "need": "d", "latency": "e"}
SCALING_COLOURS: Final = {"slo": "a", "concurrency": "b", "ongoing": "c", "utilization": "d", "rps": "e"}
LOADS: Final = (0.6, 0.9, 1.1, 2.0)
STRIP_FLOOR: Final = 0.5

Name = tuple[Point, str, str]  # where, what, in which colour


def standalone(svg: str, title: str) -> str:
    """A drawing of `sojourn.report` as a file of its own: with style, paper and headline."""
    box = f'viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}"'
    height_px = HEIGHT_PX + _HEAD_PX
    whole = f'viewBox="{-_PAD_PX} {-_HEAD_PX} {WIDTH_PX + _PAD_PX + _RIGHT_PX} {height_px + _PAD_PX}"'
    paper = f'<rect class="paper" x="{-_PAD_PX}" y="{-_HEAD_PX}" width="100%" height="100%"/>'
    head = f'<text class="head" x="8" y="-8">{escape(title)}</text>'
    opened = svg.replace(box, f'xmlns="http://www.w3.org/2000/svg" {whole}', 1)
    start, _, rest = opened.partition(">")
    return f"{start}><style>{_STYLE}</style>{paper}{head}{rest}\n"


def _percent(value: float) -> str:
    return f"{100 * value:.4g} %" if value <= 1.0 + 1e-9 else ""


def strip(rows: Sequence[Row], order: Sequence[str]) -> str:
    """Each policy's goodput as a share of the best's, a dot per place, with the 3 % line and the mean."""
    x = across(0.5, len(order) + 0.7)
    frame = Frame(
        x,
        upward(1.03, STRIP_FLOOR),
        "goodput over the best's",
        _percent,
        f"a dot for each place (below {STRIP_FLOOR:.0%}: on the axis), a large one and a number for the mean; red: 3 % behind",
        lambda at: order[round(at) - 1],
    )
    parts, names = [frame.level(0.97)], []
    for number, policy in enumerate(order, start=1):
        found = [gap.ratio for gap in gaps(rows, policy)]
        spread = 0.46 / max(len(found), 1)
        points = [(number - 0.36 + spread * place, ratio) for place, ratio in enumerate(found)]
        kind = BATCHING_COLOURS.get(policy, "f")
        parts.append(frame.dots(points, kind))
        mean = sum(found) / len(found)
        parts.append(frame.mark(number + 0.2, mean, kind, f"{policy}: {mean:.3f} on the mean"))
        names.append((frame.px(number + 0.18, mean), f"{mean:.3f}", kind))
    title = "How near each batching policy is to the best, place by place"
    return standalone(frame.draw(title, *parts, _names(names)), title)


def load_curves(rows: Sequence[Row], model: str, replicas: int, noise: float) -> str:
    """Goodput over capacity against the load, for every policy, under the bound."""
    capacity_per_s = MODELS[model].capacity_per_s(replicas)
    places = by_place(rows)
    lines: dict[str, list[tuple[float, float]]] = {}
    bound: list[tuple[float, float]] = []
    for load in LOADS:
        policies = places.get((model, str(replicas), f"{noise:g}", f"steady-{load:g}"), {})
        for policy, row in policies.items():
            lines.setdefault(policy, []).append((load, row.mean("goodput") / capacity_per_s))
        if policies:
            bound.append((load, next(iter(policies.values())).mean("most") / capacity_per_s))
    high = max([1.0, *(share for _, share in bound)])
    frame = Frame(
        across(0.55, 2.25),
        upward(round_top(high * 1.02, 6)),
        "goodput over capacity",
        lambda value: f"{value:.1f}",
        "arrival rate over capacity",
        lambda value: f"{value:.1f}",
    )
    parts = [line([[frame.px(*point) for point in bound]], "limit")]
    names = [(frame.px(*bound[-1]), "bound", "f")] if bound else []
    for policy, points in sorted(lines.items(), key=lambda entry: entry[0] in BATCHING_COLOURS):
        kind = BATCHING_COLOURS.get(policy, "f")
        parts.append(frame.line(points, kind))
        parts += [frame.mark(*point, kind, f"{policy} at {point[0]:g}: {point[1]:.3f}", 3.0) for point in points]
        names.append((frame.px(*points[-1]), policy, kind))
    title = f"{model}, n = {replicas}, noise {noise:g}: goodput as the load grows"
    return standalone(frame.draw(title, *parts, _names(names)), title)


def pareto(policies: dict[str, Row], title: str) -> str:
    """Attainment over replica time with intervals: up and to the left is better; the bound stands upright."""
    known = list(policies.values())
    low = min(row.mean("within") for row in known)
    low = max(1.0 - 1.2 * (1.0 - low) - 0.003, 0.0)
    least = _least_held(known)
    right = max([row.mean("cost") for row in known] + [least or 0.0])
    x = across(0.0, round_top(right * 1.2, 8))
    frame = Frame(
        x,
        upward(1.0 + (1.0 - low) * 0.05, low),
        "within the objective",
        _percent,
        "replica time; dotted: nobody has more for less"
        + ("; upright: least that holds the objective, for any policy" if least else ""),
        lambda value: duration_text(value, x.high),
    )
    parts = [frame.level(OBJECTIVE.objective)]
    if least:
        parts.append(upright(frame, least))
    parts.append(
        frame.line([(policies[name].mean("cost"), policies[name].mean("within")) for name in front(policies)], "front")
    )
    names, marks = [], []
    for row in sorted(known, key=lambda row: row.policy.startswith("slo")):
        cost, within = row.interval("cost"), row.interval("within").clipped(0.0, 1.0)
        if cost.low is not None and cost.high is not None:
            parts.append(whisker(frame, (cost.low, within.mean), (cost.high, within.mean)))
        if within.low is not None and within.high is not None:
            parts.append(whisker(frame, (cost.mean, within.low), (cost.mean, within.high)))
        kind = SCALING_COLOURS.get(row.policy.partition(",")[0], "f")
        marks.append(frame.mark(cost.mean, within.mean, kind, f"{row.policy}: {within.mean:.4f}, {cost.mean:.0f} s"))
        names.append((frame.px(cost.mean, within.mean), row.policy, kind))
    return standalone(frame.draw(title, *parts, _names(_gathered(names)), *marks), title)


def _least_held(rows: Sequence[Row]) -> float | None:
    """The bound on replica time that holds the objective, if it is known for every run."""
    every = [value for row in rows for value in row.figures.get("least_held", [])]
    return rows[0].mean("least_held") if every and None not in every else None


def _gathered(names: Sequence[Name]) -> list[Name]:
    """Names of marks that cover one another, as one."""
    groups: list[tuple[Point, str, list[str]]] = []
    for (x_px, y_px), name, kind in reversed(names):  # the last is drawn on top
        near = next(
            (group for at, _, group in groups if abs(at[0] - x_px) < _NEAR_PX and abs(at[1] - y_px) < _NEAR_PX), None
        )
        if near is None:
            groups.append(((x_px, y_px), kind, [name]))
        else:
            near.append(name)
    return [(at, _joined(group), kind) for at, kind, group in groups]


def _joined(names: Sequence[str]) -> str:
    if len(names) <= 2:
        return "; ".join(names)
    ends = {name.partition(", ")[2] for name in names}
    heads = list(dict.fromkeys(name.partition(", ")[0] for name in names))
    told = heads[0] if len(heads) == 1 else f"{heads[0]} and {len(heads) - 1} others"
    kept = sorted(end for end in ends if end)
    return f"{told}, {' or '.join(kept)}" if kept else told


def _names(places: Sequence[Name]) -> str:
    """Names right of their marks, left where there is no room, moved apart where they would cover one another."""
    # Left, right and height of what is there already: first the marks themselves.
    taken = [(x_px - _MARK_PX, x_px + _MARK_PX, y_px + 4) for (x_px, y_px), _, _ in places]
    parts = []
    for (x_px, y_px), name, kind in sorted(places, key=lambda place: place[0][1]):
        long_px = len(name) * _LETTER_PX
        is_left = x_px + 12 + long_px > WIDTH_PX + _RIGHT_PX
        left_px = x_px - 10 - long_px if is_left else x_px + 10
        at_px = y_px + 4
        while any(
            low < left_px + long_px and high > left_px and abs(top - at_px) < _ROW_PX for low, high, top in taken
        ):
            at_px += 2.0
        taken.append((left_px, left_px + long_px, at_px))
        anchor, text_px = ("end", x_px - 10) if is_left else ("start", x_px + 10)
        parts.append(
            f'<text class="name {kind}" x="{text_px:.1f}" y="{at_px:.1f}" text-anchor="{anchor}">{escape(name)}</text>'
        )
    return "".join(parts)

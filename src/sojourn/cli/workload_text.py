"""How `sojourn workload fit` looks in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sojourn.report.axis import number_text, share_text
from sojourn.telemetry.log import escaped
from sojourn.workload.fit import Fit, Shape

_DAY_S, _HOUR_S, _MINUTE_S = 86_400.0, 3600.0, 60.0


class _Figure(NamedTuple):
    """One figure of a shape: its long name, its heading in a table, and its text."""

    name: str
    heading: str
    text: Callable[[Shape], str]


def _optional(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if abs(value) < 10 else number_text(value)


_FIGURES = (
    _Figure("requests", "requests", lambda shape: number_text(shape.requests)),
    _Figure("mean rate per second", "mean/s", lambda shape: number_text(shape.mean_rate_per_s)),
    _Figure("peak rate, 1 min, per second", "peak min/s", lambda shape: number_text(shape.peak_minute_per_s)),
    _Figure("peak rate, 1 s, per second", "peak s/s", lambda shape: _optional(shape.peak_second_per_s)),
    _Figure("burstiness (squared CV of gaps)", "burstiness", lambda shape: _optional(shape.burstiness)),
    _Figure("dispersion (variance/mean per minute)", "dispersion", lambda shape: _optional(shape.dispersion)),
    _Figure("autocorrelation, 1 min", "ac 1min", lambda shape: _optional(shape.autocorrelation_minute)),
    _Figure("autocorrelation, 1 h", "ac 1h", lambda shape: _optional(shape.autocorrelation_hour)),
    _Figure("autocorrelation, 24 h", "ac 24h", lambda shape: _optional(shape.autocorrelation_day)),
    _Figure("minutes without a request", "empty", lambda shape: share_text(shape.empty_minutes)),
    _Figure("period", "period", lambda shape: "-" if shape.period_s is None else span_text(shape.period_s)),
)


def span_text(span_s: float) -> str:
    """A length of time with the unit that suits it: "14 d", "57.3 min", "10 s"."""
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if span_s >= unit_s:
            return f"{span_s / unit_s:.3g} {unit}"
    return f"{span_s:.3g} s"


def summary_of(measured: Fit, twin: Fit | None) -> RenderableType:
    """All functions together, figure by figure; beside a twin if there is one."""
    count = len(measured.functions)
    what = f"{count:,} functions" if count > 1 else escaped(measured.functions[0].function)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(Text(f"{what}, {span_text(measured.duration_s)}"), no_wrap=True)
    table.add_column("recorded", justify="right", no_wrap=True)
    if twin is not None:
        table.add_column("twin", justify="right", no_wrap=True)
    for figure in _FIGURES:
        cells = [figure.text(fit.total) for fit in (measured, twin) if fit is not None]
        if any(cell != "-" for cell in cells):
            table.add_row(figure.name, *cells)
    fits = Text.assemble("fits: ", (f"--arrivals {measured.total.arrivals}", "bold"))
    return Group(table, fits)


def functions_of(measured: Fit, twin: Fit | None, top: int) -> RenderableType:
    """One row per function, those called most first; its twin below it."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("function", no_wrap=True)
    figures = [figure for figure in _FIGURES if any(figure.text(shape) != "-" for shape in measured.functions)]
    for figure in figures:
        table.add_column(figure.heading, justify="right", no_wrap=True)
    table.add_column("fits", overflow="fold")
    for shape, other in _pairs(measured, twin, top):
        table.add_row(
            Text(escaped(shape.function)),
            *(figure.text(shape) for figure in figures),
            Text(shape.arrivals or shape.kind),
        )
        if other is not None:
            table.add_row("  twin", *(figure.text(other) for figure in figures), Text(other.kind), style="dim")
    return table


def _pairs(measured: Fit, twin: Fit | None, top: int) -> Iterator[tuple[Shape, Shape | None]]:
    others: list[Shape | None] = [None] * len(measured.functions) if twin is None else list(twin.functions)
    pairs = list(zip(measured.functions, others, strict=True))
    pairs.sort(key=lambda pair: (-pair[0].requests, pair[0].function))
    yield from pairs[:top]

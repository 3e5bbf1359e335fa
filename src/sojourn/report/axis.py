"""Axes: round ticks, and labels with the unit that suits their size."""

from __future__ import annotations

import math

import msgspec

from sojourn.report.series import round_step

_SMALLEST_PERCENT = 0.001


class Axis(msgspec.Struct, frozen=True):
    """A straight scale from values to pixels.

    Args:
        low: Value at `from_px`.
        high: Value at `to_px`, > `low`.
        from_px: Pixel of the low end.
        to_px: Pixel of the high end; below `from_px` for an upward axis.
    """

    low: float
    high: float
    from_px: float
    to_px: float

    def px(self, value: float) -> float:
        """Pixel of a value; values outside are moved to the nearer end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.from_px + share * (self.to_px - self.from_px)

    def ticks(self, about: int) -> list[float]:
        """Round values inside the axis, no more than about `about` of them."""
        step = round_step((self.high - self.low) / about)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def round_top(value: float, about: int) -> float:
    """The smallest multiple of a round step that is not below `value` (> 0), for an axis of `about` ticks."""
    step = round_step(value / about)
    return step * math.ceil(value / step - 1e-9)


def number_text(value: float) -> str:
    """A count or rate for people: thousands apart, no needless digits."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def duration_text(value_s: float | None, scale_s: float | None = None) -> str:
    """A duration for people, in us, ms or s; `scale_s` (an axis' high end) fixes the unit for all its ticks."""
    if value_s is None or math.isnan(value_s):
        return "n/a"
    measure_s = abs(value_s if scale_s is None else scale_s)
    if measure_s >= 1000:
        return f"{value_s:,.0f} s"
    if measure_s >= 1:
        return f"{value_s:.3g} s"
    if measure_s >= 1e-3 or measure_s == 0:
        return f"{value_s * 1e3:.3g} ms"
    return f"{value_s * 1e6:.3g} µs"


def share_text(share: float | None) -> str:
    """A share as a percentage with as many digits as its distance from 0 or 100 % needs; neither is shown for what is not."""
    if share is None:
        return "n/a"
    percent = share * 100
    digits = 1 if percent < 99 else 2 if percent < 99.9 else 3
    if percent in {0.0, 100.0}:
        return f"{percent:.0f} %"
    if 0 < percent < 0.1:
        return f"{percent:.1g} %" if percent >= _SMALLEST_PERCENT else f"under {_SMALLEST_PERCENT:g} %"
    scale = 10**digits
    # Neither the tolerance nor the product may reach what was not reached.
    shown = min(math.floor(percent * scale + 1e-9), 100 * scale - 1)
    return f"{shown / scale:.{digits}f} %"

"""A latency objective ("99% < 100ms") and the reading of its text form."""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from sojourn.errors import ObjectiveError

DAY_S = 86_400.0
DEFAULT_WINDOW_S = 30 * DAY_S

WINDOW_S_MIN = 10.0
WINDOW_S_MAX = 90 * DAY_S  # as long as counts are kept

# Exact, so that what is written is read back as it was.
_UNIT_S = {
    unit: Decimal(text)
    for unit, text in {
        "us": "1e-6", "ms": "1e-3", "s": "1", "m": "60", "min": "60", "h": "3600", "d": "86400", "w": "604800",
    }.items()
}  # fmt: skip
_EXAMPLES = 'write it like "99% < 100ms", "p99 < 100ms" or "99.9% < 250ms over 7d"'
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_SHARE = re.compile(rf"\s*(?:p(?P<p>{_NUMBER})|(?P<percent>{_NUMBER})\s*%)\s*", re.IGNORECASE)
_LESS = re.compile(r"(?:<=|<)\s*")
_DURATION = re.compile(rf"(?P<value>{_NUMBER})\s*(?P<unit>[a-zA-Zµ]+)\s*")
_OVER = re.compile(r"over\s+", re.IGNORECASE)


class SLO(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A latency objective: the share `objective` of requests answered within `latency_s`.

    Args:
        latency_s: Bound on arrival to answer, in seconds, > 0.
        objective: Target share of good requests, in (0, 1).
        window_s: Rolling window the share is judged over, in seconds, from 10 s to 90 days.

    Raises:
        ObjectiveError: A value is outside its range.
    """

    latency_s: float
    objective: float = 0.99
    window_s: float = DEFAULT_WINDOW_S

    def __post_init__(self) -> None:
        faults = []
        if not 0 < self.latency_s < 1e6:
            faults.append(f"latency_s must be in (0, 1e6) seconds, not {self.latency_s!r}")
        if not 0 < self.objective < 1:
            faults.append(f"objective must be a share in (0, 1) such as 0.99, not {self.objective!r}")
        if not WINDOW_S_MIN <= self.window_s <= WINDOW_S_MAX:
            faults.append(
                f"window_s must be in [{WINDOW_S_MIN:g}, {WINDOW_S_MAX:g}] seconds (10s to 90d), not {self.window_s!r}"
            )
        if faults:
            raise ObjectiveError("SLO: " + "; ".join(faults))

    @property
    def percent_text(self) -> str:
        """The target share in percent, to its last digit: "99.9"."""
        return _plain(_exact(self.objective) * 100)

    def __str__(self) -> str:
        text = f"{self.percent_text}% < {_duration_text(self.latency_s)}"
        if self.window_s != DEFAULT_WINDOW_S:
            text += f" over {_duration_text(self.window_s)}"
        return text


def parse_slo(text: str) -> SLO:
    """Read an objective such as `"99% < 100ms"`, `"p99 < 100ms"` or `"99.9% < 250ms over 7d"`.

    Raises:
        ObjectiveError: The text cannot be read; the message marks the place with a caret.
    """
    share = _SHARE.match(text)
    if share is None:
        raise _unreadable(text, 0, "expected a share such as 99% or p99")
    percent = Decimal(share["p"] or share["percent"])
    if not 0 < percent < 100:
        raise _unreadable(text, share.start("p" if share["p"] else "percent"), "the share must lie between 0 and 100 %")
    less = _LESS.match(text, share.end())
    if less is None:
        raise _unreadable(text, share.end(), "expected '<'")
    latency_s, at = _duration(text, less.end())
    window_s = DEFAULT_WINDOW_S
    over = _OVER.match(text, at)
    if over is not None:
        window_s, at = _duration(text, over.end())
    if at != len(text):
        raise _unreadable(text, at, "expected the end, or 'over' and a window such as 7d")
    return SLO(latency_s=latency_s, objective=float(percent / 100), window_s=window_s)


def _duration(text: str, at: int) -> tuple[float, int]:
    found = _DURATION.match(text, at)
    if found is None:
        raise _unreadable(text, at, "expected a duration with its unit, such as 100ms")
    unit_s = _UNIT_S.get(found["unit"].lower().replace("µ", "u"))
    if unit_s is None:
        raise _unreadable(text, found.start("unit"), f"unknown unit {found['unit']!r}; known: {', '.join(_UNIT_S)}")
    value_s = float(Decimal(found["value"]) * unit_s)
    if value_s <= 0:
        raise _unreadable(text, found.start("value"), "a duration must be greater than zero")
    return value_s, found.end()


def _unreadable(text: str, at: int, what: str) -> ObjectiveError:
    return ObjectiveError(f"slo: {what} at column {at + 1}\n    {text}\n    {' ' * at}^\n{_EXAMPLES}")


def _duration_text(value_s: float) -> str:
    exact_s = _exact(value_s)
    for unit in ("d", "h", "min"):
        if exact_s >= _UNIT_S[unit] and exact_s % _UNIT_S[unit] == 0:
            return f"{exact_s // _UNIT_S[unit]}{unit}"
    unit = "s" if value_s >= 1 else "ms" if exact_s >= _UNIT_S["ms"] else "us"
    return _plain(exact_s / _UNIT_S[unit]) + unit


def _exact(value: float) -> Decimal:
    """The shortest decimal number that is read back as this one."""
    return Decimal(repr(float(value)))


def _plain(value: Decimal) -> str:
    """All digits and none too many, without an exponent."""
    return f"{value.normalize():f}"

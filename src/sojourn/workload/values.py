"""Parameters of a workload as people write them: numbers, durations, lists of them, choices."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:e([+-]?\d{1,3}))?\s*(ms|s|min|m|h|d|w)?", re.IGNORECASE)
_UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_ITEMS_MAX = 32

Reader = Callable[[str], Any]


def number(text: str) -> float:
    """A finite number; raises ValueError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if "_" in text or not math.isfinite(value):
        raise ValueError("a number")
    return value


def count(text: str) -> int:
    """A whole number >= 0; raises ValueError for anything else."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError("a whole number")
    return int(text)


def duration_s(text: str) -> float:
    """Seconds from `90`, `500ms`, `1.5m`, `1d`; raises ValueError for anything else."""
    found = _DURATION.fullmatch(text)
    value = float(f"{found[1]}e{found[2] or 0}") * _UNITS_S[(found[3] or "s").lower()] if found else math.inf
    if not math.isfinite(value):
        raise ValueError("a duration such as 90, 500ms, 4s, 15m, 6h, 1d or 1w")
    return value


def names(text: str) -> tuple[str, ...]:
    """Names joined by `+`; raises ValueError if one is empty."""
    found = tuple(name.strip() for name in text.split("+"))
    if not all(found):
        raise ValueError("a name, or several joined by +")
    return found


def several(read: Reader) -> Reader:
    """A reader of 2 to 32 values joined by `/`."""

    def read_all(text: str) -> tuple[Any, ...]:
        items = text.split("/")
        if not 2 <= len(items) <= _ITEMS_MAX:
            raise ValueError(f"2 to {_ITEMS_MAX} values joined by /")
        try:
            return tuple(read(item.strip()) for item in items)
        except ValueError as err:
            raise ValueError(f"values joined by /, each {err}") from err

    return read_all


def choice(*options: str) -> Reader:
    """A reader of one of some words."""

    def read(text: str) -> str:
        if text not in options:
            raise ValueError(f"one of {', '.join(options)}")
        return text

    return read

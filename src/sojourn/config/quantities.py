"""Reading the values of settings from text: counts, sizes, durations, switches."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import Any

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?b|b)?", re.IGNORECASE)
_SIZE_UNIT = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h)?", re.IGNORECASE)
_DURATION_UNIT_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

Reader = Callable[[Any], Any]


def read_count(value: Any) -> int:
    """A whole number; raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9][0-9_]{0,18}", value.strip()):
        return int(value)
    raise ValueError("must be a whole number")


def read_size(value: Any) -> int:
    """Bytes, as a number or a text such as `"256MiB"`; raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a number of bytes or a size such as "256MiB"')
    return int(float(found[1]) * _SIZE_UNIT[(found[2] or "b").lower()])


def read_duration_s(value: Any) -> float:
    """Seconds, as a number or a text such as `"500ms"`; raises ValueError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a number of seconds or a duration such as "500ms"')
    return float(found[1]) * _DURATION_UNIT_S[(found[2] or "s").lower()]


def read_switch(value: Any) -> bool:
    """True or false; raises ValueError for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _SWITCH:
        return _SWITCH[value.strip().lower()]
    raise ValueError("must be true or false")


def read_text(value: Any) -> str:
    """A text that is not empty; raises ValueError for anything else."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError("must be a text that is not empty")


def read_names(value: Any) -> tuple[str, ...]:
    """Names, as a list or a text with commas; raises ValueError for anything else."""
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return tuple(name.strip() for name in value if name.strip())
    raise ValueError('must be a list of names, or a text such as "a,b"')


def read_number(value: Any) -> float:
    """A number that may have a fraction; raises ValueError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,12})?", value.strip()):
        return float(value)
    raise ValueError("must be a number")

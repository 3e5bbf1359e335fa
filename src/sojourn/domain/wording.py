"""How numbers of things are written, the same in all texts."""

from __future__ import annotations


def counted(count: float, noun: str, plural: str = "") -> str:
    """A number with its noun, as a person would say it: `1 function`, `1,200 functions`, `1.5 cores`.

    Args:
        count: How many, >= 0.
        noun: What one of them is called.
        plural: What several are called; by default the noun with an s.
    """
    number = f"{count:,}" if isinstance(count, int) else f"{count:,g}"
    return f"{number} {noun if count == 1 else plural or noun + 's'}"

"""Chance as the core sees it: drawn by whoever constructs it, never by itself."""

from __future__ import annotations

from typing import Protocol


class Rng(Protocol):
    """A source of uniform numbers; `random.Random` is one."""

    def random(self) -> float:
        """A number in [0, 1)."""

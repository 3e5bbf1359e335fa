"""The last few values of a series, in the order they came and sorted."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable


class SortedWindow:
    """Keeps the last `longest` values; a new one finds its place, so that quantiles need no sorting.

    `in_order` (the oldest first) and `ascending` are public to read.

    Args:
        longest: How many are kept, >= 1.
        values: The first ones; of more than `longest` the last.
    """

    __slots__ = ("ascending", "in_order")

    def __init__(self, longest: int, values: Iterable[float] = ()) -> None:
        self.in_order: deque[float] = deque(values, maxlen=longest)
        self.ascending = sorted(self.in_order)

    def __len__(self) -> int:
        return len(self.ascending)

    def append(self, value: float) -> None:
        """Add a value; the oldest goes if there are too many."""
        in_order, ascending = self.in_order, self.ascending
        if len(in_order) == in_order.maxlen:
            del ascending[bisect_left(ascending, in_order[0])]
        in_order.append(value)
        insort(ascending, value)

    def clear(self) -> None:
        """Forget all."""
        self.in_order.clear()
        self.ascending.clear()

"""How much room a pool keeps, at each size up to which replicas are due, for those that are due by then."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from math import inf, isqrt

ROUNDING = 1e-9
_BLOCK_MIN = 16


class DueRoom:
    """Room at each due point: what a pool of that size has left after what is given and what is still due by then.

    Replicas that are due at the same size share one point. What is given ahead of its due point takes room at all
    points before it; what is given at its due point was counted there already. Points lie in blocks of about the square
    root of their number, each with its least room, so that a gift costs about as much as two blocks have points.

    Attributes:
        points: The due points, rising.
        before: For each point, how many points lie before it by more than rounding.

    Args:
        owed: Due point and share of the pool of each replica that is not given yet, in any order.
        given: Share of the pool given already.
    """

    def __init__(self, owed: Iterable[tuple[float, float]], given: float) -> None:
        left: dict[float, int] = {}  # replicas still due at each point
        shares: dict[float, float] = {}
        for due_at, share in owed:
            left[due_at] = left.get(due_at, 0) + 1
            shares[due_at] = shares.get(due_at, 0.0) + share
        self.points = sorted(left)
        self.before = [bisect_left(self.points, due_at - ROUNDING) for due_at in self.points]
        self._left = [left[due_at] for due_at in self.points]
        rooms, due_sum = [], 0.0
        for due_at in self.points:
            due_sum += shares[due_at]
            rooms.append(due_at - given - due_sum)
        self._length = max(isqrt(len(rooms)), _BLOCK_MIN)
        self._blocks = [rooms[begin : begin + self._length] for begin in range(0, len(rooms), self._length)]
        self._shifts = [0.0] * len(self._blocks)  # to be added to all rooms of a block
        self._least = [min(block) for block in self._blocks]  # shift included

    def first_below(self, share: float) -> int:
        """Index of the first point that has no room for this share; the number of points if all have."""
        limit = share - ROUNDING
        for number, least in enumerate(self._least):
            if least < limit:
                shift = self._shifts[number]
                for place, room in enumerate(self._blocks[number]):
                    if room + shift < limit:
                        return number * self._length + place
        return len(self.points)

    def is_below(self, index: int, share: float) -> bool:
        """Whether a point has no room for this share; False if nothing is due there any more."""
        number, place = divmod(index, self._length)
        return self._blocks[number][place] + self._shifts[number] < share - ROUNDING

    def give(self, index: int, share: float) -> bool:
        """A replica that is due at this point is given; whether nothing is due there any more."""
        number, place = divmod(index, self._length)
        if place:
            block = self._blocks[number]
            block[:place] = [room - share for room in block[:place]]
        if number:
            self._shifts[:number] = [shift - share for shift in self._shifts[:number]]
            self._least[:number] = [least - share for least in self._least[:number]]
        return self._settle(index)

    def drop(self, index: int, share: float) -> bool:
        """A replica that is due at this point will not be given: from there on there is that much more room.

        Returns:
            Whether nothing is due there any more.
        """
        number, place = divmod(index, self._length)
        block, after = self._blocks[number], number + 1
        block[place:] = [room + share for room in block[place:]]
        self._shifts[after:] = [shift + share for shift in self._shifts[after:]]
        self._least[after:] = [least + share for least in self._least[after:]]
        return self._settle(index)

    def _settle(self, index: int) -> bool:
        """One less is due at a point; where nothing is due any more, no room has to be kept."""
        number, place = divmod(index, self._length)
        block = self._blocks[number]
        self._left[index] -= 1
        is_empty = not self._left[index]
        if is_empty:
            block[place] = inf
        self._least[number] = min(block) + self._shifts[number]
        return is_empty

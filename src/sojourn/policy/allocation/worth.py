"""What numbers of replicas are worth to functions, worked out once for as long as nothing about them changes."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from sojourn.policy.allocation.port import Demand
from sojourn.policy.allocation.utility import utility

_WORTHLESS = 1e-3  # utility; what changes it by less is not worth a replica another could use
_PAYS_WITHIN_S = 60.0
_PAYS_WITHIN_STARTS = 10.0
_MOVE_S = 2.0
_LEAST_SHARE = 1e-9
_DIGITS = 9


class Worth:
    """The utility of each number of replicas of one function, remembered.

    Args:
        demand: The function's.
    """

    __slots__ = ("_demand", "_utilities")

    def __init__(self, demand: Demand) -> None:
        self._demand = demand
        self._utilities: dict[int, float] = {}

    def of(self, count: int) -> float:
        """The utility of so many replicas, in [0, 1]."""
        known = self._utilities.get(count)
        if known is None:
            known = self._utilities[count] = utility(self._demand, count)
        return known

    def holds_for(self, demand: Demand) -> bool:
        """Whether another demand of the function has the same utilities: nothing that they depend on differs."""
        mine = self._demand
        return demand is mine or (
            demand.service is mine.service
            and demand.arrivals_per_s == mine.arrivals_per_s
            and demand.latency_s == mine.latency_s
            and demand.slots == mine.slots
            and (demand.service is not None or demand.wanted == mine.wanted)
        )


class Worths:
    """The worths of all functions that were in the last allocation; others are forgotten."""

    def __init__(self) -> None:
        self._by_function: dict[str, Worth] = {}

    def of(self, demands: Iterable[Demand]) -> list[Worth]:
        """One worth for each demand, in order."""
        known, self._by_function = self._by_function, {}
        answer = []
        for demand in demands:
            worth = known.get(demand.function)
            if worth is None or not worth.holds_for(demand):
                worth = Worth(demand)
            self._by_function[demand.function] = worth
            answer.append(worth)
        return answer


def slopes(demand: Demand, ceiling: int, worth: Worth, share: float) -> list[float]:
    """Gain per share of the pool of each replica past the minimum, non-increasing, 0 where it is not worth having.

    Args:
        demand: The function's; its weight, its replicas and its cold start count.
        ceiling: The most it is to be given.
        worth: Its utilities.
        share: Of the pool, for one replica.
    """
    minimum, current = demand.minimum, demand.current
    best = before = worth.of(minimum)
    length = ceiling - minimum
    if best >= 1.0:  # nothing is better than all
        return [0.0] * length
    pays_within_s = max(_PAYS_WITHIN_S, _PAYS_WITHIN_STARTS * demand.cold_start_s)
    useful = max(1.0 - (demand.cold_start_s + _MOVE_S) / pays_within_s, 0.0)
    gains, falls, last = [], True, inf
    for count in range(minimum + 1, ceiling + 1):
        best = max(best, worth.of(count))  # nobody has to use all it is given
        gain = best - before if count <= current else (best - before) * useful
        falls = falls and gain <= last
        gains.append(gain)
        if best >= 1.0:
            break
        before, last = best, gain
    gains += [0.0] * (length - len(gains))
    if not falls:
        gains = flattened(gains)
    scale = demand.weight / max(share, _LEAST_SHARE)
    # Rounded, so that gains which are equal but for the last bits tie whatever the pool's size.
    return [round(gain, _DIGITS) * scale if gain > _WORTHLESS else 0.0 for gain in gains]


def flattened(gains: list[float]) -> list[float]:
    """Steps of the smallest concave majorant of the sums of `gains`: later rises are spread over what leads to them."""
    blocks: list[tuple[float, int]] = []  # sum, length
    for gain in gains:
        total, length = gain, 1
        while blocks and blocks[-1][0] * length < total * blocks[-1][1]:
            before, before_length = blocks.pop()
            total, length = total + before, length + before_length
        blocks.append((total, length))
    return [total / length for total, length in blocks for _ in range(length)]

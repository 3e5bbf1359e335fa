"""What a request on time costs at least: the fresher a batch, the more of it is on time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from sojourn.study.work import LeastWork, least_costs_s

_CELLS = 100  # of the objective; ages are rounded down to these
_GROUP = 1.01  # sizes within this factor are counted as one, with the time of the least and the members of the largest
_ROUNDING_S = 1e-9
_CELLS_MAX = 200_000  # of a run; longer ones keep to `least_costs_s`


def on_time_costs_s(
    arrivals_s: Sequence[float], work: LeastWork, least_s: Sequence[float] | None = None
) -> Sequence[float]:
    """Least replica time per expected request on time, for each request; infinite where none can be [s].

    A batch of mean time l(b) that starts at s has a member that waited for w on time with chance F(S - w), F being how
    a batch of this size varies, whatever was known at s. Its time is charged to its members by these chances, so that
    every expected request on time in it pays l(b) / sum(F), which is least when its members are the b that arrived last
    before s. A request pays at least the least of that over all starts from its arrival to its deadline.
    `least_costs_s` knows no chances: with noise every member that arrived within the objective counts whole there.

    With noise it is rounded, always to the cheaper side: time to cells of a hundredth of the objective, large sizes to groups.

    Args:
        arrivals_s: Instants, ascending [s].
        work: What batches cost.
        least_s: Their `least_costs_s`, if known; no cost is below these.
    """
    least_s = least_costs_s(arrivals_s, work) if least_s is None else least_s
    if not arrivals_s or not work.by_size_s or not work.latency_s > 0.0:
        return least_s
    if not work.is_noisy:
        ahead_s = _least_ahead(_exact_s(arrivals_s, work), arrivals_s, work.latency_s + _ROUNDING_S)
        return [max(costs_s) for costs_s in zip(ahead_s, least_s, strict=True)]
    cell_s = work.latency_s / _CELLS
    first_s = arrivals_s[0]
    count = int((arrivals_s[-1] - first_s) / cell_s) + 1
    if count > _CELLS_MAX:
        return least_s
    places = [min(int((at_s - first_s) / cell_s), count - 1) for at_s in arrivals_s]
    arrived = [0] * count
    for place in places:
        arrived[place] += 1
    ahead_s = _least_ahead(_cheapest_s(arrived, _groups(work, cell_s)), range(count), _CELLS + 1)
    return [max(ahead_s[place], cost_s) for place, cost_s in zip(places, least_s, strict=True)]


class _Group(NamedTuple):
    """Sizes that are counted as one: members of the largest, time of the smallest, chances of it by age in cells."""

    members: int
    time_s: float
    chances: list[float]

    def cost_s(self, recent: Sequence[int]) -> tuple[float, bool]:
        """Time per expected request on time, given who arrived how many cells ago; whether all its members have arrived."""
        left, expected = self.members, 0.0
        for there, chance in zip(recent, self.chances, strict=False):
            if there >= left:
                return self.time_s / max(expected + left * chance, 1e-300), True
            expected += there * chance
            left -= there
        return self.time_s / max(expected, 1e-300), False


def _groups(work: LeastWork, cell_s: float) -> list[_Group]:
    groups, low, largest = [], 1, len(work.by_size_s)
    # Who arrived in the cell of the start may have waited for nothing, and who did in the one before as well.
    ages_s = [max(back - 1, 0) * cell_s for back in range(_CELLS + 2)]
    while low <= largest:
        high = min(max(int(low * _GROUP), low), largest)
        time_s = work.by_size_s[low - 1]
        chances = [work.noise.share_within(work.latency_s - age_s, time_s) for age_s in ages_s]
        groups.append(_Group(high, time_s, chances))
        low = high + 1
    return groups


def _cheapest_s(arrived: Sequence[int], groups: Sequence[_Group]) -> list[float]:
    """Least time per expected request on time of any batch that starts in a cell; infinite where nobody arrives."""
    costs_s, best = [], groups[0]
    for place, here in enumerate(arrived):
        if not here:  # an earlier start with the same members is cheaper
            costs_s.append(inf)
            continue
        recent = arrived[place - min(place, _CELLS + 1) : place + 1][::-1]
        best_s, _ = best.cost_s(
            recent
        )  # most often still the best: then most others cannot be, even if all were on time
        for group in groups:
            if group.time_s < best_s * group.members:
                cost_s, is_full = group.cost_s(recent)
                if cost_s < best_s:
                    best_s, best = cost_s, group
                if not is_full:
                    break  # larger ones have nobody more
        costs_s.append(best_s)
    return costs_s


def _exact_s(arrivals_s: Sequence[float], work: LeastWork) -> list[float]:
    """Least time per request on time of any batch that starts as somebody arrives, where times do not vary."""
    costs_s = [inf] * len(arrivals_s)
    for size, time_s in enumerate(work.by_size_s, 1):
        reach_s = work.latency_s - time_s + _ROUNDING_S
        oldest = 0
        for place, at_s in enumerate(arrivals_s):
            while arrivals_s[oldest] < at_s - reach_s:
                oldest += 1
            cost_s = time_s / min(place - oldest + 1, size)
            costs_s[place] = min(costs_s[place], cost_s)
    return costs_s


def _least_ahead(costs: Sequence[float], instants: Sequence[float], reach: float) -> list[float]:
    """For each instant the least cost of it and of those that come at most `reach` later."""
    least, ahead = [inf] * len(costs), deque[int]()
    for place in range(len(costs) - 1, -1, -1):
        while ahead and costs[ahead[-1]] >= costs[place]:
            ahead.pop()
        ahead.append(place)
        while instants[ahead[0]] > instants[place] + reach:
            ahead.popleft()
        least[place] = costs[ahead[0]]
    return least

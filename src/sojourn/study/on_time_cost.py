"""What a request on time costs at least: the fresher a batch, the more of it is on time."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from sojourn.study.work import LeastWork, least_costs_s

_TICKS = 500  # in an objective; arrivals and ages are rounded down to these
_GROUP = 1.01  # sizes within this factor are counted as one, with the time of the least and the members of the largest
_ROUNDING_S = 1e-9
_STARTS_MAX = 200_000  # ticks with arrivals in a run; busier ones keep to `least_costs_s`


def on_time_costs_s(
    arrivals_s: Sequence[float], work: LeastWork, least_s: Sequence[float] | None = None
) -> Sequence[float]:
    """Least replica time per expected request on time, for each request; infinite where none can be [s].

    A batch of mean time l(b) that starts at s has a member that waited for w on time with chance F(S - w), F being how
    a batch of this size varies, whatever was known at s. Its time is charged to its members by these chances, so that
    every expected request on time in it pays l(b) / sum(F), which is least when its members are the b that arrived last
    before s, and s is when the newest of them arrived: an earlier start than any other with the same members. A request
    pays at least the least of that over all starts from its arrival to its deadline.
    `least_costs_s` knows no chances: with noise every member that arrived within the objective counts whole there.

    With noise it is rounded, always to the cheaper side: ages to five-hundredths of the objective, large sizes to groups.

    Args:
        arrivals_s: Instants, ascending [s].
        work: What batches cost.
        least_s: Their `least_costs_s`, if known; no cost is below these.
    """
    least_s = least_costs_s(arrivals_s, work) if least_s is None else least_s
    if not arrivals_s or not work.by_size_s or not work.latency_s > 0.0:
        return least_s
    reach_s = work.latency_s + _ROUNDING_S
    if work.is_noisy:
        tick_s = work.latency_s / _TICKS
        ticks = [int((at_s - arrivals_s[0]) / tick_s) for at_s in arrivals_s]
        if len(set(ticks)) > _STARTS_MAX:
            return least_s
        costs_s = _cheapest_s(ticks, _groups(work, tick_s))
    else:
        costs_s = _exact_s(arrivals_s, work)
    return list(map(max, _least_ahead(costs_s, arrivals_s, reach_s), least_s))


class _Group(NamedTuple):
    """Sizes that are counted as one: members of the largest, time of the smallest, chances of it by age in ticks."""

    members: int
    time_s: float
    chances: list[float]

    def expected(self, ages: Sequence[int]) -> float:
        """How many of its members are on time on the mean, given the ages of who arrived, the freshest first."""
        return sum(map(self.chances.__getitem__, ages[: self.members]))


def _groups(work: LeastWork, tick_s: float) -> list[_Group]:
    groups, low, largest = list[_Group](), 1, len(work.by_size_s)
    # Who arrived so many ticks ago may have waited for almost one less.
    ages_s = [max((age - 1) * tick_s - _ROUNDING_S, 0.0) for age in range(_TICKS + 2)]
    while low <= largest:
        high = min(max(int(low * _GROUP), low), largest)
        time_s = work.by_size_s[low - 1]
        chances = [work.noise.share_within(work.latency_s - age_s, time_s) for age_s in ages_s]
        groups.append(_Group(high, time_s, chances))
        low = high + 1
    return groups


def _cheapest_s(ticks: Sequence[int], groups: Sequence[_Group]) -> list[float]:
    """Least time per expected request on time of any batch that starts in the tick of this arrival."""
    costs_s, best = [inf] * len(ticks), groups[-1]
    for place in range(len(ticks) - 1, -1, -1):
        now = ticks[place]
        if ticks[place + 1 : place + 2] == [now]:
            costs_s[place] = costs_s[place + 1]  # an earlier start in this tick has no more members and none younger
            continue
        first = max(bisect_left(ticks, now - _TICKS - 1), place + 1 - groups[-1].members)
        ages = [now - tick for tick in ticks[first : place + 1]][::-1]
        best_s = best.time_s / max(best.expected(ages), 1e-300)  # most often the best again: then few others can be
        members, expected, chance = 0, 0.0, 1.0
        for group in groups:
            # A larger batch takes longer, so that its chances are lower at any age: it expects no more of the members
            # of a smaller one than that does, and of every older one no more than that would of the next.
            if group.time_s >= best_s * (expected + (group.members - members) * chance):
                continue
            members, expected = group.members, group.expected(ages)
            if group.time_s < best_s * expected:
                best_s, best = group.time_s / expected, group
            if members >= len(ages):
                break  # larger ones have nobody more
            chance = group.chances[ages[members]]
        costs_s[place] = best_s
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

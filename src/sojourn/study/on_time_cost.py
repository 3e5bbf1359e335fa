"""What a request on time costs at least: the fresher a batch, the more of it is on time."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from math import inf
from operator import truediv
from typing import NamedTuple

from sojourn.study.work import LeastWork, least_costs_s

_TICKS = 400  # in an objective; arrivals and ages are rounded down to these
_OLD = _TICKS // 2 + 1  # ticks after which a request has waited for half the objective at least
_GROUP = 1.01  # sizes within this factor are counted as one, with the time of the least and the members of the largest
_LEAST_CHANCE = 1e-9  # lower ones are rounded up to this: their ratios are those of rounding errors
_ROUNDING_S = 1e-9
_STARTS_MAX = 200_000  # ticks with arrivals in a run; busier ones keep to `least_costs_s`


def on_time_costs_s(
    arrivals_s: Sequence[float], work: LeastWork, least_s: Sequence[float] | None = None
) -> Sequence[float]:
    """Least replica time per expected request on time, for each request; infinite, or with noise immense, where none can be [s].

    A batch of mean time l(b) that starts at s has a member that waited for w on time with chance F(S - w), F being how
    a batch of this size varies, whatever was known at s. Its time is charged to its members by these chances, so that
    every expected request on time in it pays l(b) / sum(F), which is least when its members are the b that arrived last
    before s, and s is when the newest of them arrived: an earlier start than any other with the same members. A request
    pays at least the least of that over all starts from its arrival to its deadline, and is a member itself: where it is
    older than half the objective S, the last of the b has no better chance than F(S / 2).
    `least_costs_s` knows no chances: with noise every member that arrived within the objective counts whole there.

    With noise it is rounded, always to the cheaper side: ages to four-hundredths of the objective, large sizes to groups.

    Args:
        arrivals_s: Instants, ascending [s].
        work: What batches cost.
        least_s: Their `least_costs_s`, if known; no cost is below these.
    """
    least_s = least_costs_s(arrivals_s, work) if least_s is None else least_s
    if not arrivals_s or not work.by_size_s or not work.latency_s > 0.0:
        return least_s
    reach_s = work.latency_s + _ROUNDING_S
    if not work.is_noisy:
        return list(map(max, _least_ahead(_exact_s(arrivals_s, work), arrivals_s, reach_s), least_s))
    tick_s = work.latency_s / _TICKS
    ticks = [int((at_s - arrivals_s[0]) / tick_s) for at_s in arrivals_s]
    if len(set(ticks)) > _STARTS_MAX:
        return least_s
    costs_s, old_costs_s = _cheapest_s(ticks, _groups(work, tick_s))
    ahead_s = _least_ahead(costs_s, arrivals_s, reach_s / 2)
    return list(map(max, map(min, ahead_s, _least_ahead(old_costs_s, arrivals_s, reach_s)), least_s))


class _Group(NamedTuple):
    """Sizes that are counted as one, in units of their own, so that larger groups have no larger chance at any age.

    Args:
        members: The largest of them.
        time_s: Mean time of a batch of the smallest, over the group's unit [s].
        chances: That it is on time for a member, over the group's unit; by age in ticks.
    """

    members: int
    time_s: float
    chances: list[float]

    def costs_s(self, ages: Sequence[int]) -> tuple[float, float, float]:
        """What it expects of who arrived, the freshest first; the cost of each, and that if at least one of them is old."""
        expected = with_old = sum(map(self.chances.__getitem__, ages[: self.members]))
        if self.members <= len(ages):
            with_old -= max(self.chances[ages[self.members - 1]] - self.chances[_OLD], 0.0)
        return expected, self.time_s / expected, self.time_s / with_old


def _groups(work: LeastWork, tick_s: float) -> list[_Group]:
    groups, low, largest = list[_Group](), 1, len(work.by_size_s)
    # Who arrived so many ticks ago may have waited for almost one less.
    ages_s = [max((age - 1) * tick_s - _ROUNDING_S, 0.0) for age in range(_TICKS + 2)]
    smaller = [1.0] * len(ages_s)
    while low <= largest:
        high = min(max(int(low * _GROUP), low), largest)
        time_s = work.by_size_s[low - 1]
        chances = [work.noise.share_within(work.latency_s - age_s, time_s) for age_s in ages_s]
        # A larger batch takes longer, so that its chances are lower: by how much at least, at any age, is its unit.
        unit = max(*map(truediv, chances, smaller), _LEAST_CHANCE)
        smaller = [max(chance / unit, _LEAST_CHANCE) for chance in chances]
        groups.append(_Group(high, time_s / unit, smaller))
        low = high + 1
    return groups


def _cheapest_s(ticks: Sequence[int], groups: Sequence[_Group]) -> tuple[list[float], list[float]]:
    """Least time per expected request on time of batches that start in the tick of each arrival; and of those with an old one."""
    costs_s, old_costs_s, best = [inf] * len(ticks), [inf] * len(ticks), groups[-1]
    ideals = [-cost_s for cost_s in accumulate((group.time_s / group.members for group in groups), min)]
    for place in range(len(ticks) - 1, -1, -1):
        now = ticks[place]
        if ticks[place + 1 : place + 2] == [now]:  # an earlier start in this tick has no more members and none younger
            costs_s[place], old_costs_s[place] = costs_s[place + 1], old_costs_s[place + 1]
            continue
        first = max(bisect_left(ticks, now - _TICKS - 1), place + 1 - groups[-1].members)
        ages = [now - tick for tick in ticks[first : place + 1]][::-1]
        _, least_s, old_s = best.costs_s(ages)  # most often the best again: then few others can be
        members, expected, chance, limit_s = 0, 0.0, 1.0, old_s
        for group in groups[bisect_left(ideals, -old_s) :]:
            # It expects of the members of a smaller one no more than that does, and of each of the others no more than
            # that would of the next, less what an old one lacks.
            if group.time_s >= limit_s * (expected + (group.members - members) * chance):
                continue
            members = group.members
            expected, cost_s, with_old_s = group.costs_s(ages)
            old_s = min(old_s, with_old_s)
            if cost_s < least_s:
                least_s, best = cost_s, group
            if members >= len(ages):
                break  # larger ones have nobody more
            chance = group.chances[ages[members]]
            lack = max(chance - group.chances[_OLD], 0.0)
            limit_s = max(least_s, old_s * (1.0 - lack / (expected + (groups[-1].members - members) * chance)))
        costs_s[place], old_costs_s[place] = least_s, old_s
    return costs_s, old_costs_s


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

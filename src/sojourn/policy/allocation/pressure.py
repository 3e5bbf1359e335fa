"""Give each part of the pool to the function whose objective gains most by it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import inf

from sojourn.domain.resources import Resources
from sojourn.errors import ConfigurationError
from sojourn.policy.allocation.port import Allocation, Demand
from sojourn.policy.allocation.utility import utility

_WORTHLESS = 1e-3  # utility; what changes it by less is not worth a replica another could use
_PAYS_WITHIN_S = 60.0
_PAYS_WITHIN_STARTS = 10.0
_MOVE_S = 2.0
_ROUNDING = 1e-9
_DIGITS = 9


class PressurePolicy:
    """From the minima upwards, the next replica goes where `weight * utility` rises most per share of the pool.

    The utility of a count is made concave first (its smallest concave majorant), so that a function for which one
    replica brings little but three bring much competes with what the three bring on average.

    *Fair claim.* A function may use its weight's share of the pool, among the functions that want anything. What it
    wants inside this share it gets, however much the others gain (as long as minima leave room for it): such a
    replica has a due point, the size at which a growing pool would owe it, and the order of giving keeps all due
    points. As that order does not depend on where the pool ends, a larger pool takes nothing away (exactly so for
    equal claims).

    *Hysteresis.* A replica that a function does not have yet is counted as useful only from its cold start plus 2 s
    on, within the next 60 s (or ten cold starts, if that is longer). So a replica moves from one function to another only
    for a gain that pays for that, and not at all for none.

    Once nobody gains more than 1e-3, wants that are still open are met as far as the pool goes, replicas already
    there first, then the function with the least of its fair share.

    Source:
        ALGORITHMS 6; Faro (EuroSys 2025) for utilities of predicted latency; the due points are those of the quota
        method of apportionment (M. L. Balinski, H. P. Young, "The quota method of apportionment", 1975).
    """

    def allocate(self, demands: Sequence[Demand], pool: Resources) -> Allocation:
        """Replicas per function that fit the pool; never below the minima nor above the wants.

        Raises:
            ConfigurationError: The minima alone exceed the pool.
        """
        by_name = sorted(demands, key=lambda demand: demand.function)
        _check_minima(by_name, pool)
        if _sum(by_name, [demand.ceiling for demand in by_name]).fits(pool):
            return Allocation({demand.function: demand.ceiling for demand in by_name}, {})
        weights = sum(demand.weight for demand in by_name if demand.ceiling)
        contenders = [_Contender(demand, pool, weights) for demand in by_name]
        _give(contenders, pool, _sum(by_name, [demand.minimum for demand in by_name]))
        return Allocation(
            {each.demand.function: each.replicas for each in contenders},
            {each.demand.function: each.why() for each in contenders if each.replicas < each.demand.ceiling},
        )


class _Contender:
    """A function on its way from its minimum to its ceiling."""

    __slots__ = ("demand", "due", "fair_share", "replicas", "share", "slopes")

    def __init__(self, demand: Demand, pool: Resources, weights: float) -> None:
        self.demand = demand
        self.replicas = demand.minimum
        self.share = demand.claim.largest_share_of(pool)
        self.fair_share = demand.weight / weights if demand.ceiling else 0.0
        self.slopes = _slopes(demand, self.share) if demand.ceiling > demand.minimum else []
        # The pool size, as a share of this pool, at which a growing pool would owe the n-th replica.
        step = self.share / max(self.fair_share, _ROUNDING)
        self.due = [0.0, *(number * step for number in range(1, demand.ceiling + 1))]

    @property
    def is_open(self) -> bool:
        return self.replicas < self.demand.ceiling

    @property
    def next_due(self) -> float:
        return self.due[self.replicas + 1]

    def rank(self) -> tuple[float, bool, float, str]:
        """What the next replica is compared by; the least goes first."""
        slope = self.slopes[self.replicas - self.demand.minimum]
        is_new = self.replicas >= self.demand.current
        return -slope, is_new, self.next_due, self.demand.function

    def why(self) -> str:
        demand = self.demand
        return (
            f"{self.replicas} of {demand.ceiling} wanted: the pool is used up; {self.replicas * self.share:.0%} of it"
            f" against a fair claim of {self.fair_share:.0%}, utility {utility(demand, self.replicas):.3f}"
            f" (of {utility(demand, demand.ceiling):.3f})"
        )


def _slopes(demand: Demand, share: float) -> list[float]:
    """Gain per share of the pool of each replica past the minimum, non-increasing, 0 where it is not worth having."""
    pays_within_s = max(_PAYS_WITHIN_S, _PAYS_WITHIN_STARTS * demand.cold_start_s)
    useful = max(1.0 - (demand.cold_start_s + _MOVE_S) / pays_within_s, 0.0)
    best = before = utility(demand, demand.minimum)
    gains = []
    for count in range(demand.minimum + 1, demand.ceiling + 1):
        best = max(best, utility(demand, count))  # nobody has to use all it is given
        gains.append((best - before) * (1.0 if count <= demand.current else useful))
        before = best
    scale = demand.weight / max(share, _ROUNDING)
    # Rounded, so that gains which are equal but for the last bits tie whatever the pool's size.
    return [round(gain, _DIGITS) * scale if gain > _WORTHLESS else 0.0 for gain in _flattened(gains)]


def _flattened(gains: list[float]) -> list[float]:
    """Steps of the smallest concave majorant of the sums of `gains`: later rises are spread over what leads to them."""
    blocks: list[tuple[float, int]] = []  # sum, length
    for gain in gains:
        total, length = gain, 1
        while blocks and blocks[-1][0] * length < total * blocks[-1][1]:
            before, before_length = blocks.pop()
            total, length = total + before, length + before_length
        blocks.append((total, length))
    return [total / length for total, length in blocks for _ in range(length)]


def _give(contenders: list[_Contender], pool: Resources, used: Resources) -> None:
    """Raise the contenders' replicas one by one until nothing more that is wanted fits."""
    open_ones = [each for each in contenders if each.is_open]
    owed = sorted(
        (due, each.demand.function, each.share) for each in open_ones for due in each.due[each.replicas + 1 :]
    )
    given = sum(each.replicas * each.share for each in contenders if each.replicas)
    while open_ones:
        chosen = min(_allowed(open_ones, owed, given), key=_Contender.rank)
        more = used.plus(chosen.demand.claim)
        if more.fits(pool):
            del owed[bisect_left(owed, (chosen.next_due, chosen.demand.function))]
            used, given = more, given + chosen.share
            chosen.replicas += 1
            if not chosen.is_open:
                open_ones.remove(chosen)
        else:  # it cannot have what is owed to it, so nobody has to leave room for that
            open_ones.remove(chosen)
            owed = [each for each in owed if each[1] != chosen.demand.function]


def _allowed(open_ones: list[_Contender], owed: list[tuple[float, str, float]], given: float) -> list[_Contender]:
    """Those whose next replica leaves room for all that is due before it.

    Room at a due point is what a pool of that size has left after what is given and what is due by then. The one that
    is due first is always allowed.

    Args:
        open_ones: Who wants more.
        owed: Due point, function and share of the pool of each replica not given yet, in order.
        given: Share of the pool given.
    """
    allowed, room, due_sum, position = [], inf, 0.0, 0
    least = min(each.share for each in open_ones) - _ROUNDING
    for due_at, _, each in sorted((each.next_due, each.demand.function, each) for each in open_ones):
        while owed[position][0] < due_at - _ROUNDING:
            due, _, share = owed[position]
            due_sum += share
            room = min(room, due - given - due_sum)
            position += 1
        if room < least:
            break
        if room >= each.share - _ROUNDING:
            allowed.append(each)
    return allowed


def _sum(demands: Sequence[Demand], counts: Sequence[int]) -> Resources:
    total = Resources()
    for demand, count in zip(demands, counts, strict=True):
        total = total.plus(demand.claim, count)
    return total


def _check_minima(demands: Sequence[Demand], pool: Resources) -> None:
    total = _sum(demands, [demand.minimum for demand in demands])
    if total.fits(pool):
        return
    lines = [f"{each.function}: {each.minimum} x ({_told(each.claim)})" for each in demands if each.minimum]
    raise ConfigurationError(
        f"the functions' min_replicas need more than the pool has: {_told(total)} of {_told(pool)} ("
        + "; ".join(lines)
        + "); lower min_replicas, cpus, gpus or memory of some, or enlarge the pool"
    )


def _told(amount: Resources) -> str:
    parts = [f"{amount.cpus:g} cpus", f"{amount.gpus:g} gpus", f"{amount.memory_bytes / 2**20:g} MiB"]
    return ", ".join(
        part for part, is_there in zip(parts, (True, amount.gpus, amount.memory_bytes), strict=True) if is_there
    )

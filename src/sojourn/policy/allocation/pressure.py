"""Give each part of the pool to the function whose objective gains most by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from sojourn.domain.resources import Resources, memory_text
from sojourn.domain.wording import counted
from sojourn.errors import ConfigurationError
from sojourn.policy.allocation.giving import Contender, Giving
from sojourn.policy.allocation.port import Allocation, Demand
from sojourn.policy.allocation.worth import Worths


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

    def __init__(self) -> None:
        self._worths = Worths()

    def allocate(self, demands: Sequence[Demand], pool: Resources) -> Allocation:
        """Replicas per function that fit the pool; never below the minima nor above the wants.

        Raises:
            ConfigurationError: The minima alone exceed the pool.
        """
        by_name = sorted(demands, key=lambda demand: demand.function)
        used = _sum(by_name, [demand.minimum for demand in by_name])
        if not used.fits(pool):
            _refuse_minima(by_name, used, pool)
        ceilings = [demand.ceiling for demand in by_name]
        if _sum(by_name, ceilings).fits(pool):
            return Allocation({demand.function: demand.ceiling for demand in by_name}, {})
        weights = sum(demand.weight for demand, ceiling in zip(by_name, ceilings, strict=True) if ceiling)
        shares: dict[Resources, float] = {}
        contenders = []
        for demand, ceiling, worth in zip(by_name, ceilings, self._worths.of(by_name), strict=True):
            share = shares.get(demand.claim)
            if share is None:
                share = shares[demand.claim] = demand.claim.largest_share_of(pool)
            contenders.append(Contender(demand, ceiling, worth, share, demand.weight / weights if ceiling else 0.0))
        Giving(contenders, pool, used).run()
        return Allocation(
            {each.demand.function: each.replicas for each in contenders},
            {each.demand.function: each.why() for each in contenders if each.is_open},
        )


def _sum(demands: Sequence[Demand], counts: Sequence[int]) -> Resources:
    total = Resources()
    for demand, count in zip(demands, counts, strict=True):
        total = total.plus(demand.claim, count)
    return total


def _refuse_minima(demands: Sequence[Demand], total: Resources, pool: Resources) -> NoReturn:
    lines = [f"{each.function}: {each.minimum} x ({_told(each.claim)})" for each in demands if each.minimum]
    raise ConfigurationError(
        f"the functions' min_replicas need more than the pool has: {_told(total)} of {_told(pool)} ("
        + "; ".join(lines)
        + "); lower min_replicas, cpus, gpus or memory of some, or enlarge the pool"
    )


def _told(amount: Resources) -> str:
    parts = [counted(amount.cpus, "cpu"), counted(amount.gpus, "gpu"), memory_text(amount.memory_bytes)]
    return ", ".join(
        part for part, is_there in zip(parts, (True, amount.gpus, amount.memory_bytes), strict=True) if is_there
    )

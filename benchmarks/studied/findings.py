"""What the rows say: who is best where, how far the default is from it, and how far all are from the bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from studied.models import MODELS
from studied.record import Gap, Row, by_place, gap_of

BEHIND = 0.03  # what the default may be behind the best
NEAR_BOUND = 0.95

Place = tuple[str, ...]


class Standing(NamedTuple):
    """A policy over all places.

    Args:
        policy: Its name.
        mean: Mean of its goodput over the best's.
        least: The least of them.
        where: The place of the least.
        behind: Places where it is more than 3 % behind.
        places: How many there are.
    """

    policy: str
    mean: float
    least: float
    where: Place
    behind: int
    places: int


def gaps(rows: Sequence[Row], policy: str) -> list[Gap]:
    """The policy against the best of each place where it was tried."""
    return [gap_of(policies, policy) for policies in by_place(rows).values() if policy in policies]


def standings(rows: Sequence[Row]) -> list[Standing]:
    """All policies, the best mean first."""
    found = []
    for policy in dict.fromkeys(row.policy for row in rows):
        own = gaps(rows, policy)
        worst = min(own, key=lambda gap: gap.ratio)
        ratios = [gap.ratio for gap in own]
        behind = sum(ratio < 1.0 - BEHIND for ratio in ratios)
        mean = sum(ratios) / len(ratios)
        found.append(Standing(policy, mean, worst.ratio, worst.place, behind, len(own)))
    return sorted(found, key=lambda standing: -standing.mean)


class Doubled(NamedTuple):
    """The default at twice the capacity.

    Args:
        model: Name.
        replicas: Of the pool.
        noise: Of service times.
        of_bound: Goodput over the most any policy can reach with these arrivals.
        of_staggered: Over n b / l(b) with the largest b whose 95th percentile leaves time to gather the next batch.
        of_alone: Over n b / l(b) with the largest b that is on time if nobody ever waits.
        best: Who has most.
        best_of_bound: What that one reaches of the bound.
    """

    model: str
    replicas: int
    noise: float
    of_bound: float
    of_staggered: float
    of_alone: float
    best: str
    best_of_bound: float


def doubled(rows: Sequence[Row], policy: str) -> list[Doubled]:
    """Goodput at twice the capacity against three bounds."""
    found = []
    for place, policies in by_place(rows).items():
        if place[3] != "steady-2" or policy not in policies:
            continue
        model, replicas, noise = MODELS[place[0]], int(place[1]), float(place[2])
        row, gap = policies[policy], gap_of(policies, policy)
        goodput = row.mean("goodput")
        found.append(
            Doubled(
                model.name,
                replicas,
                noise,
                goodput / row.mean("most"),
                goodput / model.capacity_per_s(replicas, noise),
                goodput / model.capacity_per_s(replicas, share_of_objective=1.0),
                gap.best,
                policies[gap.best].mean("goodput") / row.mean("most"),
            )
        )
    return found


def of_bound(row: Row) -> list[float]:
    """Share of the bound on goodput, seed by seed."""
    pairs = zip(row.figures["goodput"], row.figures["most"], strict=True)
    return [goodput / most for goodput, most in pairs if goodput is not None and most]


def front(policies: dict[str, Row]) -> list[str]:
    """Who is beaten by nobody in both attainment and replica time, the cheapest first."""
    known = sorted(policies.values(), key=lambda row: (row.mean("cost"), -row.mean("within")))
    kept, best = [], -1.0
    for row in known:
        if row.mean("within") > best:
            kept.append(row.policy)
            best = row.mean("within")
    return kept

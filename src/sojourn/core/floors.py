"""How much of the floors of all deployments the pool holds, and which revision of a function has what floor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sojourn.core.fleet import Deployment
from sojourn.core.pool import Pool
from sojourn.domain.resources import Resources


class Floors:
    """Gives each deployment as much of its floor as the pool has beside the others' floors; more could never be given.

    Of several revisions of one function only the live one has the function's floor; another has what a rollout
    reserved for it, one replica if it said nothing. Where there is no room for both, the live one keeps its first replica
    whatever happens, then the others get theirs, then the live one the rest: so a rollout goes on wherever one replica
    of each fits, and a candidate for which there is no room at all waits without harm. When one is left alone, it has
    its own floor again.

    Args:
        pool: What there is.
        deployments: By key.
    """

    def __init__(self, pool: Pool, deployments: Mapping[str, Deployment]) -> None:
        self._pool = pool
        self._deployments = deployments

    def settle(self, function: str) -> list[Deployment]:
        """Set the floors of a function's revisions anew, and no others; all of them."""
        present = [each for each in self._deployments.values() if not each.is_removed]
        revisions = [each for each in present if each.settings.name == function]
        claimed = _sum(each for each in present if each.settings.name != function)
        live = next((each for each in revisions if each.is_live), None)
        if live is None or len(revisions) == 1:
            for each in revisions:
                each.reserved = 0 if each.is_live else each.reserved
                floor = self._pool.most_beside(claimed, each.claim, max(each.floor, each.reserved))
                each.scaler.limit(floor, None)
            return revisions
        first = self._pool.most_beside(claimed, live.claim, 1)
        beside = claimed.plus(live.claim, first)
        for each in revisions:
            if each is not live:
                floor = self._pool.most_beside(beside, each.claim, min(each.reserved, each.scaler.max_replicas))
                each.scaler.limit(floor, None)
                beside = beside.plus(each.claim, floor)
                claimed = claimed.plus(each.claim, floor)
        wanted = min(max(live.floor, live.reserved), max(live.scaler.max_replicas, live.floor))
        live.scaler.limit(self._pool.most_beside(claimed, live.claim, wanted), None)
        return revisions

    def promote(self, promoted: Deployment) -> None:
        """The function's name means this deployment from now on."""
        for each in self._deployments.values():
            if each.settings.name == promoted.settings.name:
                each.is_live = each is promoted
                each.reserved = each.reserved if each.is_live else 0


def _sum(deployments: Iterable[Deployment]) -> Resources:
    total = Resources()
    for each in deployments:
        total = total.plus(each.claim, each.scaler.min_replicas)
    return total

"""How much of the floors of all deployments the pool holds, and which revision of a function has what floor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sojourn.core.fleet import Deployment
from sojourn.core.pool import Pool
from sojourn.domain.resources import Resources


class Floors:
    """Gives each deployment as much of its floor as the pool has beside the others' floors; more could never be given.

    Of several revisions of one function only the live one has the function's floor; a candidate has what a rollout
    reserved for it, one replica if it said nothing, and one that was live before keeps one until it is removed, so that
    it can finish what it has. Where there is no room for all of that, the first replica of each comes before anything
    else: that of one that is leaving, that of the live one, those of candidates, and last the rest of what the live one is to
    have. So a rollout goes on wherever one replica of each fits; where only one fits, a candidate waits without harm, and
    once it is live, until the one before it has finished. When one is left alone, it has its own floor again.

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
        if len(revisions) == 1:
            alone = revisions[0]
            alone.reserved = 0 if alone.is_live else alone.reserved
            floor = self._pool.most_beside(claimed, alone.claim, max(alone.floor, alone.reserved))
            alone.scaler.limit(floor, None)
            return revisions
        floors: dict[str, int] = {}
        for is_first in (True, False):
            for each in sorted(revisions, key=_precedence):
                before = floors.get(each.key, 0)
                most = 1 if is_first else max(_wanted(each) - before, 0)
                more = self._pool.most_beside(claimed, each.claim, most)
                floors[each.key] = before + more
                claimed = claimed.plus(each.claim, more)
        for each in revisions:
            floor = floors[each.key] if _wanted(each) else 0  # room was kept for its first all the same
            each.scaler.limit(floor, None)
        return revisions

    def settle_short(self, function: str) -> list[Deployment]:
        """Room may have come free: functions other than this one that have less than their floor get more of it.

        In the order in which they were deployed; those whose floors changed.
        """
        short = [
            each
            for each in self._deployments.values()
            if not each.is_removed
            and each.settings.name != function
            and each.scaler.min_replicas < max(each.floor if each.is_live else 0, each.reserved)
        ]
        changed = []
        for each in sorted(short, key=lambda each: each.number):
            before = each.scaler.min_replicas
            self.settle(each.settings.name)
            if each.scaler.min_replicas != before:
                changed.append(each)
        return changed

    def promote(self, promoted: Deployment) -> None:
        """The function's name means this deployment from now on; what it meant before is leaving."""
        for each in self._deployments.values():
            if each.settings.name == promoted.settings.name and each is not promoted:
                each.is_leaving = each.is_leaving or each.is_live
                each.is_live = False
        promoted.is_live, promoted.is_leaving = True, False


def _precedence(deployment: Deployment) -> tuple[bool, bool, int]:
    return not deployment.is_leaving, not deployment.is_live, deployment.number


def _wanted(deployment: Deployment) -> int:
    """The floor it is to have if there is room, while there are other revisions of its function."""
    if deployment.is_leaving:
        return max(deployment.reserved, 1)
    floor = max(deployment.floor if deployment.is_live else 0, deployment.reserved)
    return min(floor, max(deployment.scaler.max_replicas, deployment.floor if deployment.is_live else 0))


def _sum(deployments: Iterable[Deployment]) -> Resources:
    total = Resources()
    for each in deployments:
        total = total.plus(each.claim, each.scaler.min_replicas)
    return total

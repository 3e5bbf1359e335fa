"""Which functions have fewer replicas than they should, and starting what is missing."""

from __future__ import annotations

from math import inf

from sojourn.core.fleet import Deployment, Fleet
from sojourn.domain.action import ControllerAction, StartReplica

_STARTS_AT_ONCE_MIN = 2


class Shortage:
    """Those that are short of replicas, by key; each has its missing ones started as soon as that can be.

    Tell it with `note` whenever the target or the living replicas of a deployment may have changed.

    Args:
        fleet: All replicas, and the pool they share.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._short: dict[str, Deployment] = {}
        # A start takes processor time from serving: not more at once than there are cores.
        self._starts_at_once = max(int(min(fleet.pool.capacity.cpus, 1e6)), _STARTS_AT_ONCE_MIN)

    def note(self, deployment: Deployment) -> None:
        """Remember whether it has fewer replicas than it should have."""
        key = deployment.key
        if len(self._fleet.living(key)) < deployment.target and not deployment.is_removed:
            self._short[key] = deployment
        else:
            self._short.pop(key, None)

    def forget(self, key: str) -> None:
        """It is to have none any more."""
        self._short.pop(key, None)

    def start_missing(self, now_s: float, actions: list[ControllerAction]) -> None:
        """Start what is missing, those deployed first before others."""
        if self._short:
            for deployment in sorted(self._short.values(), key=lambda each: each.number):
                self._start(deployment, now_s, actions)

    def _start(self, deployment: Deployment, now_s: float, actions: list[ControllerAction]) -> None:
        """As far as backoff, the pool and the cores for starting allow."""
        if now_s < deployment.succession.start_after_s:
            return
        missing = deployment.target - len(self._fleet.living(deployment.key))
        for _ in range(min(missing, self._starts_at_once - len(self._fleet.starting()))):
            if not self._fleet.pool.has_room(deployment.claim):
                break  # what drains will make room; its exit brings us here again
            member, gpus = self._fleet.start(deployment, now_s)
            actions.append(StartReplica(deployment.key, member.replica_id, gpus))
        self.note(deployment)

    def next_start_at_s(self, now_s: float) -> float:
        """When the next backoff ends; infinity if none is under way."""
        after_s = (deployment.succession.start_after_s for deployment in self._short.values())
        return min((at_s for at_s in after_s if at_s > now_s), default=inf)

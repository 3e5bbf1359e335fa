"""What the controller knows of replicas: each with its state, each function with its wishes and failures."""

from __future__ import annotations

from collections.abc import Collection
from math import inf

import msgspec

from sojourn.core.pool import Pool
from sojourn.core.scaler import Scaler, Wish
from sojourn.core.succession import Succession
from sojourn.domain.function import FunctionSettings
from sojourn.domain.replica import ReplicaSignal, ReplicaState, next_state
from sojourn.domain.resources import Resources
from sojourn.domain.scaling import ScalingDecision


class Member(msgspec.Struct):
    """One replica from the decision to start it until its process is gone; `function` is the key of its deployment."""

    replica_id: int
    function: str
    started_at_s: float
    deployment: Deployment
    state: ReplicaState = ReplicaState.STARTING
    ready_at_s: float | None = None
    is_leased: bool = False


class Deployment(msgspec.Struct):
    """One function the controller looks after, or one of several revisions of it that run side by side.

    `key` is what all else calls it by, `number` the order of deployment. `wish` is how many replicas it wants, asked again at `look_at_s` or when something happens to it;
    `target` is how many it should have: as many as it wants and the pool allows. `claim` is what each replica claims.
    `is_commanded`: an operator has just set its bounds. `is_live`: its function's name means this one; `floor` is its own
    floor then, `reserved` what a rollout wants of it as long as there are others of the same name. `is_leaving`: the name
    meant it before, and it only finishes what it has.
    """

    key: str
    settings: FunctionSettings
    claim: Resources
    scaler: Scaler
    succession: Succession
    wish: Wish
    number: int = 0
    look_at_s: float = -inf
    is_commanded: bool = False
    is_live: bool = True
    is_leaving: bool = False
    floor: int = 0
    reserved: int = 0
    target: int = 0
    is_removed: bool = False
    replica_seconds_ended: float = 0.0
    cold_starts: int = 0
    last_decision: ScalingDecision | None = None


class Fleet:
    """All replicas that are not gone, by id and by key of their deployment, and what they hold of the pool.

    A deployment that was removed may still have replicas when another one with the same key begins.

    Args:
        pool: Where they get their resources.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.by_id: dict[int, Member] = {}
        self._by_function: dict[str, dict[int, Member]] = {}
        self._starting: dict[int, Member] = {}
        self._last_id = 0

    def start(self, deployment: Deployment, now_s: float) -> tuple[Member, tuple[int, ...]]:
        """A new replica, and the accelerators it gets; the pool must have room."""
        self._last_id += 1
        key = deployment.key
        gpus = self.pool.take(self._last_id, deployment.claim)
        member = self.by_id[self._last_id] = self._starting[self._last_id] = Member(
            self._last_id, key, now_s, deployment
        )
        self._by_function.setdefault(key, {})[self._last_id] = member
        return member, gpus

    def signal(self, member: Member, signal: ReplicaSignal) -> None:
        """A replica moves on in its life cycle."""
        member.state = next_state(member.state, signal)
        if member.state is not ReplicaState.STARTING:
            self._starting.pop(member.replica_id, None)

    def remove(self, replica_id: int) -> Member | None:
        """A replica's process is gone; None if it is unknown."""
        member = self.by_id.pop(replica_id, None)
        if member is not None:
            self._starting.pop(replica_id, None)
            self.pool.release(replica_id)
            members = self._by_function[member.function]
            del members[replica_id]
            if not members:
                del self._by_function[member.function]
        return member

    def of(self, function: str, *states: ReplicaState) -> list[Member]:
        """Replicas of a function in these states (all if none is named), oldest first."""
        members = self._by_function.get(function, {}).values()
        return [member for member in members if not states or member.state in states]

    def living(self, function: str) -> list[Member]:
        """Replicas of a function that take work or will, oldest first."""
        return self.of(function, ReplicaState.STARTING, ReplicaState.READY)

    def starting(self) -> Collection[Member]:
        """All replicas that are starting, oldest first."""
        return self._starting.values()

    def check(self) -> None:
        """Assert that indexes, states and the pool agree."""
        listed = {i: m for members in self._by_function.values() for i, m in members.items()}
        assert listed == self.by_id
        assert self._starting == {i: m for i, m in listed.items() if m.state is ReplicaState.STARTING}
        assert all(m.is_leased or m.state is not ReplicaState.READY for m in self.by_id.values())
        assert all(m.state is not ReplicaState.STOPPED for m in self.by_id.values())
        self.pool.check(self.by_id)

"""The controller of a platform: which replicas live. For now it keeps each function's minimum alive.

A pure state machine like the dispatcher: `step(event, now_s)` returns actions, `next_wake_at_s`
says when to step again without an event.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from sojourn.core.fleet import Deployment, Member
from sojourn.domain.action import (
    ControllerAction,
    LeaseReplica,
    ResumeStarts,
    RevokeReplica,
    StartReplica,
    StopReplica,
    SuspendStarts,
)
from sojourn.domain.event import (
    ControllerEvent,
    FunctionDeployed,
    FunctionRemoved,
    LeaseReturned,
    ReplicaExited,
    ReplicaReady,
    ReplicaSuspected,
    Tick,
)
from sojourn.domain.function import FunctionSettings
from sojourn.domain.replica import ReplicaSignal, ReplicaState
from sojourn.domain.rng import Rng

_BACKOFF_FIRST_S = 1.0
_BACKOFF_MAX_S = 60.0
_BACKOFF_JITTER = 0.2
_FAST_FAILURE_S = 10.0  # a replica that dies sooner after it was ready counts as failing to start
_CRASH_LOOP_AFTER = 5
_FREE_SUCCESSORS = 2


class Controller:
    """Keeps `max(1, min_replicas)` replicas of each function alive, with backoff when they die young.

    Args:
        rng: Chance for the jitter of the backoff.
    """

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._replica_id = 0
        self._members: dict[int, Member] = {}
        self._deployments: dict[str, Deployment] = {}
        self._on: dict[type, Callable[[Any, float, list[ControllerAction]], None]] = {
            FunctionDeployed: self._function_deployed,
            FunctionRemoved: self._function_removed,
            ReplicaReady: self._replica_ready,
            LeaseReturned: self._lease_returned,
            ReplicaSuspected: self._replica_suspected,
            ReplicaExited: self._replica_exited,
            Tick: self._tick,
        }

    @property
    def next_wake_at_s(self) -> float | None:
        """When the next replacement may be started or a start has taken too long; None if neither is due."""
        starts = (at_s for deployment in self._deployments.values() for at_s in deployment.start_at_s)
        earliest = min(starts, default=inf)
        for member in self._members.values():
            if member.state is ReplicaState.STARTING:
                earliest = min(earliest, member.started_at_s + self._start_timeout_s(member))
        return None if earliest == inf else earliest

    def step(self, event: ControllerEvent, now_s: float) -> list[ControllerAction]:
        """Take in what happened at `now_s`; what to do about it, in order."""
        actions: list[ControllerAction] = []
        self._on[type(event)](event, now_s, actions)
        self._end_slow_starts(now_s, actions)
        self._start_due(now_s, actions)
        return actions

    def members(self, function: str) -> list[Member]:
        """Replicas of a function that are not gone, by id."""
        return [member for member in self._members.values() if member.function == function]

    def replica_seconds(self, function: str, now_s: float) -> float:
        """Time from start decision to exit, summed over all replicas of a function so far [s]."""
        deployment = self._deployments.get(function)
        if deployment is None:
            return 0.0
        living = sum(now_s - member.started_at_s for member in self.members(function))
        return deployment.replica_seconds_ended + living

    def age_s(self, replica_id: int, now_s: float) -> float:
        """Time since the decision to start a replica [s]."""
        return now_s - self._members[replica_id].started_at_s

    def start_failure(self, function: str) -> str:
        """Why the last replica of a function failed; empty once one became ready again."""
        deployment = self._deployments.get(function)
        return deployment.last_cause if deployment else ""

    def _function_deployed(self, event: FunctionDeployed, now_s: float, actions: list[ControllerAction]) -> None:  # noqa: ARG002
        settings = event.settings
        if settings.name in self._deployments:
            raise KeyError(f"function {settings.name!r} is deployed already")
        wanted = _wanted_replicas(settings)
        self._deployments[settings.name] = Deployment(settings, start_at_s=[now_s] * wanted)

    def _function_removed(self, event: FunctionRemoved, now_s: float, actions: list[ControllerAction]) -> None:  # noqa: ARG002
        deployment = self._deployments[event.function]
        deployment.is_removed = True
        deployment.start_at_s.clear()
        for member in self.members(event.function):
            if member.state is ReplicaState.DRAINING:
                continue
            was_leased = member.is_leased
            member.signal(ReplicaSignal.WAS_TOLD_TO_DRAIN)
            order = RevokeReplica if was_leased else StopReplica
            actions.append(order(event.function, member.replica_id))
        self._forget_if_gone(event.function)

    def _replica_ready(self, event: ReplicaReady, now_s: float, actions: list[ControllerAction]) -> None:
        member = self._members.get(event.replica_id)
        if member is None or member.state is not ReplicaState.STARTING:
            return  # it was told to stop while it was loading
        member.signal(ReplicaSignal.BECAME_READY)
        member.ready_at_s = now_s
        member.is_leased = True
        deployment = self._deployments[member.function]
        deployment.last_cause = ""
        if deployment.is_suspended:
            deployment.is_suspended = False
            actions.append(ResumeStarts(member.function))
        actions.append(LeaseReplica(member.function, member.replica_id))

    def _lease_returned(self, event: LeaseReturned, now_s: float, actions: list[ControllerAction]) -> None:  # noqa: ARG002
        member = self._members.get(event.replica_id)
        if member is not None and member.is_leased and member.state is ReplicaState.DRAINING:
            member.is_leased = False
            actions.append(StopReplica(member.function, member.replica_id))

    def _replica_exited(self, event: ReplicaExited, now_s: float, actions: list[ControllerAction]) -> None:
        member = self._members.pop(event.replica_id, None)
        if member is None:
            return
        was_planned = member.state is ReplicaState.DRAINING
        member.signal(ReplicaSignal.EXITED)
        deployment = self._deployments[member.function]
        deployment.replica_seconds_ended += now_s - member.started_at_s
        if deployment.is_removed:
            self._forget_if_gone(member.function)
            return
        if not was_planned:
            self._replace(member, deployment, event.cause, now_s, actions)

    def _replica_suspected(self, event: ReplicaSuspected, now_s: float, actions: list[ControllerAction]) -> None:
        """A replica that hangs is stopped, one that is slow is emptied first; both are replaced now."""
        member = self._members.get(event.replica_id)
        if member is None or member.state is not ReplicaState.READY:
            return
        member.signal(ReplicaSignal.WAS_TOLD_TO_DRAIN)
        if event.is_hung:
            member.is_leased = False
            actions.append(StopReplica(member.function, member.replica_id))
        self._replace(member, self._deployments[member.function], event.cause, now_s, actions)

    def _replace(
        self, member: Member, deployment: Deployment, cause: str, now_s: float, actions: list[ControllerAction]
    ) -> None:
        """Plan the successor of a replica that failed; after too many failures in a row say so."""
        deployment.last_cause = cause
        is_fast = member.ready_at_s is None or now_s - member.ready_at_s < _FAST_FAILURE_S
        deployment.failures = deployment.failures + 1 if is_fast else 0
        # A replica that could serve may have died of its work: the first successors start at once.
        waits = deployment.failures - (_FREE_SUCCESSORS if member.ready_at_s is not None else 0)
        deployment.start_at_s.append(now_s + (self._backoff_s(waits) if waits > 0 else 0.0))
        if deployment.failures >= _CRASH_LOOP_AFTER and not deployment.is_suspended:
            deployment.is_suspended = True
            actions.append(SuspendStarts(member.function, cause))

    def _backoff_s(self, failures: int) -> float:
        base_s = min(_BACKOFF_FIRST_S * 2.0 ** (failures - 1), _BACKOFF_MAX_S)
        return base_s * (1.0 + _BACKOFF_JITTER * (2.0 * self._rng.random() - 1.0))

    def _start_timeout_s(self, member: Member) -> float:
        return self._deployments[member.function].settings.start_timeout_s

    def _tick(self, event: Tick, now_s: float, actions: list[ControllerAction]) -> None:
        """Nothing happened; `step` does what is due."""

    def _end_slow_starts(self, now_s: float, actions: list[ControllerAction]) -> None:
        """Give up on starts that take longer than the function allows."""
        for member in list(self._members.values()):
            if member.state is not ReplicaState.STARTING:
                continue
            limit_s = self._start_timeout_s(member)
            if now_s >= member.started_at_s + limit_s:
                member.signal(ReplicaSignal.WAS_TOLD_TO_DRAIN)
                actions.append(StopReplica(member.function, member.replica_id))
                cause = f"not ready within {limit_s:g} s; raise start_timeout_s if it needs longer"
                self._replace(member, self._deployments[member.function], cause, now_s, actions)

    def _start_due(self, now_s: float, actions: list[ControllerAction]) -> None:
        for name, deployment in self._deployments.items():
            due = [at_s for at_s in deployment.start_at_s if at_s <= now_s]
            if not due:
                continue
            deployment.start_at_s = [at_s for at_s in deployment.start_at_s if at_s > now_s]
            for _ in due:
                self._replica_id += 1
                self._members[self._replica_id] = Member(self._replica_id, name, now_s)
                actions.append(StartReplica(name, self._replica_id))

    def _forget_if_gone(self, function: str) -> None:
        if not self.members(function):
            del self._deployments[function]

    def check(self, now_s: float) -> None:
        """Assert that every deployed function has its replicas, living or due to start."""
        for name, deployment in self._deployments.items():
            if deployment.is_removed:
                assert not deployment.start_at_s
                continue
            living = [m for m in self.members(name) if m.state in {ReplicaState.STARTING, ReplicaState.READY}]
            assert len(living) + len(deployment.start_at_s) == _wanted_replicas(deployment.settings)
        assert all(m.is_leased or m.state is not ReplicaState.READY for m in self._members.values())
        assert all(m.state is not ReplicaState.STOPPED for m in self._members.values())
        wake_at_s = self.next_wake_at_s
        assert wake_at_s is None or wake_at_s > now_s, "the next wake-up must lie ahead"


def _wanted_replicas(settings: FunctionSettings) -> int:
    return max(settings.min_replicas, 1)

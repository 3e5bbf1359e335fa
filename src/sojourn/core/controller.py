"""The controller of a platform: which functions have how many replicas, and which replicas live.

A pure state machine like the dispatcher: `step(event, now_s)` returns actions, `next_wake_at_s`
says when to step again without an event.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from sojourn.core.agenda import Agenda
from sojourn.core.fleet import Deployment, Fleet, Member
from sojourn.core.floors import Floors
from sojourn.core.pool import UNBOUNDED, Pool
from sojourn.core.scaler import Scaler
from sojourn.core.sharing import Sharing
from sojourn.core.shortage import Shortage
from sojourn.core.succession import Succession
from sojourn.domain.action import (
    ControllerAction,
    DrainReplica,
    LeaseReplica,
    RecordScaling,
    ResumeStarts,
    StopReplica,
    SuspendStarts,
)
from sojourn.domain.event import (
    ControllerEvent,
    DemandReported,
    FunctionDeployed,
    FunctionPromoted,
    FunctionRemoved,
    LeaseReturned,
    ReplicaExited,
    ReplicaReady,
    ReplicasReserved,
    ReplicaSuspected,
    ScaleRequested,
    Tick,
)
from sojourn.domain.replica import ReplicaSignal, ReplicaState
from sojourn.domain.resources import Resources, claim_of
from sojourn.domain.rng import Rng
from sojourn.domain.scaling import ScalingDecision
from sojourn.policy.allocation.pressure import PressurePolicy
from sojourn.policy.keepalive.catalogue import keepalive_policy
from sojourn.policy.scaling.catalogue import scaling_policy


class Controller:
    """Gives each function the replicas it wants as far as the pool allows, and replaces those that fail.

    What it calls a function is a deployment: several revisions of one function may run side by side, each by a key
    (`FunctionDeployed.key`), with wishes, failures and replicas of its own. A key that was removed may be deployed
    again at once, while the replicas of before still end.

    Args:
        rng: Chance for the jitter of backoffs.
        capacity: What all replicas share; by default there is no bound but on accelerators.
    """

    def __init__(self, rng: Rng, capacity: Resources = UNBOUNDED) -> None:
        self._rng = rng
        self._pool = Pool(capacity)
        self._fleet = Fleet(self._pool)
        self._sharing = Sharing(self._fleet, PressurePolicy())
        self._deployments: dict[str, Deployment] = {}
        self._agenda = Agenda(self._deployments)
        self._floors = Floors(self._pool, self._deployments)
        self._shortage = Shortage(self._fleet)
        self._is_scarce = False
        self._last_number = 0
        self._look_at_s = inf
        self._on: dict[type, Callable[[Any, float, list[ControllerAction]], None]] = {
            FunctionDeployed: self._function_deployed,
            FunctionPromoted: self._function_promoted,
            FunctionRemoved: self._function_removed,
            DemandReported: self._demand_reported,
            ScaleRequested: self._scale_requested,
            ReplicasReserved: self._replicas_reserved,
            ReplicaReady: self._replica_ready,
            LeaseReturned: self._lease_returned,
            ReplicaSuspected: self._replica_suspected,
            ReplicaExited: self._replica_exited,
            Tick: self._tick,
        }

    @property
    def next_wake_at_s(self) -> float | None:
        """When to step with a `Tick` if nothing happens before; None if nothing is due."""
        return None if self._look_at_s == inf else self._look_at_s

    def step(self, event: ControllerEvent, now_s: float) -> list[ControllerAction]:
        """Take in what happened at `now_s`; what to do about it, in order."""
        actions: list[ControllerAction] = []
        self._on[type(event)](event, now_s, actions)
        self._end_slow_starts(now_s, actions)
        self._settle(now_s, actions)
        self._look_at_s = self._next_look_at_s(now_s)
        return actions

    # What the outside may ask.

    @property
    def capacity(self) -> Resources:
        """What all replicas share."""
        return self._pool.capacity

    @property
    def held(self) -> Resources:
        """What living replicas hold of it."""
        return self._pool.held

    def members(self, function: str) -> list[Member]:
        """Replicas of a function that are not gone, by id."""
        return self._fleet.of(function)

    def target(self, function: str) -> int:
        """How many replicas a function should have now; 0 for an unknown one."""
        deployment = self._deployments.get(function)
        return deployment.target if deployment else 0

    def limits(self, function: str) -> tuple[int, int]:
        """Floor and ceiling of a function's replicas in force now."""
        scaler = self._deployments[function].scaler
        return scaler.min_replicas, scaler.max_replicas

    def last_decision(self, function: str) -> ScalingDecision | None:
        """The last change of how many replicas a function should have."""
        deployment = self._deployments.get(function)
        return deployment.last_decision if deployment else None

    def replica_seconds(self, function: str, now_s: float) -> float:
        """Time from start decision to exit, summed over all replicas of a function so far [s]."""
        deployment = self._deployments.get(function)
        if deployment is None:
            return 0.0
        own = [member for member in self.members(function) if member.deployment is deployment]
        living_s = sum(max(now_s - member.started_at_s, 0.0) for member in own)
        return deployment.replica_seconds_ended + living_s

    def age_s(self, replica_id: int, now_s: float) -> float:
        """Time since the decision to start a replica [s]."""
        return now_s - self._fleet.by_id[replica_id].started_at_s

    def start_failure(self, function: str) -> str:
        """Why the last replica of a function failed; empty once one became ready again."""
        deployment = self._deployments.get(function)
        return deployment.succession.last_cause if deployment else ""

    # Functions.

    def _function_deployed(self, event: FunctionDeployed, now_s: float, actions: list[ControllerAction]) -> None:  # noqa: ARG002
        settings = event.settings
        key = event.key or settings.name
        before = self._deployments.get(key)
        if before is not None and not before.is_removed:
            raise KeyError(f"function {key!r} is deployed already")
        scaler = Scaler(
            settings,
            scaling_policy(settings.scaling, settings),
            keepalive_policy(settings.keepalive),
            max(self._pool.most_of(claim_of(settings)), 1),
            is_proven=event.is_proven,
        )
        self._last_number += 1
        deployment = Deployment(
            key, settings, claim_of(settings), scaler, Succession(self._rng), scaler.first_wish, self._last_number,
            is_live=not event.is_candidate,
            floor=min(settings.floor_replicas, scaler.max_replicas),
            reserved=int(event.is_candidate),
        )  # fmt: skip
        scaler.min_replicas = 0  # until its floor is settled
        self._deployments[key] = deployment
        self._sharing.enter(deployment)
        self._settle_floors(deployment, now_s)

    def _function_promoted(self, event: FunctionPromoted, now_s: float, actions: list[ControllerAction]) -> None:  # noqa: ARG002
        deployment = self._deployments[event.function]
        self._floors.promote(deployment)
        self._settle_floors(deployment, now_s)

    def _function_removed(self, event: FunctionRemoved, now_s: float, actions: list[ControllerAction]) -> None:
        deployment = self._deployments[event.function]
        if not deployment.is_removed:
            self._sharing.leave(deployment)
        deployment.is_removed = True
        deployment.target = 0
        self._shortage.forget(event.function)
        for member in self._fleet.living(event.function):
            self._drain(member, actions)
        self._forget_if_gone(deployment)
        self._settle_floors(deployment, now_s)

    def _settle_floors(self, deployment: Deployment, now_s: float) -> None:
        """Its function's floors anew; and where others had less than theirs, of what has come free."""
        function = deployment.settings.name
        for each in [*self._floors.settle(function), *self._floors.settle_short(function)]:
            self._agenda.put(each, now_s)

    def _demand_reported(self, event: DemandReported, now_s: float, actions: list[ControllerAction]) -> None:  # noqa: ARG002
        deployment = self._deployments.get(event.report.function)
        if deployment is not None:
            deployment.scaler.demand_reported(event.report, now_s)
            self._agenda.put(deployment, now_s)

    def _scale_requested(self, event: ScaleRequested, now_s: float, actions: list[ControllerAction]) -> None:  # noqa: ARG002
        deployment = self._deployments[event.function]
        if event.min_replicas is not None:
            deployment.floor, deployment.scaler.min_replicas = event.min_replicas, 0
        deployment.scaler.limit(None, event.max_replicas)
        if event.min_replicas is not None:
            self._settle_floors(deployment, now_s)
        self._agenda.put(deployment, now_s)
        deployment.is_commanded = True

    def _replicas_reserved(self, event: ReplicasReserved, now_s: float, actions: list[ControllerAction]) -> None:  # noqa: ARG002
        deployment = self._deployments[event.function]
        deployment.reserved = event.replicas
        self._settle_floors(deployment, now_s)

    # Replicas.

    def _replica_ready(self, event: ReplicaReady, now_s: float, actions: list[ControllerAction]) -> None:
        member = self._fleet.by_id.get(event.replica_id)
        if member is None or member.state is not ReplicaState.STARTING:
            return  # it was told to stop while it was loading
        self._fleet.signal(member, ReplicaSignal.BECAME_READY)
        member.ready_at_s = now_s
        member.is_leased = True
        deployment = member.deployment
        deployment.cold_starts += 1
        self._agenda.put(deployment, now_s)
        deployment.scaler.became_ready(now_s - member.started_at_s, now_s)
        if deployment.succession.became_ready(now_s):
            actions.append(ResumeStarts(member.function))
        actions.append(LeaseReplica(member.function, member.replica_id))

    def _lease_returned(self, event: LeaseReturned, now_s: float, actions: list[ControllerAction]) -> None:  # noqa: ARG002
        member = self._fleet.by_id.get(event.replica_id)
        if member is not None and member.is_leased and member.state is ReplicaState.DRAINING:
            member.is_leased = False
            actions.append(StopReplica(member.function, member.replica_id))

    def _replica_exited(self, event: ReplicaExited, now_s: float, actions: list[ControllerAction]) -> None:
        member = self._fleet.remove(event.replica_id)
        if member is None:
            return
        was_planned = member.state is ReplicaState.DRAINING
        self._fleet.signal(member, ReplicaSignal.EXITED)
        deployment = member.deployment
        deployment.replica_seconds_ended += now_s - member.started_at_s
        self._agenda.put(deployment, now_s)
        if deployment.is_removed:
            self._forget_if_gone(deployment)
        elif not was_planned:
            self._failed(member, event.cause, now_s, actions)

    def _replica_suspected(self, event: ReplicaSuspected, now_s: float, actions: list[ControllerAction]) -> None:
        """A replica that hangs is stopped, one that is slow is emptied first; both are replaced now."""
        member = self._fleet.by_id.get(event.replica_id)
        if member is None:
            return
        if member.state is not ReplicaState.READY:
            if event.is_hung and member.is_leased:  # it was to finish its work first; nobody will return it now
                member.is_leased = False
                actions.append(StopReplica(member.function, member.replica_id))
            return
        self._fleet.signal(member, ReplicaSignal.WAS_TOLD_TO_DRAIN)
        if event.is_hung:
            member.is_leased = False
            actions.append(StopReplica(member.function, member.replica_id))
        self._failed(member, event.cause, now_s, actions)

    def _failed(self, member: Member, cause: str, now_s: float, actions: list[ControllerAction]) -> None:
        deployment = member.deployment
        deployment.scaler.failed(now_s)
        self._shortage.note(deployment)
        if deployment.succession.failed(cause, member.ready_at_s, now_s):
            actions.append(SuspendStarts(member.function, cause))

    def _tick(self, event: Tick, now_s: float, actions: list[ControllerAction]) -> None:
        """Nothing happened; `step` does what is due."""

    def _end_slow_starts(self, now_s: float, actions: list[ControllerAction]) -> None:
        """Give up on starts that take longer than the function allows."""
        for member in list(self._fleet.starting()):
            limit_s = member.deployment.settings.start_timeout_s
            if now_s >= member.started_at_s + limit_s:
                self._fleet.signal(member, ReplicaSignal.WAS_TOLD_TO_DRAIN)
                actions.append(StopReplica(member.function, member.replica_id))
                cause = f"not ready within {limit_s:g} s; raise start_timeout_s if it needs longer"
                self._failed(member, cause, now_s, actions)

    # Towards what is wanted.

    def _settle(self, now_s: float, actions: list[ControllerAction]) -> None:
        """Ask what is wanted where something happened, share the pool, and start and drain accordingly."""
        concerned = self._agenda.take_due(now_s)
        for deployment in concerned:
            self._ask(deployment, now_s)
        was_scarce, self._is_scarce = self._is_scarce, self._sharing.is_scarce()
        is_shared_anew = self._is_scarce and self._sharing.is_due(now_s)
        if is_shared_anew or (was_scarce and not self._is_scarce):  # else no other target can change
            concerned = [deployment for deployment in self._deployments.values() if not deployment.is_removed]
        if is_shared_anew:
            self._sharing.share(concerned, now_s)
        for deployment in concerned:
            target = self._sharing.target(deployment) if self._is_scarce else deployment.wish.replicas
            self._aim(deployment, target, actions)
            self._drain_surplus(deployment, actions)
        self._shortage.start_missing(now_s, actions)

    def _ask(self, deployment: Deployment, now_s: float) -> None:
        """What does a function want now, and when is it to be asked again without a reason?"""
        starting = self._fleet.of(deployment.key, ReplicaState.STARTING)
        ages_s = tuple(now_s - member.started_at_s for member in starting)
        ready = len(self._fleet.of(deployment.key, ReplicaState.READY))
        self._sharing.wish(deployment, deployment.scaler.wish(ready, ages_s, now_s))
        self._agenda.put(deployment, deployment.scaler.next_look_at_s(ready + len(starting), now_s))

    def _aim(self, deployment: Deployment, target: int, actions: list[ControllerAction]) -> None:
        before, wish = deployment.target, deployment.wish
        is_commanded, deployment.is_commanded = deployment.is_commanded, False
        if target == before:
            return
        deployment.target = target
        cause, why = wish.cause, wish.why
        if is_commanded:
            scaler = deployment.scaler
            cause = "scale_command"
            why = f"an operator set min_replicas={scaler.min_replicas} and max_replicas={scaler.max_replicas}"
        if target != wish.replicas:
            cause, why = "pool", f"{wish.replicas} wanted ({wish.why}), but the pool is shared"
        decision = ScalingDecision(
            function=deployment.settings.name, before=before, after=target, cause=cause, why=why, terms=wish.terms
        )
        deployment.last_decision = decision
        actions.append(RecordScaling(deployment.key, decision))

    def _drain_surplus(self, deployment: Deployment, actions: list[ControllerAction]) -> None:
        """Let go of what is too much: starts first, then the youngest."""
        living = self._fleet.living(deployment.key)
        surplus = len(living) - deployment.target
        if surplus > 0:
            living.sort(key=lambda m: (m.state is ReplicaState.STARTING, m.replica_id), reverse=True)
            for member in living[:surplus]:
                self._drain(member, actions)
        self._shortage.note(deployment)

    def _drain(self, member: Member, actions: list[ControllerAction]) -> None:
        order = DrainReplica if member.is_leased else StopReplica
        self._fleet.signal(member, ReplicaSignal.WAS_TOLD_TO_DRAIN)
        actions.append(order(member.function, member.replica_id))

    def _next_look_at_s(self, now_s: float) -> float:
        earliest = min(self._agenda.next_at_s(), self._shortage.next_start_at_s(now_s))
        for member in self._fleet.starting():
            earliest = min(earliest, member.started_at_s + member.deployment.settings.start_timeout_s)
        return earliest

    def _forget_if_gone(self, deployment: Deployment) -> None:
        is_left = any(member.deployment is deployment for member in self.members(deployment.key))
        if not is_left and self._deployments.get(deployment.key) is deployment:
            del self._deployments[deployment.key]

    def check(self, now_s: float) -> None:
        """Assert that replicas, targets and the pool agree."""
        self._fleet.check()
        for key, deployment in self._deployments.items():
            living = len(self._fleet.living(key))
            assert all(member.deployment is deployment for member in self._fleet.living(key))
            assert living <= deployment.target, "a surplus is drained at once"
            assert deployment.target <= max(deployment.scaler.max_replicas, 1)
        assert self._look_at_s > now_s, "the next wake-up must lie ahead"

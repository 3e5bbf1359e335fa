"""What must hold of replicas: one life each, within the pool and the bounds an operator set, ended when it is due."""

from __future__ import annotations

from collections import Counter

from books import Books, Step

from sojourn.core.controller import Controller
from sojourn.domain.action import LeaseReplica, ReturnLease, StartReplica, StopReplica
from sojourn.domain.event import (
    ControllerEvent,
    ReplicaExited,
    ReplicaLeased,
    ReplicaReady,
    ReplicaSuspected,
    ScaleRequested,
)
from sojourn.domain.resources import Resources, claim_of
from sojourn.sim.machines import Machines

_HASTE_S = 1e-6
_TOLD_LATE_S = 0.1


class ReplicaRules:
    """Checks each replica from the decision to start it until its process is gone.

    Args:
        books: What happened.
        controller: Of the run.
        machines: Where its replicas are.
    """

    def __init__(self, books: Books, controller: Controller, machines: Machines) -> None:
        self._books = books
        self._controller = controller
        self._machines = machines
        self._leased: set[int] = set()
        self._limits: dict[str, tuple[int, int | None]] = {
            name: (each.world.settings.floor_replicas, each.world.settings.max_replicas)
            for name, each in books.functions.items()
        }
        self._deployed: set[str] = set()

    def before(self, step: Step) -> None:
        """A life goes forward only."""
        replicas = self._books.replicas
        match step.event:
            case ReplicaLeased(replica_id=replica_id):
                assert replicas[replica_id].ready_at_s is not None, "leased before it was ready"
                assert replicas[replica_id].exited_at_s is None, "leased after its end"
            case ReplicaReady(replica_id=replica_id):
                assert replicas[replica_id].ready_at_s is None, "ready twice"
            case ReplicaExited(replica_id=replica_id):
                assert replicas[replica_id].exited_at_s is None, "gone twice"
            case ReplicaSuspected(replica_id=replica_id, is_hung=True):
                if replicas[replica_id].exited_at_s is None and not replicas[replica_id].is_stopped:
                    stopped = {action.replica_id for action in step.actions if isinstance(action, StopReplica)}
                    assert replica_id in stopped, "a hung replica that holds nothing any more is stopped"

    def ordered(self, action: object, step: Step) -> None:
        """Orders that concern replicas."""
        replicas = self._books.replicas
        match action:
            case StartReplica(replica_id=replica_id):
                assert replica_id not in replicas, "a replica's number is used once"
            case LeaseReplica(replica_id=replica_id):
                assert replica_id not in self._leased, "leased twice"
                self._leased.add(replica_id)
            case StopReplica(replica_id=replica_id):
                assert replicas[replica_id].exited_at_s is None, "stopped after its end"
                assert not replicas[replica_id].is_stopped, "stopped twice"
            case ReturnLease(replica_id=replica_id):
                assert replicas[replica_id].is_taken_in, "given back without being had"
                assert replicas[replica_id].is_revoked, "given back unasked"
                assert not replicas[replica_id].runs, "given back with work"

    def after(self, step: Step) -> None:
        """Nothing is kept too long, nobody has too much, and the sums agree with the parts."""
        for replica_id, life in self._books.living().items():
            if life.is_taken_in and life.is_revoked:
                assert life.runs, f"replica {replica_id} was taken back, is empty, and is not returned"
        if not isinstance(step.event, ControllerEvent):
            return
        if isinstance(step.event, ScaleRequested):
            self._command(step.event)
        self._check_starts(step.now_s)
        self._check_pool(step)
        self._check_limits()

    def at_end(self, now_s: float) -> None:
        """Replica time is from the decision to start until the process is gone."""
        for name in self._books.functions:
            own = [life for life in self._books.replicas.values() if life.function == name]
            lived_s = sum((now_s if life.exited_at_s is None else life.exited_at_s) - life.started_at_s for life in own)
            counted_s = self._controller.replica_seconds(name, now_s)
            assert abs(counted_s - lived_s) < _HASTE_S, f"{counted_s} instead of {lived_s} s of replica time"

    def _command(self, event: ScaleRequested) -> None:
        floor, ceiling = self._limits[event.function]
        floor = floor if event.min_replicas is None else event.min_replicas
        ceiling = ceiling if event.max_replicas is None else event.max_replicas
        self._limits[event.function] = floor, ceiling

    def _check_starts(self, now_s: float) -> None:
        """A start that takes longer than its function allows is given up."""
        for replica_id, life in self._books.living().items():
            if life.ready_at_s is None and life.ends_from_s is None:
                limit_s = self._books.functions[life.function].world.settings.start_timeout_s
                allowed_s = limit_s + self._books.world.stalled_s + _TOLD_LATE_S
                assert now_s - life.started_at_s <= allowed_s, f"replica {replica_id} has been starting for too long"

    def _check_pool(self, step: Step) -> None:
        """What living replicas claim is held, of the pool and of the machines they are on, and nothing else is."""
        living = self._books.living()
        claims = {name: claim_of(each.world.settings) for name, each in self._books.functions.items()}
        held = _sum(claims[life.function] for life in living.values())
        assert _is_same(held, self._controller.held), f"{self._controller.held} is held by replicas that claim {held}"
        assert held.fits(self._controller.capacity)
        started = {action.replica_id for action in step.actions if isinstance(action, StartReplica)}
        placed: Counter[int] = Counter()
        for number, capacity in enumerate(self._books.world.machines):
            there = self._machines.replicas_on(number)
            placed.update(there)
            assert set(there) <= set(living), "a replica that is gone keeps its place"
            assert _sum(claims[living[replica_id].function] for replica_id in there).fits(capacity)
        assert all(count == 1 for count in placed.values()), "on two machines at once"
        for replica_id in set(living) - set(placed) - started:
            assert living[replica_id].ready_at_s is None, "ready without a place"

    def _check_limits(self) -> None:
        """An operator's floor holds as far as the pool goes, his ceiling always, and both at once."""
        floors = Resources()
        for name, (floor, _) in self._limits.items():
            floors = floors.plus(claim_of(self._books.functions[name].world.settings), floor)
        does_fit = floors.fits(self._controller.capacity)
        for name, (floor, ceiling) in self._limits.items():
            if name not in self._deployed:
                if not self._controller.target(name):
                    continue  # not there yet
                self._deployed.add(name)
            target = self._controller.target(name)
            # A ceiling below the floor is raised to it.
            if ceiling is not None:
                assert target <= max(ceiling, floor, 1), f"{name}: {target} wanted, the ceiling is {ceiling}"
            if does_fit:
                assert target >= floor, f"{name}: {target} wanted, the floor is {floor}"
            staying = [life for life in self._books.living(name).values() if life.ends_from_s is None]
            assert len(staying) <= target, f"{name}: {len(staying)} replicas stay, {target} are wanted"


def _sum(claims) -> Resources:
    total = Resources()
    for claim in claims:
        total = total.plus(claim)
    return total


def _is_same(one: Resources, other: Resources) -> bool:
    return one.fits(other) and other.fits(one)

"""What happened so far in a watched run, written down from events and actions alone, without asking the core."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from math import inf

from seeded_world import FunctionWorld, SeededWorld

from sojourn.domain.action import (
    DispatchBatch,
    DrainReplica,
    Finish,
    ReturnLease,
    StartReplica,
    StopReplica,
    SuspectReplica,
)
from sojourn.domain.event import (
    BatchCompleted,
    ClientGone,
    ReplicaExited,
    ReplicaLeased,
    ReplicaLost,
    ReplicaReady,
    ReplicaRevoked,
    ReplicaSuspected,
    RequestArrived,
)
from sojourn.sim.arrival import Arrival


@dataclass(frozen=True)
class Step:
    """One step of either machine: what happened, when, and what it ordered."""

    event: object
    now_s: float
    actions: list[object]

    @property
    def ends(self) -> list[Finish]:
        """Requests that ended in it."""
        return [action for action in self.actions if isinstance(action, Finish)]

    @property
    def sent(self) -> set[int]:
        """Requests that went in batches in it."""
        return {number for each in self.actions if isinstance(each, DispatchBatch) for number in each.request_ids}

    @property
    def hung(self) -> set[int]:
        """Replicas that were written off in it because they were silent."""
        return {each.replica_id for each in self.actions if isinstance(each, SuspectReplica) and each.is_hung}


@dataclass
class Run:
    """One batch on a replica."""

    request_ids: list[int]
    at_s: float


@dataclass
class Life:
    """One replica, from the decision to start it."""

    function: str
    started_at_s: float
    ready_at_s: float | None = None
    ends_from_s: float | None = None  # told to drain or to stop, or suspected
    is_stopped: bool = False
    is_taken_in: bool = False  # a dispatcher has it
    is_revoked: bool = False
    completed: int = 0
    exited_at_s: float | None = None
    runs: dict[int, Run] = field(default_factory=dict)


@dataclass
class FunctionBooks:
    """What came of one function's requests."""

    world: FunctionWorld
    in_flight: set[int] = field(default_factory=set)
    arrivals_s: deque[float] = field(default_factory=deque)
    first_runs_s: deque[float] = field(default_factory=deque)
    reruns_s: deque[float] = field(default_factory=deque)


class Books:
    """Requests, batches and replicas of a run.

    Args:
        world: What is run.
    """

    def __init__(self, world: SeededWorld) -> None:
        self.world = world
        self.functions = {each.settings.name: FunctionBooks(each) for each in world.functions}
        self.arrived_at_s: dict[int, float] = {}
        self.was_cold: set[int] = set()  # requests that came when there was no replica to take them
        self.finished: dict[int, Finish] = {}
        self.gone: set[int] = set()
        self.runs: Counter[int] = Counter()
        self.losses: Counter[int] = Counter()
        self.lost_now: set[int] = set()  # requests whose replica was lost in this step
        self.replicas: dict[int, Life] = {}
        self._alive: dict[int, Life] = {}
        self.is_running: set[int] = set()
        self._plan = _plan(world)

    def function_of(self, request_id: int) -> str:
        """Whose request it is: they are numbered in order of time over all functions."""
        return self._plan[request_id - 1][0]

    def arrival(self, request_id: int) -> Arrival:
        """The request as the world drew it."""
        return self._plan[request_id - 1][1]

    def of(self, request_id: int) -> FunctionBooks:
        """The books of a request's function."""
        return self.functions[self.function_of(request_id)]

    def waiting(self, function: str) -> int:
        """Requests in flight that run nowhere."""
        return len(self.functions[function].in_flight - self.is_running)

    def held_bytes(self, function: str) -> int:
        """Bodies of requests in flight."""
        return sum(self.arrival(request_id).body_bytes for request_id in self.functions[function].in_flight)

    def living(self, function: str | None = None) -> dict[int, Life]:
        """Replicas whose process is not gone, of one function or of all."""
        if function is None:
            return self._alive
        return {number: life for number, life in self._alive.items() if life.function == function}

    def open_replicas(self, function: str) -> int:
        """Replicas that take new work."""
        return sum(life.is_taken_in and not life.is_revoked for life in self.living(function).values())

    def patience_end_s(self, request_id: int, *, is_cold: bool) -> float:
        """Until when a request may be kept, by its function's timeouts and its client's."""
        settings = self.of(request_id).world.settings
        patience_s = settings.effective_timeout_s
        if is_cold:
            patience_s = max(patience_s, settings.start_timeout_s)
        client_s = self.arrival(request_id).client_timeout_s
        return self.arrived_at_s[request_id] + min(patience_s, inf if client_s is None else client_s)

    # ---- writing down

    def happened(self, step: Step) -> None:
        """Take in the event of a step."""
        self.lost_now = set()
        now_s = step.now_s
        match step.event:
            case RequestArrived(request_id=request_id):
                self.arrived_at_s[request_id] = now_s
                books = self.of(request_id)
                books.in_flight.add(request_id)
                books.arrivals_s.append(now_s)
                if not self.open_replicas(self.function_of(request_id)):
                    self.was_cold.add(request_id)
            case ClientGone(request_id=request_id):
                self.gone.add(request_id)
            case BatchCompleted(replica_id=replica_id, batch_id=batch_id) if replica_id not in step.hung:
                life = self.replicas[replica_id]
                run = life.runs.pop(batch_id, None)
                if run is not None:
                    life.completed += 1
                    self.is_running.difference_update(run.request_ids)
            case ReplicaLost(replica_id=replica_id):
                self._lose(replica_id)
            case ReplicaLeased() | ReplicaRevoked() | ReplicaReady() | ReplicaSuspected() | ReplicaExited():
                self._life_went_on(step.event, now_s)

    def _life_went_on(
        self, event: ReplicaLeased | ReplicaRevoked | ReplicaReady | ReplicaSuspected | ReplicaExited, now_s: float
    ) -> None:
        life = self.replicas[event.replica_id]
        match event:
            case ReplicaLeased():
                life.is_taken_in = True
            case ReplicaRevoked():
                life.is_revoked = True
            case ReplicaReady():
                life.ready_at_s = now_s
            case ReplicaSuspected():
                life.ends_from_s = now_s if life.ends_from_s is None else life.ends_from_s
            case ReplicaExited():
                life.exited_at_s = now_s
                self._alive.pop(event.replica_id, None)

    def ordered(self, action: object, now_s: float) -> None:
        """Take in an action."""
        match action:
            case StartReplica(function=function, replica_id=replica_id):
                self.replicas[replica_id] = self._alive[replica_id] = Life(function, now_s)
            case DrainReplica(replica_id=replica_id):
                self.replicas[replica_id].ends_from_s = now_s
            case StopReplica(replica_id=replica_id):
                life = self.replicas[replica_id]
                life.is_stopped, life.ends_from_s = True, now_s
            case SuspectReplica(replica_id=replica_id):
                self.replicas[replica_id].is_revoked = True
                if action.is_hung:
                    self._lose(replica_id)
            case ReturnLease(replica_id=replica_id):
                self.replicas[replica_id].is_taken_in = False
            case DispatchBatch():
                self._sent(action, now_s)
            case Finish(request_id=request_id):
                self.finished[request_id] = action
                self.of(request_id).in_flight.discard(request_id)

    def _sent(self, batch: DispatchBatch, now_s: float) -> None:
        self.replicas[batch.replica_id].runs[batch.batch_id] = Run(batch.request_ids, now_s)
        self.is_running.update(batch.request_ids)
        for request_id in batch.request_ids:
            self.runs[request_id] += 1
            if self.runs[request_id] == 1:
                self.of(request_id).first_runs_s.append(now_s)

    def settled(self, now_s: float) -> None:
        """The step is over: who was lost and has not ended will run again."""
        for request_id in self.lost_now:
            if request_id not in self.finished:
                self.of(request_id).reruns_s.append(now_s)

    def _lose(self, replica_id: int) -> None:
        life = self.replicas[replica_id]
        life.is_taken_in = False
        for run in life.runs.values():
            self.is_running.difference_update(run.request_ids)
            lost = [request_id for request_id in run.request_ids if request_id not in self.finished]
            self.losses.update(lost)
            self.lost_now.update(lost)
        life.runs.clear()


def count_since(instants_s: deque[float], since_s: float) -> int:
    """How many of these ascending instants are not before `since_s`."""
    count = 0
    for at_s in reversed(instants_s):
        if at_s < since_s:
            break
        count += 1
    return count


def _plan(world: SeededWorld) -> list[tuple[str, Arrival]]:
    """All requests in the order in which they get their numbers, from 1."""
    plan = [(each.settings.name, arrival) for each in world.functions for arrival in each.arrivals]
    return sorted(plan, key=lambda entry: entry[1].at_s)

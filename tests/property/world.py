"""A small world around a dispatcher: applies what a driver may do, and keeps what it was told."""

from __future__ import annotations

from dataclasses import dataclass, field

from sojourn.core.dispatcher import Dispatcher, QueueBounds
from sojourn.domain.action import CancelBatch, DispatchBatch, Finish, ReturnLease, SuspectReplica
from sojourn.domain.event import (
    BatchCompleted,
    ClientGone,
    DispatcherEvent,
    ReplicaLeased,
    ReplicaLost,
    ReplicaRevoked,
    RequestArrived,
    Tick,
)
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BatchingSpec
from sojourn.domain.request import Fault
from sojourn.policy.batching.catalogue import batching_policy


@dataclass
class World:
    """Drives one dispatcher, checks it after each step, and records every order it gives."""

    spec: BatchingSpec
    largest_batch: int = 8
    latency_s: float | None = 0.1
    timeout_s: float | None = None
    retry: bool = True
    bounds: QueueBounds = field(default_factory=QueueBounds)

    def __post_init__(self) -> None:
        self.now_s = 0.0
        self.settings = FunctionSettings(
            name="f",
            slo=SLO(self.latency_s) if self.latency_s else None,
            max_batch_size=self.largest_batch,
            timeout_s=self.timeout_s,
            retry=self.retry,
            start_timeout_s=5.0,
        )
        self.dispatcher = Dispatcher(self.settings, batching_policy(self.spec), self.bounds)
        self.arrived_at_s: dict[int, float] = {}
        self.client_timeout_s: dict[int, float | None] = {}
        self.finished: dict[int, list[tuple[float, Finish]]] = {}
        self.running: dict[int, DispatchBatch] = {}
        self.dispatched: list[tuple[float, DispatchBatch]] = []
        self.leased: set[int] = set()
        self.revoked: set[int] = set()
        self.returned: list[int] = []
        self.cancelled_batches: list[int] = []
        self.gone: set[int] = set()
        self.suspected: list[SuspectReplica] = []
        self.trace: list[tuple[float, DispatcherEvent, list[object]]] = []

    def step(self, event: DispatcherEvent) -> list[object]:
        """Show the dispatcher an event now, check it, and take down what it orders."""
        completed = self.running.pop(event.batch_id, None) if isinstance(event, BatchCompleted) else None
        actions = self.dispatcher.step(event, self.now_s)
        self.dispatcher.check(self.now_s)
        self.trace.append((self.now_s, event, list(actions)))
        for action in actions:
            if isinstance(action, DispatchBatch):
                assert action.replica_id in self.leased - self.revoked, "work for a replica that takes none"
                assert action.batch_id not in self.running
                assert not any(b.replica_id == action.replica_id for b in self.running.values()), "replica is busy"
                assert 1 <= len(action.request_ids) <= self.largest_batch
                assert len(set(action.request_ids)) == len(action.request_ids)
                assert not any(i in self.finished or i in self.gone for i in action.request_ids)
                self.running[action.batch_id] = action
                self.dispatched.append((self.now_s, action))
            elif isinstance(action, Finish):
                self.finished.setdefault(action.request_id, []).append((self.now_s, action))
                if action.position >= 0:
                    assert completed is not None, "an answer without a completed batch"
                    assert completed.request_ids[action.position] == action.request_id, "misaligned answer"
            elif isinstance(action, ReturnLease):
                self.returned.append(action.replica_id)
                self.leased.discard(action.replica_id)
                self.revoked.discard(action.replica_id)
            elif isinstance(action, SuspectReplica):
                self.suspected.append(action)
                if action.is_hung:
                    self._forget(action.replica_id)
                else:
                    self.revoked.add(action.replica_id)
            elif isinstance(action, CancelBatch):
                self.cancelled_batches.append(action.batch_id)
        return actions

    def advance(self, by_s: float) -> None:
        """Let time pass, waking the dispatcher whenever it asked for it."""
        until_s = self.now_s + by_s
        for _ in range(100_000):
            wake_at_s = self.dispatcher.next_wake_at_s
            if wake_at_s is None or wake_at_s > until_s:
                break
            self.now_s = wake_at_s
            self.step(Tick())
        else:
            raise AssertionError("the dispatcher never stops asking to be woken")
        self.now_s = until_s

    def arrive(self, *, client_timeout_s: float | None = None, priority: int = 1, body_bytes: int = 10) -> int:
        request_id = len(self.arrived_at_s) + 1
        self.arrived_at_s[request_id] = self.now_s
        self.client_timeout_s[request_id] = client_timeout_s
        self.step(RequestArrived(request_id, body_bytes, priority, client_timeout_s))
        return request_id

    def leave(self, request_id: int) -> None:
        if request_id not in self.finished:
            self.gone.add(request_id)
        self.step(ClientGone(request_id))

    def lease(self, replica_id: int) -> None:
        self.leased.add(replica_id)
        self.step(ReplicaLeased(replica_id))

    def revoke(self, replica_id: int) -> None:
        self.revoked.add(replica_id)
        self.step(ReplicaRevoked(replica_id))

    def _forget(self, replica_id: int) -> None:
        self.leased.discard(replica_id)
        self.revoked.discard(replica_id)
        self.running = {i: b for i, b in self.running.items() if b.replica_id != replica_id}

    def lose(self, replica_id: int) -> None:
        self._forget(replica_id)
        self.step(ReplicaLost(replica_id))

    def step_completed(self, replica_id: int, batch_id: int) -> list[object]:
        """An answer the dispatcher may not expect any more."""
        return self.step(BatchCompleted(replica_id, batch_id))

    def complete(self, batch_id: int, faults: tuple[tuple[int, Fault], ...] = (), own_s: float = 0.0) -> None:
        self.step(BatchCompleted(self.running[batch_id].replica_id, batch_id, faults, own_s))

    @property
    def unfinished(self) -> set[int]:
        return set(self.arrived_at_s) - set(self.finished)

"""An event heap that runs one function's dispatcher and the controller in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from math import inf
from random import Random

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import (
    CancelBatch,
    DispatchBatch,
    Finish,
    LeaseReplica,
    ResumeStarts,
    ReturnLease,
    RevokeReplica,
    StartReplica,
    StopReplica,
    SuspectReplica,
    SuspendStarts,
)
from sojourn.domain.event import (
    BatchCompleted,
    ControllerEvent,
    DispatcherEvent,
    FunctionDeployed,
    LeaseReturned,
    ReplicaExited,
    ReplicaLeased,
    ReplicaLost,
    ReplicaReady,
    ReplicaRevoked,
    ReplicaSuspected,
    RequestArrived,
    StartsResumed,
    StartsSuspended,
    Tick,
)
from sojourn.domain.request import Outcome
from sojourn.sim.replica import ModelledService
from sojourn.sim.result import SimulationResult

Observer = Callable[[object, float, list[object]], None]
_DISPATCHER, _CONTROLLER = 0, 1


class Simulation:
    """One function, its replicas and the platform's controller, driven by an event heap.

    Args:
        dispatcher: The production dispatcher.
        controller: The production controller.
        service: How modelled replicas behave.
        rng: Chance for service-time noise.
        observe: Called with (event, now_s, actions) after each step of either machine.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        controller: Controller,
        service: ModelledService,
        rng: Random,
        observe: Observer | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._controller = controller
        self._service = service
        self._rng = rng
        self._observe = observe
        self._heap: list[tuple[float, int, int, DispatcherEvent | ControllerEvent]] = []
        self._order = 0
        self._alive: set[int] = set()
        self._transient_s = 0.0
        self._arrival_at_s: dict[int, float] = {}
        self.result = SimulationResult()

    def at(self, at_s: float, event: DispatcherEvent | ControllerEvent) -> None:
        """Let `event` happen at `at_s`; whose event it is follows from its type."""
        machine = _CONTROLLER if isinstance(event, ControllerEvent) and not isinstance(event, Tick) else _DISPATCHER
        self._order += 1
        heappush(self._heap, (at_s, self._order, machine, event))

    def kill(self, at_s: float, replica_id: int) -> None:
        """Let a replica die at `at_s`: its link closes and its process exits."""
        self.at(at_s, ReplicaLost(replica_id))
        self.at(at_s, ReplicaExited(replica_id, "killed"))

    def run(self, arrivals: Iterable[float], *, transient_s: float = 0.0, limit_s: float = inf) -> SimulationResult:
        """Deploy, replay the arrival instants (ascending, seconds) and go on until all has ended.

        Args:
            arrivals: Instants at which requests arrive.
            transient_s: Requests that arrive before this are served but not counted.
            limit_s: Virtual time at which to stop even if work is left.
        """
        settings = self._dispatcher.settings
        self._transient_s = transient_s
        now_s = 0.0
        self._step_controller(FunctionDeployed(settings), now_s)
        pending = iter(arrivals)
        arrival_s = next(pending, inf)
        request_id = 0
        last_s = 0.0
        while True:
            wake_s = self._dispatcher.next_wake_at_s
            start_s = self._controller.next_wake_at_s
            heap_s = self._heap[0][0] if self._heap else inf
            now_s = min(arrival_s, heap_s, inf if wake_s is None else wake_s, inf if start_s is None else start_s)
            if now_s == inf or now_s > limit_s:
                break
            if heap_s == now_s:
                _, _, machine, event = heappop(self._heap)
                self._happen(machine, event, now_s)
            elif arrival_s == now_s:
                request_id += 1
                last_s = now_s
                self._arrive(request_id, now_s)
                arrival_s = next(pending, inf)
            elif start_s == now_s:
                self._step_controller(Tick(), now_s)
            else:
                self._step_dispatcher(Tick(), now_s)
        self.result.duration_s = max(last_s - transient_s, 0.0)
        self.result.replica_seconds = self._controller.replica_seconds(settings.name, min(now_s, last_s))
        return self.result

    def _arrive(self, request_id: int, now_s: float) -> None:
        if now_s >= self._transient_s:
            self.result.sent += 1
        self._arrival_at_s[request_id] = now_s
        self._step_dispatcher(RequestArrived(request_id), now_s)

    def _happen(self, machine: int, event: DispatcherEvent | ControllerEvent, now_s: float) -> None:
        if isinstance(event, BatchCompleted) and event.replica_id not in self._alive:
            return  # died with the replica
        if isinstance(event, ReplicaReady) and event.replica_id not in self._alive:
            return
        if isinstance(event, ReplicaExited):
            if event.replica_id not in self._alive:
                return
            self._alive.discard(event.replica_id)
        if machine == _CONTROLLER:
            self._step_controller(event, now_s)  # type: ignore[arg-type]
        else:
            self._step_dispatcher(event, now_s)  # type: ignore[arg-type]

    def _step_controller(self, event: ControllerEvent, now_s: float) -> None:
        actions = self._controller.step(event, now_s)
        if self._observe is not None:
            self._observe(event, now_s, list(actions))
        for action in actions:
            match action:
                case StartReplica(replica_id=replica_id):
                    self._alive.add(replica_id)
                    self.at(now_s + self._service.cold_start_s, ReplicaReady(replica_id))
                case LeaseReplica(replica_id=replica_id):
                    self._step_dispatcher(ReplicaLeased(replica_id), now_s)
                case RevokeReplica(replica_id=replica_id):
                    self._step_dispatcher(ReplicaRevoked(replica_id), now_s)
                case StopReplica(replica_id=replica_id):
                    self.at(now_s, ReplicaExited(replica_id, "stopped"))
                case SuspendStarts():
                    self._step_dispatcher(StartsSuspended(), now_s)
                case ResumeStarts():
                    self._step_dispatcher(StartsResumed(), now_s)

    def _step_dispatcher(self, event: DispatcherEvent, now_s: float) -> None:
        actions = self._dispatcher.step(event, now_s)
        if self._observe is not None:
            self._observe(event, now_s, list(actions))
        for action in actions:
            if type(action) is DispatchBatch:
                size = len(action.request_ids)
                if now_s >= self._transient_s:
                    self.result.batch_sizes.append(size)
                done_s = now_s + self._service.duration_s(size, self._rng)
                self.at(done_s, BatchCompleted(action.replica_id, action.batch_id))
            elif type(action) is Finish:
                self._count(action)
            elif type(action) is ReturnLease:
                self._step_controller(LeaseReturned(action.replica_id), now_s)
            elif type(action) is SuspectReplica:
                self._step_controller(ReplicaSuspected(action.replica_id, action.cause, action.is_hung), now_s)
            else:
                assert type(action) is CancelBatch  # a modelled call runs to its end

    def _count(self, action: Finish) -> None:
        if self._arrival_at_s.pop(action.request_id) < self._transient_s:
            return
        result = self.result
        result.outcomes[action.outcome] += 1
        if action.outcome is Outcome.SERVED:
            result.latencies_s.append(action.latency_s)
            slo = self._dispatcher.settings.slo
            if slo is None or action.latency_s <= slo.latency_s:
                result.within_slo += 1

"""An event heap that runs the dispatchers of functions and the controller in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heappop, heappush, merge
from math import inf
from random import Random

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import (
    CancelBatch,
    DispatchBatch,
    DrainReplica,
    Finish,
    LeaseReplica,
    RecordScaling,
    ResumeStarts,
    ReturnLease,
    StartReplica,
    StopReplica,
    SuspectReplica,
    SuspendStarts,
)
from sojourn.domain.event import (
    BatchCompleted,
    ControllerEvent,
    DemandReported,
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
from sojourn.sim.replica import ModelledService
from sojourn.sim.result import SimulationResult

Observer = Callable[[object, float, list[object]], None]
_REPLICA_OF = (BatchCompleted, ReplicaReady, ReplicaExited)


class _Site:
    """One function in the simulation: its dispatcher, how its replicas behave, and what came of it."""

    def __init__(self, dispatcher: Dispatcher, service: ModelledService) -> None:
        self.dispatcher = dispatcher
        self.service = service
        self.result = SimulationResult()
        self.arrival_at_s: dict[int, float] = {}

    @property
    def wake_at_s(self) -> float:
        """When the dispatcher wants to be stepped or to report."""
        wake_at_s = self.dispatcher.next_wake_at_s
        return min(inf if wake_at_s is None else wake_at_s, self.dispatcher.reporter.due_at_s)


class Simulation:
    """Functions, their replicas and the platform's controller, driven by an event heap.

    Args:
        dispatcher: The production dispatcher of the first function.
        controller: The production controller.
        service: How its modelled replicas behave.
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
        self._controller = controller
        self._rng = rng
        self._observe = observe
        self._sites: dict[str, _Site] = {}
        self._first = dispatcher.settings.name
        self._heap: list[tuple[float, int, str, DispatcherEvent | ControllerEvent]] = []
        self._order = 0
        self._alive: dict[int, str] = {}  # replica -> function
        self._transient_s = 0.0
        self._now_s = 0.0
        self.add(dispatcher, service)

    def add(self, dispatcher: Dispatcher, service: ModelledService) -> None:
        """One more function."""
        self._sites[dispatcher.settings.name] = _Site(dispatcher, service)

    @property
    def result(self) -> SimulationResult:
        """What came of the first function."""
        return self._sites[self._first].result

    @property
    def results(self) -> dict[str, SimulationResult]:
        """What came of each function."""
        return {name: site.result for name, site in self._sites.items()}

    def at(self, at_s: float, event: DispatcherEvent | ControllerEvent, function: str = "") -> None:
        """Let `event` happen at `at_s`; an event for a dispatcher concerns `function`, or the first one."""
        self._order += 1
        heappush(self._heap, (at_s, self._order, function or self._first, event))

    def kill(self, at_s: float, replica_id: int, function: str = "") -> None:
        """Let a replica die at `at_s`: its link closes and its process exits."""
        self.at(at_s, ReplicaLost(replica_id), function)
        self.at(at_s, ReplicaExited(replica_id, "killed"), function)

    def run(self, arrivals: Iterable[float], *, transient_s: float = 0.0, limit_s: float = inf) -> SimulationResult:
        """Deploy, replay the arrivals of the only function, and go on until all has ended; see `run_all`."""
        return self.run_all({self._first: arrivals}, transient_s=transient_s, limit_s=limit_s)[self._first]

    def run_all(
        self, arrivals: Mapping[str, Iterable[float]], *, transient_s: float = 0.0, limit_s: float = inf
    ) -> dict[str, SimulationResult]:
        """Deploy all functions, replay their arrivals and go on until every request has ended.

        Args:
            arrivals: Instants at which requests arrive, by function, ascending, in seconds.
            transient_s: Requests that arrive before this are served but not counted.
            limit_s: Virtual time at which to stop even if work is left.
        """
        self._transient_s = transient_s
        for site in self._sites.values():
            self._step_controller(FunctionDeployed(site.dispatcher.settings), 0.0)
        pending = _merged(arrivals)
        arrival_s, arriving = next(pending, (inf, ""))
        request_id, last_s, in_flight = 0, 0.0, True
        while True:
            site = min(self._sites.values(), key=lambda site: site.wake_at_s)
            start_s = self._controller.next_wake_at_s
            heap_s = self._heap[0][0] if self._heap else inf
            now_s = min(arrival_s, heap_s, site.wake_at_s, inf if start_s is None else start_s)
            in_flight = any(site.dispatcher.in_flight for site in self._sites.values()) if arrival_s == inf else True
            if now_s == inf or now_s > limit_s or not in_flight:
                break
            self._now_s = now_s
            if heap_s == now_s:
                _, _, function, event = heappop(self._heap)
                self._happen(function, event, now_s)
            elif arrival_s == now_s:
                request_id += 1
                last_s = now_s
                self._arrive(arriving, request_id, now_s)
                arrival_s, arriving = next(pending, (inf, ""))
            elif start_s == now_s:
                self._step_controller(Tick(), now_s)
            else:
                self._wake(site, now_s)
        for name, site in self._sites.items():
            site.result.duration_s = max(last_s - transient_s, 0.0)
            site.result.replica_seconds = self._controller.replica_seconds(name, min(self._now_s, last_s))
        return self.results

    def _wake(self, site: _Site, now_s: float) -> None:
        dispatcher = site.dispatcher
        if dispatcher.reporter.due_at_s <= now_s:
            self._step_controller(DemandReported(dispatcher.reporter.report(now_s)), now_s)
        else:
            self._step_dispatcher(site, Tick(), now_s)

    def _arrive(self, function: str, request_id: int, now_s: float) -> None:
        site = self._sites[function]
        if now_s >= self._transient_s:
            site.result.sent += 1
        site.arrival_at_s[request_id] = now_s
        self._step_dispatcher(site, RequestArrived(request_id), now_s)

    def _happen(self, function: str, event: DispatcherEvent | ControllerEvent, now_s: float) -> None:
        if isinstance(event, _REPLICA_OF) and event.replica_id not in self._alive:
            return  # it died before
        if isinstance(event, ReplicaExited):
            del self._alive[event.replica_id]
        if isinstance(event, ControllerEvent) and not isinstance(event, Tick):
            self._step_controller(event, now_s)
        else:
            self._step_dispatcher(self._sites[function], event, now_s)

    def _step_controller(self, event: ControllerEvent, now_s: float) -> None:
        actions = self._controller.step(event, now_s)
        if self._observe is not None:
            self._observe(event, now_s, list(actions))
        for action in actions:
            site = self._sites[action.function]
            match action:
                case StartReplica(replica_id=replica_id):
                    self._alive[replica_id] = action.function
                    site.result.starts.append((now_s, replica_id))
                    start = site.service.start(len(site.result.starts))
                    outcome = ReplicaExited(replica_id, start.cause) if start.cause else ReplicaReady(replica_id)
                    self.at(now_s + start.duration_s, outcome, action.function)
                case LeaseReplica(replica_id=replica_id):
                    self._step_dispatcher(site, ReplicaLeased(replica_id), now_s)
                case DrainReplica(replica_id=replica_id):
                    self._step_dispatcher(site, ReplicaRevoked(replica_id), now_s)
                case StopReplica(replica_id=replica_id):
                    self.at(now_s, ReplicaExited(replica_id, "stopped"), action.function)
                case SuspendStarts():
                    self._step_dispatcher(site, StartsSuspended(), now_s)
                case ResumeStarts():
                    self._step_dispatcher(site, StartsResumed(), now_s)
                case RecordScaling(decision=decision):
                    site.result.decisions.append((now_s, decision))
        self._note_replicas(now_s)

    def _note_replicas(self, now_s: float) -> None:
        for name, site in self._sites.items():
            living = len(self._controller.members(name))
            site.result.replicas_max = max(site.result.replicas_max, living)
            if not site.result.replicas or site.result.replicas[-1][1] != living:
                site.result.replicas.append((now_s, living))

    def _step_dispatcher(self, site: _Site, event: DispatcherEvent, now_s: float) -> None:
        actions = site.dispatcher.step(event, now_s)
        if self._observe is not None:
            self._observe(event, now_s, list(actions))
        for action in actions:
            if type(action) is DispatchBatch:
                size = len(action.request_ids)
                if now_s >= self._transient_s:
                    site.result.batch_sizes.append(size)
                done_s = now_s + site.service.duration_s(size, self._rng)
                self.at(done_s, BatchCompleted(action.replica_id, action.batch_id), site.dispatcher.settings.name)
            elif type(action) is Finish:
                self._count(site, action, now_s)
            elif type(action) is ReturnLease:
                self._step_controller(LeaseReturned(action.replica_id), now_s)
            elif type(action) is SuspectReplica:
                self._step_controller(ReplicaSuspected(action.replica_id, action.cause, action.is_hung), now_s)
            else:
                assert type(action) is CancelBatch  # a modelled call runs to its end

    def _count(self, site: _Site, action: Finish, now_s: float) -> None:
        arrived_s = site.arrival_at_s.pop(action.request_id)
        if arrived_s >= self._transient_s:
            slo = site.dispatcher.settings.slo
            site.result.count(action, slo.latency_s if slo else inf, now_s)


def _merged(arrivals: Mapping[str, Iterable[float]]) -> Iterator[tuple[float, str]]:
    """All arrivals in order of time."""
    if len(arrivals) == 1:
        ((name, instants),) = arrivals.items()
        return ((at_s, name) for at_s in instants)
    return merge(*(_named(name, instants) for name, instants in arrivals.items()))


def _named(name: str, instants: Iterable[float]) -> Iterator[tuple[float, str]]:
    return ((at_s, name) for at_s in instants)

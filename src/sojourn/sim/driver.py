"""An event heap that runs the dispatchers of functions and the controller in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heappop, heappush, merge
from itertools import repeat
from math import inf
from random import Random
from typing import Final

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import (
    CancelBatch,
    DispatchBatch,
    DispatcherAction,
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
    ClientGone,
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
from sojourn.sim.arrival import Arrival, Arriving
from sojourn.sim.fate import Fates
from sojourn.sim.fleet import Happening, ModelledFleet
from sojourn.sim.machines import Machines
from sojourn.sim.mishap import Mishap
from sojourn.sim.replica import ModelledService
from sojourn.sim.result import SimulationResult
from sojourn.sim.site import Site
from sojourn.sim.timeline import Timeline
from sojourn.sim.watch import Watch
from sojourn.telemetry.journal import Journal

Observer = Callable[[object, float, list[object]], None]
# What is done first at one instant: what happened, then (outside the heap) arrivals, then wake-ups.
_EVENT: Final = 0
_CONTROLLER_WAKE: Final = 2
_SITE_WAKE: Final = 3
_TICK: Final = Tick()
_OF_A_REPLICA: Final = (BatchCompleted, ReplicaReady, ReplicaExited, ReplicaLost)


class Simulation:
    """Functions, their replicas and the platform's controller, driven by an event heap.

    Args:
        dispatcher: The production dispatcher of the first function.
        controller: The production controller.
        service: How its modelled replicas behave.
        rng: Chance for service-time noise.
        observe: Called with (event, now_s, actions) after each step of either machine.
        machines: Where replicas are placed; None is one machine on which every start pays its import.
        fates: What goes wrong with batches, if anything.
        timeline: Where the first function's run is also summed up by stretches of time.
        watch: Watches the first function's objective; None counts only the result.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        controller: Controller,
        service: ModelledService,
        rng: Random,
        observe: Observer | None = None,
        *,
        machines: Machines | None = None,
        fates: Fates | None = None,
        timeline: Timeline | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._controller = controller
        self._rng = rng
        self._observe = observe
        self._fleet = ModelledFleet(machines, fates, rng, self._post)
        self._sites: dict[str, Site] = {}
        self._first = dispatcher.settings.name
        self._heap: list[tuple[float, int, int, Site | None, Happening | None]] = []
        self._order = 0
        self._controller_armed_at_s = inf
        self._open = 0  # requests that have come and not ended
        self._stalls: list[tuple[float, float]] = []
        self.now_s = 0.0
        self.steps = 0
        self.add(dispatcher, service, timeline=timeline, watch=watch)

    def add(
        self,
        dispatcher: Dispatcher,
        service: ModelledService,
        rng: Random | None = None,
        *,
        timeline: Timeline | None = None,
        watch: Watch | None = None,
    ) -> None:
        """One more function; `rng` is chance of its own, else it shares the simulation's."""
        self._sites[dispatcher.settings.name] = Site(dispatcher, service, rng or self._rng, watch, timeline)

    def keep_journal(self, journal: Journal, function: str = "") -> None:
        """Have the steps of a function's dispatcher recorded; of the first one if none is named."""
        self._sites[function or self._first].journal = journal

    @property
    def result(self) -> SimulationResult:
        """What came of the first function."""
        return self._sites[self._first].result

    @property
    def results(self) -> dict[str, SimulationResult]:
        """What came of each function."""
        return {name: site.result for name, site in self._sites.items()}

    # ---- what is to happen

    def at(self, at_s: float, event: Happening, function: str = "") -> None:
        """Let `event` happen at `at_s`; an event for a dispatcher concerns `function`, or the first one, a mishap all."""
        self._post(at_s, self._sites[function or self._first], event)

    def kill(self, at_s: float, replica_id: int, function: str = "") -> None:
        """Let a replica die at `at_s`: its link closes and its process exits."""
        self.at(at_s, ReplicaLost(replica_id), function)
        self.at(at_s, ReplicaExited(replica_id, "killed"), function)

    def stall(self, at_s: float, duration_s: float) -> None:
        """Let the server stand still: what happens meanwhile is seen when it goes on, in its order. In order of time."""
        self._stalls.append((at_s, at_s + duration_s))

    def _post(self, at_s: float, site: Site, event: Happening) -> None:
        self._order += 1
        heappush(self._heap, (at_s, _EVENT, self._order, site, event))

    # ---- running

    def run(self, arrivals: Iterable[Arriving], *, transient_s: float = 0.0, limit_s: float = inf) -> SimulationResult:
        """Deploy, replay the arrivals of the only function, and go on until all has ended; see `run_all`."""
        return self.run_all({self._first: arrivals}, transient_s=transient_s, limit_s=limit_s)[self._first]

    def run_all(
        self,
        arrivals: Mapping[str, Iterable[Arriving]],
        *,
        transient_s: float = 0.0,
        until_s: float = 0.0,
        limit_s: float = inf,
    ) -> dict[str, SimulationResult]:
        """Deploy all functions, replay their arrivals and go on until every request has ended.

        Replica time is that until the last arrival, or until `until_s` if that is later.

        Args:
            arrivals: When requests arrive, by function, ascending.
            transient_s: Requests that arrive before this are served but not counted.
            until_s: Go on at least until then, in seconds.
            limit_s: Virtual time at which to stop even if work is left, in seconds.
        """
        for site in self._sites.values():
            site.begin(transient_s)
            self._step_controller(FunctionDeployed(site.dispatcher.settings), 0.0)
        last_s = self._drive(_merged(arrivals, self._sites), until_s, limit_s)
        ends_s = min(max(last_s, until_s), limit_s)
        for site in self._sites.values():
            site.result.duration_s = max(ends_s - transient_s, 0.0)
            site.result.replica_seconds = site.result.replica_seconds_until(ends_s)
        return self.results

    def _drive(self, pending: Iterator[tuple[Arriving, Site]], until_s: float, limit_s: float) -> float:
        """Go on until nothing is left to happen; when the last request arrived."""
        heap, request_id, last_s = self._heap, 0, 0.0
        arrival = next(pending, None)
        while True:
            if arrival is None:
                arrives_at_s = inf
            else:
                arriving, site = arrival
                arrives_at_s = arriving.at_s if isinstance(arriving, Arrival) else arriving
            head = heap[0] if heap else None
            if head is not None and (head[0] < arrives_at_s or (head[0] == arrives_at_s and head[1] == _EVENT)):
                if head[0] > limit_s or (arrival is None and not self._open and head[0] > until_s):
                    return last_s
                heappop(heap)
                self._take(head)
            elif arrival is not None and arrives_at_s <= limit_s:
                request_id += 1
                last_s = arrives_at_s
                if self._stalls:
                    arrives_at_s = self._shown_s(arrives_at_s)
                else:
                    self.now_s = arrives_at_s
                self._arrive(site, request_id, arrives_at_s, arriving)
                arrival = next(pending, None)
            else:
                return last_s

    def _take(self, head: tuple[float, int, int, Site | None, Happening | None]) -> None:
        """Do what stands at the top of the heap."""
        at_s, kind, _, site, event = head
        if kind == _EVENT:
            assert site is not None, "an event has a place"
            assert event is not None, "an event is posted with its facts"
            self._happen(site, event, self._shown_s(at_s))
        elif kind == _CONTROLLER_WAKE:
            if at_s == self._controller_armed_at_s:
                self._controller_armed_at_s = inf
                due_at_s = self._controller.next_wake_at_s
                if due_at_s is not None and due_at_s <= at_s:
                    self._step_controller(_TICK, self._shown_s(at_s))
                self._arm_controller()
        elif site is not None and at_s == site.armed_at_s:
            site.armed_at_s = inf
            if site.wake_at_s <= at_s:
                self._wake(site, self._shown_s(at_s))
            self._arm(site)

    def _shown_s(self, at_s: float) -> float:
        """The time the machines are shown: a server that stood still sees later what happened meanwhile."""
        while self._stalls and self._stalls[0][0] <= at_s:
            ends_s = self._stalls[0][1]
            if at_s < ends_s:
                at_s = ends_s
                break
            self._stalls.pop(0)
        self.now_s = max(at_s, self.now_s)
        return self.now_s

    def _wake(self, site: Site, now_s: float) -> None:
        dispatcher = site.dispatcher
        if dispatcher.reporter.due_at_s <= now_s:
            site.look(now_s)
            self._step_controller(DemandReported(dispatcher.reporter.report(now_s)), now_s)
        else:
            self._step_dispatcher(site, _TICK, now_s)

    def _arm(self, site: Site) -> None:
        """See to it that the heap holds the next wake-up of a dispatcher; earlier ones that are left there are passed over."""
        dispatcher = site.dispatcher
        wake_at_s, report_at_s = dispatcher.next_wake_at_s, dispatcher.reporter.due_at_s
        if wake_at_s is None or report_at_s < wake_at_s:
            wake_at_s = report_at_s
        if wake_at_s < site.armed_at_s:
            site.armed_at_s = wake_at_s
            self._order += 1
            heappush(self._heap, (wake_at_s, _SITE_WAKE, self._order, site, None))

    def _arm_controller(self) -> None:
        wake_at_s = self._controller.next_wake_at_s
        if wake_at_s is not None and wake_at_s < self._controller_armed_at_s:
            self._controller_armed_at_s = wake_at_s
            self._order += 1
            heappush(self._heap, (wake_at_s, _CONTROLLER_WAKE, self._order, None, None))

    # ---- what happens

    def _arrive(self, site: Site, request_id: int, now_s: float, arriving: Arriving) -> None:
        self._open += 1
        if site.is_plain:
            site.result.sent += 1
        else:
            site.arrived(request_id, now_s)
        if not isinstance(arriving, Arrival):
            self._step_dispatcher(site, RequestArrived(request_id), now_s)
            return
        if arriving.weight != 1.0:
            site.weights[request_id] = arriving.weight
        if arriving.patience_s is not None:
            self._post(arriving.at_s + arriving.patience_s, site, ClientGone(request_id))
        event = RequestArrived(request_id, arriving.body_bytes, arriving.priority, arriving.client_timeout_s)
        self._step_dispatcher(site, event, now_s)

    def _happen(self, site: Site, event: Happening, now_s: float) -> None:
        if isinstance(event, _OF_A_REPLICA):
            if event.replica_id not in self._fleet:
                return  # it died before
            if isinstance(event, ReplicaExited):
                self._fleet.gone(event.replica_id, now_s)
            elif isinstance(event, ReplicaReady):
                self._fleet.ready(site, event.replica_id, now_s)
        if site.watch is not None and isinstance(event, BatchCompleted):
            site.batch_answered(event.batch_id)
            self._step_dispatcher(site, event, now_s)
            site.batch_done()
        elif isinstance(event, Mishap):
            self._fleet.befall(event, now_s)
        elif isinstance(event, DispatcherEvent):
            self._step_dispatcher(site, event, now_s)
        else:
            self._step_controller(event, now_s)
            if isinstance(event, ReplicaReady | ReplicaExited):
                site.look(now_s)

    # ---- the controller

    def _step_controller(self, event: ControllerEvent, now_s: float) -> None:
        actions = self._controller.step(event, now_s)
        self.steps += 1
        if self._observe is not None:
            self._observe(event, now_s, list(actions))
        for action in actions:
            site = self._sites[action.function]
            match action:
                case StartReplica(replica_id=replica_id):
                    self._fleet.start(site, replica_id, now_s)
                case LeaseReplica(replica_id=replica_id):
                    self._step_dispatcher(site, ReplicaLeased(replica_id), now_s)
                case DrainReplica(replica_id=replica_id):
                    self._step_dispatcher(site, ReplicaRevoked(replica_id), now_s)
                case StopReplica(replica_id=replica_id):
                    self._post(now_s, site, ReplicaExited(replica_id, "stopped"))
                case SuspendStarts():
                    self._step_dispatcher(site, StartsSuspended(), now_s)
                case ResumeStarts():
                    self._step_dispatcher(site, StartsResumed(), now_s)
                case RecordScaling(decision=decision):
                    site.result.decisions.append((now_s, decision))
        self._arm_controller()

    # ---- a dispatcher

    def _step_dispatcher(self, site: Site, event: DispatcherEvent, now_s: float) -> None:
        dispatcher = site.dispatcher
        actions = dispatcher.step(event, now_s)
        self.steps += 1
        if site.journal is not None:
            site.journal.append(now_s, event, actions)
        if self._observe is not None:
            self._observe(event, now_s, list(actions))
        if actions:
            self._carry_out(site, actions, now_s)
        # As `_arm`, here and not there: it is looked at after each step of each request.
        wake_at_s, report_at_s = dispatcher.next_wake_at_s, dispatcher.reporter.due_at_s
        if wake_at_s is None or report_at_s < wake_at_s:
            wake_at_s = report_at_s
        if wake_at_s < site.armed_at_s:
            self._arm(site)

    def _carry_out(self, site: Site, actions: list[DispatcherAction], now_s: float) -> None:
        ended = 0
        for action in actions:
            if type(action) is Finish:
                ended += 1
                site.ended(action, now_s)
            elif type(action) is DispatchBatch:
                self._fleet.run(site, action, now_s)
            elif isinstance(action, ReturnLease):
                self._step_controller(LeaseReturned(action.replica_id), now_s)
            elif isinstance(action, SuspectReplica):
                self._step_controller(ReplicaSuspected(action.replica_id, action.cause, action.is_hung), now_s)
            else:
                assert isinstance(action, CancelBatch)  # a modelled call runs to its end
        self._open -= ended


def _merged(arrivals: Mapping[str, Iterable[Arriving]], sites: Mapping[str, Site]) -> Iterator[tuple[Arriving, Site]]:
    """All arrivals in order of time, each with where it arrives."""
    streams = [zip(stream, repeat(sites[name])) for name, stream in arrivals.items()]
    return streams[0] if len(streams) == 1 else merge(*streams, key=_instant)


def _instant(arrival: tuple[Arriving, Site]) -> float:
    arriving = arrival[0]
    return arriving.at_s if isinstance(arriving, Arrival) else arriving

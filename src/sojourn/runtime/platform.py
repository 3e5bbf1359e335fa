"""The live platform: drives the controller, its launcher and every function's dispatcher on one loop."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from random import SystemRandom
from time import monotonic

from msgspec import structs

from sojourn.core.admission import QueueBounds
from sojourn.core.controller import Controller
from sojourn.core.pool import UNBOUNDED, refuse_impossible
from sojourn.domain.action import (
    ControllerAction,
    DrainReplica,
    LeaseReplica,
    RecordScaling,
    ResumeStarts,
    StartReplica,
    StopReplica,
    SuspectReplica,
    SuspendStarts,
)
from sojourn.domain.demand import DemandReport
from sojourn.domain.event import (
    ControllerEvent,
    DemandReported,
    DrainBegan,
    DrainEnded,
    FunctionDeployed,
    LeaseReturned,
    ReplicaExited,
    ReplicaLeased,
    ReplicaReady,
    ReplicaRevoked,
    ReplicaSuspected,
    ScaleRequested,
    StartsResumed,
    StartsSuspended,
    Tick,
)
from sojourn.domain.function import FunctionManifest
from sojourn.domain.resources import Resources
from sojourn.runtime.alert_book import AlertBook
from sojourn.runtime.idleness import idle_by
from sojourn.runtime.output import ReplicaOutput
from sojourn.runtime.overview import PlatformOverview
from sojourn.runtime.ports import Launcher, ReplicaSpec
from sojourn.runtime.replica_link import ReplicaLink, ReplicaListener
from sojourn.runtime.scaling_record import ScalingRecords
from sojourn.runtime.service import FunctionService
from sojourn.telemetry.edges import common_edges_s
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.journal import Journal
from sojourn.telemetry.meter import ColdStart, FunctionMeter
from sojourn.telemetry.trace_store import TraceStore
from sojourn.wire.message import Done, Drain, Fatal, Message, Ready
from sojourn.wire.spec import accelerators_seen

_STOP_GRACE_S = 5.0
_EXIT_GRACE_S = 0.5


class Platform:
    """All functions of one server and the replicas they share.

    Construct, `await start()`, `deploy` functions, hand `services` to a gateway; at the end
    `await drain(...)` and `await close()`.

    Args:
        launcher: Starts replica processes.
        run_dir: Private directory (0700) for the replica socket.
        events: Told of what happens to replicas and functions.
        output: Keeps what replicas print (also given to the launcher).
        bounds: Limits of each function's queue.
        capacity: What all replicas share; None sets no bound.
        journal_steps: Steps kept per state machine.
        offset_s: What to add to monotonic seconds to get seconds since the epoch.
    """

    def __init__(
        self,
        launcher: Launcher,
        run_dir: Path,
        events: PlatformEvents,
        output: ReplicaOutput,
        bounds: QueueBounds | None = None,
        capacity: Resources | None = None,
        journal_steps: int = 1024,
        offset_s: float = 0.0,
    ) -> None:
        self.services: dict[str, FunctionService] = {}
        self.controller = Controller(SystemRandom(), capacity or UNBOUNDED)
        self.journal = Journal(journal_steps)
        self.traces = TraceStore()
        self._offset_s = offset_s
        self._launcher = launcher
        self._events = events
        self._output = output
        self._bounds = bounds or QueueBounds()
        self._journal_steps = journal_steps
        self._listener = ReplicaListener(self, str(run_dir / "replicas.sock"))
        self._tokens: dict[int, str] = {}
        self._functions: dict[int, str] = {}  # of every replica that is not gone
        self._links: dict[int, ReplicaLink] = {}
        self._fatal: dict[int, str] = {}
        self._unwanted: set[int] = set()  # replicas that were well and are to end
        self._scaling = ScalingRecords(events)
        self._cold_starts: dict[int, ColdStart] = {}  # of every replica that became ready and is not gone
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._is_closing = False

    async def start(self) -> None:
        """Listen for replicas."""
        await self._listener.start()

    def deploy(self, manifests: Iterable[FunctionManifest]) -> None:
        """Serve these functions from now on and start their replicas.

        Raises:
            ConfigurationError: A claim is more than there is, or the minima of all do not fit together.
        """
        manifests = list(manifests)
        deployed = [service.manifest.settings for service in self.services.values()]
        asked = [*deployed, *(manifest.settings for manifest in manifests)]
        refuse_impossible(asked, self.controller.capacity)
        objectives_s = [m.settings.slo.latency_s for m in manifests if m.settings.slo]
        edges_s = common_edges_s(objectives_s)
        for manifest in manifests:
            name = manifest.name
            self._scaling.deployed(manifest.settings)
            meter = FunctionMeter(
                name,
                manifest.revision,
                edges_s,
                has_objective=bool(manifest.settings.slo),
                offset_s=self._offset_s,
                replica_seconds=partial(self.controller.replica_seconds, name),
            )
            self.services[name] = FunctionService(
                manifest, meter, self._bounds, Journal(self._journal_steps), self, self.traces
            )
        for manifest in manifests:
            self._step(FunctionDeployed(manifest.settings))

    def overview(self, alerts: AlertBook) -> PlatformOverview:
        """What the admin port shows."""
        return PlatformOverview(
            self.services, self.controller, self._output, self._scaling, self._cold_starts, self._launcher, alerts
        )

    def scale(self, function: str, min_replicas: int | None = None, max_replicas: int | None = None) -> None:
        """Change the floor, the ceiling or both of a function's replicas from now on; None leaves one as it is.

        It holds until the function is deployed again or the server ends.

        Raises:
            UnknownFunctionError: No such function is deployed.
            ConfigurationError: A limit is out of range, the floor would lie above the ceiling, or the floors of all
                functions would not fit the pool; nothing changes.
        """
        limits = self._scaling.changed(function, min_replicas, max_replicas)
        floors = {**self._scaling.floors(), function: limits.min_replicas}
        wanted = (
            structs.replace(service.manifest.settings, min_replicas=floors[name], max_replicas=None)
            for name, service in self.services.items()
        )
        refuse_impossible(wanted, self.controller.capacity)
        self._scaling.limit(function, limits)
        self._step(ScaleRequested(function, min_replicas, max_replicas))

    def is_ready(self) -> bool:
        """Whether every function has a replica that takes work, or rests without one until it is called."""
        return not self._is_closing and all(
            service.dispatcher.replicas_ready or not self.controller.target(name)
            for name, service in self.services.items()
        )

    async def first_start(self) -> dict[str, str]:
        """Wait until each function has a ready replica or its first start failed; the failures by name."""
        while True:
            failures = {name: self.controller.start_failure(name) for name in self.services}
            failures = {name: cause for name, cause in failures.items() if cause}
            if failures or self.is_ready():
                return failures
            self._changed.clear()
            await self._changed.wait()

    async def drain(self, limit_s: float) -> bool:
        """Refuse new requests, finish those in flight; whether that was done within `limit_s` seconds.

        Whoever is left then is told that the server shuts down.
        """
        for service in self.services.values():
            service.happened(DrainBegan())
        give_up_at_s = monotonic() + limit_s
        is_done = await idle_by(self.services.values(), self._changed, give_up_at_s)
        if not is_done:
            for service in self.services.values():
                service.happened(DrainEnded())
        return is_done

    async def close(self) -> None:
        """End all replicas and stop listening."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        for link in list(self._links.values()):
            link.send(Drain())
        for replica_id in list(self._functions):
            self._launcher.stop(replica_id, _STOP_GRACE_S)
        await self._launcher.close()
        await self._listener.close()
        for service in self.services.values():
            service.close()

    # The listener's side (LinkOwner).

    def token_of(self, replica_id: int) -> str | None:
        """The one-time token of a replica that may dial in now."""
        return self._tokens.get(replica_id)

    def link_opened(self, link: ReplicaLink) -> None:
        """A replica dialled in; its token is used up."""
        del self._tokens[link.replica_id]
        self._links[link.replica_id] = link

    def link_message(self, link: ReplicaLink, message: Message) -> None:
        """A replica said something."""
        if type(message) is Done:
            self.services[self._functions[link.replica_id]].batch_done(link, message)
        elif type(message) is Ready:
            self._replica_ready(link, message)
        elif type(message) is Fatal:
            self._fatal[link.replica_id] = message.cause
            function = self._functions.get(link.replica_id, "")
            self._events.error("replica.fatal", function=function, replica=link.replica_id, cause=message.cause)
            for line in message.traceback.splitlines():
                self._output.record(function, link.replica_id, "stderr", line)

    def link_closed(self, link: ReplicaLink, cause: str) -> None:
        """A replica's connection is gone: what it held is lost, and so is the process."""
        replica_id = link.replica_id
        self._links.pop(replica_id, None)
        function = self._functions.get(replica_id)
        if function is None:
            return
        self._fatal.setdefault(replica_id, "")
        self.services[function].replica_lost(replica_id)
        if not self._is_closing:
            self._events.log.debug("replica.link_closed", function=function, replica=replica_id, cause=cause)
            # It is most likely exiting by itself; let it say how before we end it.
            asyncio.get_running_loop().call_later(_EXIT_GRACE_S, self._end_if_alive, replica_id)

    def _end_if_alive(self, replica_id: int) -> None:
        if replica_id in self._functions and not self._is_closing:
            self._launcher.stop(replica_id, 0.0)

    def _replica_ready(self, link: ReplicaLink, ready: Ready) -> None:
        replica_id = link.replica_id
        function = self._functions[replica_id]
        total_s = self.controller.age_s(replica_id, monotonic())
        meter = self.services[function].meter
        cold_start = meter.cold_start(total_s, ready.import_s, ready.load_s, ready.warmup_s)
        self._cold_starts[replica_id] = cold_start
        self._events.info(
            "replica.ready",
            function=function,
            replica=replica_id,
            pid=link.pid,
            cold_start_s=round(total_s, 3),
            spawn_s=round(cold_start.spawn_s, 3),
            import_s=round(ready.import_s, 3),
            load_s=round(ready.load_s, 3),
            warmup_s=round(ready.warmup_s, 3),
        )
        self._step(ReplicaReady(replica_id))

    # The launcher's side.

    def _replica_exited(self, replica_id: int, cause: str) -> None:
        function = self._functions.pop(replica_id, None)
        if function is None:
            return
        self._tokens.pop(replica_id, None)
        self._cold_starts.pop(replica_id, None)
        link = self._links.pop(replica_id, None)
        if link is not None:  # the process is gone before its connection told us
            self.services[function].replica_lost(replica_id)
            link.drop("its process exited")
        told = self._fatal.pop(replica_id, "")
        cause = told or cause
        is_planned = replica_id in self._unwanted and not told
        self._unwanted.discard(replica_id)
        if not self._is_closing:
            tell = self._events.info if is_planned else self._events.warning
            tell("replica.exited", function=function, replica=replica_id, cause=cause)
            self._step(ReplicaExited(replica_id, cause))

    # The services' side (ServiceOwner).

    def lease_returned(self, replica_id: int) -> None:
        """A replica that was taken back is empty."""
        self._step(LeaseReturned(replica_id))

    def objective_infeasible(self, function: str, why: str) -> None:
        """Say once that an objective cannot be met."""
        remedy = "relax the objective, or make one call faster"
        self._events.warning("function.infeasible", function=function, cause=why, remedy=remedy)

    def demand_reported(self, report: DemandReport) -> None:
        """A dispatcher told of its demand."""
        if not self._is_closing:
            self._step(DemandReported(report))

    def cause_of(self, function: str) -> str:
        """Why no replica of a function can be had."""
        return self.controller.start_failure(function)

    def replica_suspected(self, suspect: SuspectReplica) -> None:
        """A replica is not well: the controller decides."""
        function = self._functions.get(suspect.replica_id, "")
        self._events.warning("replica.suspected", function=function, replica=suspect.replica_id, cause=suspect.cause)
        self._fatal.setdefault(suspect.replica_id, suspect.cause)
        self._step(ReplicaSuspected(suspect.replica_id, suspect.cause, suspect.is_hung))

    # The controller's side.

    def _step(self, event: ControllerEvent) -> None:
        now_s = monotonic()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        actions = self.controller.step(event, now_s)
        self.journal.append(now_s, event, actions)
        for action in actions:
            self._perform(action)
        self._changed.set()
        wake_at_s = self.controller.next_wake_at_s
        if wake_at_s is not None and not self._is_closing:
            self._timer = asyncio.get_running_loop().call_later(max(wake_at_s - now_s, 0.001), self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._step(Tick())

    def _perform(self, action: ControllerAction) -> None:
        service = self.services[action.function]
        match action:
            case StartReplica(replica_id=replica_id, gpus=gpus):
                self._start_replica(service, replica_id, gpus)
            case LeaseReplica(replica_id=replica_id):
                link = self._links.get(replica_id)
                if link is not None:  # else it died between the two; its exit is on its way
                    service.links[replica_id] = link
                    service.happened(ReplicaLeased(replica_id, service.manifest.slots))
            case DrainReplica(replica_id=replica_id):
                self._events.info("replica.draining", function=service.name, replica=replica_id)
                self._unwanted.add(replica_id)
                service.happened(ReplicaRevoked(replica_id))
            case StopReplica(replica_id=replica_id):
                self._stop_replica(service, replica_id)
            case SuspendStarts(cause=cause):
                self._events.error("function.crash_loop", function=action.function, cause=cause)
                service.happened(StartsSuspended())
            case ResumeStarts():
                self._events.info("function.recovered", function=action.function)
                service.happened(StartsResumed())
            case RecordScaling(decision=decision):
                self._scaling.decided(decision)

    def _stop_replica(self, service: FunctionService, replica_id: int) -> None:
        if self.controller.age_s(replica_id, monotonic()) < service.manifest.settings.start_timeout_s:
            self._unwanted.add(replica_id)
        elif replica_id not in self._cold_starts:  # it took too long to be ready: its exit is to say so
            self._fatal.setdefault(replica_id, self.controller.start_failure(service.name))
        self._launcher.stop(replica_id, _STOP_GRACE_S)

    def _start_replica(self, service: FunctionService, replica_id: int, gpus: tuple[int, ...]) -> None:
        token = secrets.token_urlsafe(32)
        self._tokens[replica_id] = token
        self._functions[replica_id] = service.name
        spec = ReplicaSpec(
            replica_id=replica_id,
            socket_path=self._listener.path,
            token=token,
            manifest=service.manifest,
            environment=accelerators_seen(gpus) if self.controller.capacity.gpus else {},
        )
        self._events.info("replica.starting", function=service.name, replica=replica_id)
        self._launcher.start(spec, self._replica_exited)

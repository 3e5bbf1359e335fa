"""The live platform: every function's revisions, the controller and the replicas, on one loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from random import SystemRandom
from time import monotonic
from types import MappingProxyType
from typing import Final

from sojourn.core.admission import QueueBounds
from sojourn.core.controller import Controller
from sojourn.core.pool import UNBOUNDED
from sojourn.domain.event import (
    DrainBegan,
    DrainEnded,
    FunctionDeployed,
    FunctionPromoted,
    ReplicasReserved,
)
from sojourn.domain.function import FunctionManifest
from sojourn.domain.resources import Resources
from sojourn.domain.rollout import ArmCounts
from sojourn.domain.scaling import ReplicaLimits
from sojourn.errors import ConfigurationError, DeploymentError, UnknownFunctionError
from sojourn.estimate.service_time import Resumption
from sojourn.runtime.alert_book import AlertBook
from sojourn.runtime.controller_driver import ControllerDriver
from sojourn.runtime.floors import FloorsAskedFor
from sojourn.runtime.idleness import idle_by
from sojourn.runtime.lineage import Lineage, found
from sojourn.runtime.output import ReplicaOutput
from sojourn.runtime.overview import PlatformOverview
from sojourn.runtime.ports import Launcher
from sojourn.runtime.retirement import Retirements
from sojourn.runtime.service import FunctionService
from sojourn.runtime.service_factory import ServiceFactory
from sojourn.runtime.warming import Warming
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.journal import Journal
from sojourn.telemetry.trace_store import TraceStore

RETIRE_S: Final = 30.0
_NAMES_SHOWN = 20


class Platform:
    """All functions of one server, their revisions, and the replicas they share.

    Construct, `await start()`, `deploy` functions, hand `services` to a gateway; at the end
    `await drain(...)` and `await close()`. In between a function's revision is replaced by `launch`, `await warm`,
    `make_live` and, once no route leads to the old one any more, `await retire` of that. All on one loop.

    Args:
        launcher: Starts replica processes.
        run_dir: Private directory (0700) for the replica socket.
        events: Told of what happens to replicas and functions.
        output: Keeps what replicas print (also given to the launcher).
        bounds: Limits of each revision's queue.
        capacity: What all replicas share; None sets no bound.
        journal_steps: Steps kept per state machine.
        offset_s: What to add to monotonic seconds to get seconds since the epoch.
        clock: Monotonic seconds, those of the loop.

    Attributes:
        services: The live revision of each function, by name.
        running: All revisions that run, by key (`name@revision`).
        lineages: The functions, with all their revisions and counts, by name.
        on_live_changed: Each is called with a function's name when that means another revision, or nothing any more.
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
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.services: dict[str, FunctionService] = {}
        self.running: dict[str, FunctionService] = {}
        self.lineages: dict[str, Lineage] = {}
        self.on_live_changed: list[Callable[[str], None]] = []
        self.controller = Controller(SystemRandom(), capacity or UNBOUNDED)
        self.journal = Journal(journal_steps)
        self.traces = TraceStore()
        self._offset_s = offset_s
        self._clock = clock
        self._launcher = launcher
        self._events = events
        self._output = output
        self._driver = driver = ControllerDriver(
            self.controller, launcher, run_dir, self.running, events, output, self.journal, clock
        )
        self._warming = Warming(self.controller, driver.replicas, output, driver.changed, clock)
        self._factory = ServiceFactory(
            self.running, driver, self.traces, bounds or QueueBounds(), journal_steps, offset_s, clock
        )
        self._floors = FloorsAskedFor(self.services, self.running, driver, self.controller.capacity)
        self._retirements = Retirements(driver, self._forget, clock)
        self._is_closing = False

    async def start(self) -> None:
        """Listen for replicas."""
        await self._driver.replicas.open()

    # ---- functions and revisions

    def deploy(
        self,
        manifests: Iterable[FunctionManifest],
        *,
        is_proven: bool = False,
        resumed: Mapping[str, Resumption] = MappingProxyType({}),
    ) -> None:
        """Serve these functions from now on, each the first and live revision of its name, and start their replicas.

        Args:
            manifests: The functions.
            is_proven: They have run before: those that need no replica get none until they are called.
            resumed: Service times that are known of them, by name.

        Raises:
            ConfigurationError: A claim is more than there is, the minima of all do not fit together, or a name is taken.
        """
        manifests = list(manifests)
        names = Counter(manifest.name for manifest in manifests)
        names.update(name for name, lineage in self.lineages.items() if lineage.running)
        if taken := sorted(name for name in {each.name for each in manifests} if names[name] > 1):
            raise ConfigurationError(f"named twice, or deployed already: {', '.join(taken)}")
        self._floors.refuse_impossible({manifest.name: manifest.settings for manifest in manifests})
        made = self._factory.make(manifests, resumed)
        for manifest, service in zip(manifests, made, strict=True):
            self.services[manifest.name] = service
            self.lineages.setdefault(manifest.name, Lineage()).begin(service)
        for manifest in manifests:
            self._driver.post(
                FunctionDeployed(manifest.settings, self.services[manifest.name].key, is_proven=is_proven)
            )

    def launch(self, manifest: FunctionManifest) -> FunctionService:
        """Run a further revision of a function, or the first of a new name; nothing leads to it yet.

        It gets one replica to warm up, whatever its settings say, as soon as the pool has room for it beside the first
        replica of the live one. One that runs already, or is about to be retired and has not ended yet, runs on.

        Raises:
            ConfigurationError: It could not run even in place of the live one.
        """
        lineage = self.lineages.get(manifest.name)
        present = None if lineage is None else lineage.running.get(manifest.revision)
        if present is not None and not present.is_closed:
            if self._retirements.call_off(present):
                self._driver.post(ReplicasReserved(present.key, 1))
            return present
        self._floors.refuse_impossible({manifest.name: manifest.settings})
        if lineage is None:
            lineage = self.lineages[manifest.name] = Lineage()
        now_s = self._clock()
        if present is not None:  # its replicas still end
            lineage.leave(present, now_s)
        (service,) = self._factory.make([manifest])
        lineage.enter(service, f"{now_s + self._offset_s:.3f}")
        self._events.info("revision.launched", function=service.name, revision=service.revision)
        self._driver.post(FunctionDeployed(manifest.settings, service.key, is_candidate=True))
        return service

    async def warm(self, function: str, revision: str) -> str:
        """Wait until a revision has a ready replica: empty, or why it has none, with what its last one wrote.

        Takes at most `start_timeout_s` until a replica is started, and as long until that is ready.

        Raises:
            UnknownFunctionError: No such revision runs.
        """
        return await self._warming.warm(self.revision(function, revision))

    def has_room(self, function: str, revision: str) -> bool:
        """Whether a revision can have a replica while the live one keeps its first.

        If not, it may not be warm for long, and is to get no share: once it is made live, its requests wait until the
        other one has given its place.

        Raises:
            UnknownFunctionError: No such revision runs.
        """
        service = self.revision(function, revision)
        return self.lineages[function].live is service or self.controller.limits(service.key)[0] > 0

    def floor(self, function: str, revision: str) -> int:
        """Replicas that a revision is sure to get, of what is reserved for it: as many as the pool has beside the others'.

        Raises:
            UnknownFunctionError: No such revision runs.
        """
        return self.controller.limits(self.revision(function, revision).key)[0]

    def reserve(self, function: str, revision: str, replicas: int) -> None:
        """Keep so many replicas of a revision, as far as the pool has them, until it is live and alone.

        For a candidate before it gets a larger share, so that it does not have to scale up under its first traffic.

        Raises:
            UnknownFunctionError: No such revision runs.
        """
        self._driver.post(ReplicasReserved(self.revision(function, revision).key, max(replicas, 1)))

    def make_live(self, function: str, revision: str) -> None:
        """From now on a function's name means this revision, for everything but the gateway, whose routes are its own.

        The one before it keeps a replica to finish with, even where that leaves no room for this one: it is to be
        retired as soon as no route leads to it.

        Raises:
            UnknownFunctionError: No such revision runs.
        """
        service = self.revision(function, revision)
        lineage = self.lineages[function]
        before = lineage.live
        self._retirements.call_off(service)
        if before is service:
            return
        lineage.live = self.services[function] = service
        self._events.info(
            "revision.live", function=function, revision=revision, before=before.revision if before else ""
        )
        self._driver.post(FunctionPromoted(service.key))
        self._tell(function)

    async def retire(self, function: str, revision: str, limit_s: float = RETIRE_S) -> bool:
        """Let a revision that is not live finish what it has, end its replicas, and forget it.

        The routes that lead to it are to be taken away before; what comes all the same is still served. If it is launched
        or made live again before it has finished, it stays.

        Args:
            function: Its function.
            revision: Which.
            limit_s: How long its requests have, in seconds; those left then are told to come again.

        Returns:
            Whether all its requests ended by themselves; also if it was gone already.

        Raises:
            DeploymentError: It is the live one.
        """
        service = found(self.lineages, f"{function}@{revision}")
        if service is None:
            return True
        if self.lineages[function].live is service:
            raise DeploymentError(
                f"revision {revision} of function {function!r} is the live one: make another one live first, or delete "
                "the function"
            )
        return await self._retirements.retire(service, limit_s)

    async def remove(self, function: str, limit_s: float = RETIRE_S) -> bool:
        """Retire all revisions of a function; its name means nothing from now on. As `retire`.

        Raises:
            UnknownFunctionError: No such function is deployed.
        """
        self._live(function)
        lineage = self.lineages[function]
        lineage.live = None
        del self.services[function]
        self._tell(function)
        return await self._retirements.retire_all(list(lineage.running.values()), limit_s)

    def revision(self, function: str, revision: str) -> FunctionService:
        """A revision that runs.

        Raises:
            UnknownFunctionError: No such revision runs.
        """
        service = found(self.lineages, f"{function}@{revision}")
        if service is None or service.is_closed:
            known = ", ".join(self.lineages.get(function, Lineage()).running) or "none"
            raise UnknownFunctionError(
                f"no revision {revision[:40]!r} of function {function[:100]!r} runs; running: {known}"
            )
        return service

    def arm_counts(self, function: str, revision: str) -> ArmCounts:
        """What a revision has counted since it was launched.

        Raises:
            UnknownFunctionError: No such revision runs.
        """
        return self.revision(function, revision).meter.arm_counts()

    def _forget(self, service: FunctionService) -> None:
        """The last replica of a retired revision has ended: nothing of it stays."""
        lineage = self.lineages.get(service.name)
        if lineage is not None:
            lineage.leave(service, self._clock())
        if self.running.get(service.key) is service:
            del self.running[service.key]
            self._driver.scaling.gone(service.key)
            self._launcher.forget(service.manifest)
        service.close()
        self._events.info("revision.retired", function=service.name, revision=service.revision)
        if lineage is not None and not lineage.running:
            self._output.forget(service.name)
            self.traces.forget(service.name)
            if not self.on_live_changed:  # nobody keeps a history, and forgets it once that is written
                del self.lineages[service.name]

    def _tell(self, function: str) -> None:
        for hook in self.on_live_changed:
            hook(function)

    # ---- limits

    def scale(self, function: str, min_replicas: int | None = None, max_replicas: int | None = None) -> None:
        """Change the floor, the ceiling or both of a function's replicas from now on; None leaves one as it is.

        It holds for the live revision, until another one is live or the server ends.

        Raises:
            UnknownFunctionError: No such function is deployed.
            ConfigurationError: A limit is out of range, the floor would lie above the ceiling, or the floors of all
                functions would not fit the pool; nothing changes.
        """
        self._floors.set(self._live(function), min_replicas, max_replicas)

    def limits_if(self, function: str, min_replicas: int | None, max_replicas: int | None) -> ReplicaLimits:
        """The limits as `scale` would leave them; refuses what that would refuse, and changes nothing.

        Raises:
            UnknownFunctionError: As `scale`.
            ConfigurationError: As `scale`.
        """
        return self._floors.check(self._live(function), min_replicas, max_replicas)

    def _live(self, function: str) -> FunctionService:
        service = self.services.get(function)
        if service is None:
            known = ", ".join(sorted(self.services)[:_NAMES_SHOWN]) or "none"
            raise UnknownFunctionError(f"no function is called {function[:100]!r}; deployed: {known}")
        return service

    # ---- the platform as a whole

    def overview(self, alerts: AlertBook) -> PlatformOverview:
        """What the admin port shows."""
        driver = self._driver
        return PlatformOverview(
            self.lineages, self.controller, self._output, driver.scaling, driver.replicas, self._launcher, alerts
        )

    def is_ready(self) -> bool:
        """Whether every function has a replica that takes work, or rests without one until it is called."""
        return not self._is_closing and all(self._is_served(service) for service in self.services.values())

    def _is_served(self, service: FunctionService) -> bool:
        return bool(service.dispatcher.replicas_ready) or not self.controller.target(service.key)

    async def first_start(self, names: Collection[str]) -> dict[str, str]:
        """Wait until each of these functions is ready, as `is_ready` has it, or its first start failed; the failures by name."""
        services = {name: self.services[name] for name in names}
        return await self._warming.first_start(services, lambda: all(map(self._is_served, services.values())))

    async def drain(self, limit_s: float) -> bool:
        """Refuse new requests, finish those in flight; whether that was done within `limit_s` seconds.

        Whoever is left then is told that the server shuts down.
        """
        services = list(self.running.values())
        for service in services:
            service.happened(DrainBegan())
        is_done = await idle_by(services, self._driver.changed, limit_s, self._clock)
        if not is_done:
            for service in services:
                service.happened(DrainEnded())
        return is_done

    async def close(self) -> None:
        """End all replicas and stop listening."""
        self._is_closing = True
        self._driver.close()
        self._retirements.close()
        await self._driver.replicas.close()
        for service in self.running.values():
            service.close()

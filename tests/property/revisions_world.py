"""The live platform in virtual time: replicas that take the times they are given, and an operator who changes his mind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

from sojourn.domain.deployment import deployment_key
from sojourn.domain.function import FunctionManifest, FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.resources import Resources
from sojourn.gateway.routes import Routes
from sojourn.runtime.output import ReplicaOutput
from sojourn.runtime.platform import Platform
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.log import EventLog
from sojourn.wire.message import ContentKind, Done, Ready

START_S = 0.3
BATCH_S = 0.013
NAME = "f"


class Caller:
    """Whoever waits for one request, and all that it hears."""

    trace = None

    def __init__(self) -> None:
        self.heard: list[str] = []

    def name(self) -> str:
        return f"r{id(self)}"

    def outbox(self) -> None:
        return None

    def answer(self, body: bytes, kind: ContentKind, timing: bytes) -> None:
        self.heard.append("answered")

    def refuse(self, fault, message, status=0, retry_after_s=0.0, timing=b"") -> None:
        self.heard.append(str(fault))


class Replica:
    """A replica and its link in one: answers each batch after a while, unless it is dead by then."""

    pid = 0

    def __init__(self, world: RevisionsWorld, replica_id: int, on_exit) -> None:
        self.replica_id, self._world, self._on_exit = replica_id, world, on_exit
        self.is_alive, self.has_dialled = True, False

    def dial(self) -> None:
        if self.is_alive:
            owner = self._world.platform._driver.replicas
            self.has_dialled = True
            owner.link_opened(self)
            owner.link_message(self, Ready(0.0, 0.0, 0.0))

    def run(self, batch_id: int, bodies: list[bytes], kinds: bytes) -> None:
        answer = Done(batch_id, 0.0, 0.0, 0.0, 0.0, list(bodies))
        self._world.loop.call_later(BATCH_S * (0.5 + self._world.rng.random()), self._answer, answer)

    def _answer(self, done: Done) -> None:
        if self.is_alive:
            self._world.platform._driver.replicas.link_message(self, done)

    def send(self, message: object) -> None: ...

    def drop(self, cause: str) -> None: ...

    def die(self, cause: str) -> None:
        """Its process ends: sometimes its link is seen to close first, sometimes not."""
        if self.is_alive:
            self.is_alive = False
            del self._world.replicas[self.replica_id]
            if self.has_dialled and self._world.rng.random() < 0.5:
                self._world.platform._driver.replicas.link_closed(self, cause)
            self._world.loop.call_later(0.002, self._on_exit, self.replica_id, cause)


class Launcher:
    """Starts such replicas."""

    def __init__(self, world: RevisionsWorld) -> None:
        self._world = world
        self.forgotten: list[str] = []

    def start(self, spec, on_exit) -> None:
        replica = self._world.replicas[spec.replica_id] = Replica(self._world, spec.replica_id, on_exit)
        self._world.loop.call_later(START_S, replica.dial)

    def stop(self, replica_id: int, grace_s: float) -> None:
        replica = self._world.replicas.get(replica_id)
        if replica is not None:
            self._world.loop.call_later(0.01, replica.die, "stopped")

    def memory_bytes(self, replica_id: int) -> None: ...

    def forget(self, manifest: FunctionManifest) -> None:
        self.forgotten.append(manifest.revision)

    async def close(self) -> None: ...


class RevisionsWorld:
    """A platform of one function, its routes, and requests on their way; made on a virtual loop.

    Args:
        cpus: Of the pool; a replica claims one.
        seed: Of the times.
    """

    def __init__(self, cpus: float, seed: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.rng = Random(seed)
        self.replicas: dict[int, Replica] = {}
        self.launcher = Launcher(self)
        log = EventLog(fd=os.open(os.devnull, os.O_WRONLY), log_level="error")
        self.platform = Platform(
            self.launcher,
            Path("/nowhere"),
            PlatformEvents(log),
            ReplicaOutput(log),
            capacity=Resources(cpus, 0.0, 2**40),
            clock=self.loop.time,
        )
        self.platform.controller._rng = Random(seed)
        self.routes = Routes()
        self.callers: list[Caller] = []
        self.uploads: list[tuple[bytes, object, Caller]] = []  # announced, their bodies still to come
        self.ending: set[asyncio.Task[bool]] = set()
        self._most = int(cpus)
        self.platform.deploy([manifest(0, self._most)])
        self.routes.add(self.platform.services[NAME])

    # ---- requests

    def arrive(self, revision: str = "") -> None:
        """A request whose body is here at once, by name or pinned; nothing happens where no path leads."""
        path = b"/functions/" + (deployment_key(NAME, revision) if revision else NAME).encode()
        service = self.routes.by_path.get(path)
        if service is not None and (not revision or self.platform.has_room(NAME, revision)):
            self.callers.append(caller := Caller())
            service.submit(caller, b"1", ContentKind.JSON, 1, None)

    def announce(self) -> None:
        """The headers of a request; its body comes with `upload`."""
        path = b"/functions/" + NAME.encode()
        caller = Caller()
        arm = self.routes.by_path[path].announce(caller, 1, None, 1)
        self.callers.append(caller)
        if not caller.heard:
            self.uploads.append((path, arm, caller))

    def upload(self) -> None:
        """The body of the oldest that was announced."""
        if self.uploads:
            path, service, caller = self.uploads.pop(0)
            if service.is_closed:
                service = self.routes.by_path.get(path, service)
            service.submit(caller, b"1", ContentKind.JSON, 1, None)

    # ---- the operator

    @property
    def live(self) -> str:
        return self.platform.services[NAME].revision

    def others(self) -> list[str]:
        """Revisions that run beside the live one and are not about to go."""
        services = self.platform.lineages[NAME].others
        return [service.revision for service in services if not service.is_retiring]

    def launch(self, number: int) -> None:
        self.routes.pin(self.platform.launch(manifest(number, self._most)))

    def split(self, revision: str, share: float) -> None:
        """Share the traffic with a candidate, if that can have a replica."""
        platform = self.platform
        if platform.has_room(NAME, revision):
            self.routes.split(NAME, platform.services[NAME], platform.revision(NAME, revision), share)

    def make_live(self, revision: str) -> None:
        """All traffic moves, and what had it before ends."""
        before = self.live
        self.platform.make_live(NAME, revision)
        self.retire(before)

    def retire(self, revision: str) -> None:
        """Take its routes away, then let it end."""
        self.routes.direct(self.platform.services[NAME])
        self.routes.remove(NAME, revision)
        task = self.loop.create_task(self.platform.retire(NAME, revision, 20.0))
        self.ending.add(task)
        task.add_done_callback(self.ending.discard)

    def kill(self, pick: int) -> None:
        """A replica dies."""
        if self.replicas:
            self.replicas[sorted(self.replicas)[pick % len(self.replicas)]].die("killed")

    def check(self) -> None:
        """What holds at any time."""
        controller = self.platform.controller
        controller._fleet.check()
        assert controller.held.fits(controller.capacity)
        for service in self.platform.running.values():
            dispatcher = service.dispatcher
            assert dispatcher.ledger.accepted == sum(dispatcher.ledger.ended.values()) + dispatcher.in_flight
        assert all(len(caller.heard) <= 1 for caller in self.callers)

    async def end(self) -> None:
        """Let everything end: the bodies that are still to come, all revisions but the live one, all requests."""
        while self.uploads:
            self.upload()
        for revision in self.others():
            self.retire(revision)
        while self.ending:
            await asyncio.wait(set(self.ending))
        while self.platform.services[NAME].dispatcher.in_flight:  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.1)

    @property
    def counted(self) -> int:
        """Requests of the function that count against its objective, over all its revisions."""
        return self.platform.lineages[NAME].total_good(self.loop.time(), 3600.0)[0]


def manifest(number: int, most: int) -> FunctionManifest:
    """A revision of the function, by number; its floor is what the pool can hold."""
    settings = FunctionSettings(
        name=NAME, slo=SLO(0.5), max_batch_size=4, min_replicas=min(number % 3, most), timeout_s=30.0
    )
    return FunctionManifest(target="app.py", attribute="F", settings=settings, revision=f"{number:012x}")

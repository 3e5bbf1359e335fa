"""A deploy service with a real platform, state file and store of bundles, over replicas that answer at once."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Self

from sojourn.bundle.pack import pack
from sojourn.bundle.store import BundleStore
from sojourn.deploy.service import DeployService
from sojourn.domain.deployment import CANARY, Description, RolloutPlan
from sojourn.domain.deployment_status import DeployAsked, Deployed, RolloutTold
from sojourn.domain.function import FunctionManifest, FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.resources import Resources
from sojourn.gateway.routes import Routes
from sojourn.runtime.output import ReplicaOutput
from sojourn.runtime.platform import Platform
from sojourn.state.keeper import StateKeeper
from sojourn.state.store import StateStore
from sojourn.telemetry.events import PlatformEvent, PlatformEvents
from sojourn.telemetry.log import EventLog
from sojourn.wire.message import ContentKind, Done, Ready

PATIENCE_S = 30.0
SLOWLY = RolloutPlan(strategy=CANARY, shares=(0.5,), step_s=600.0)


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
    """A replica and its link in one; it runs nothing, and answers at once."""

    pid = 0

    def __init__(self, desk: DeployDesk, replica_id: int, on_exit: Callable[[int, str], None]) -> None:
        self.replica_id, self._desk, self._on_exit = replica_id, desk, on_exit
        self.is_alive = True

    def dial(self) -> None:
        if self.is_alive:
            owner = self._desk.platform._driver.replicas
            owner.link_opened(self)
            owner.link_message(self, Ready(0.0, 0.0, 0.0))

    def run(self, batch_id: int, bodies: list[bytes], kinds: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._answer, Done(batch_id, 0.0, 0.0, 0.0, 0.0, list(bodies)))

    def _answer(self, done: Done) -> None:
        if self.is_alive:
            self._desk.platform._driver.replicas.link_message(self, done)

    def send(self, message: object) -> None: ...

    def drop(self, cause: str) -> None: ...

    def end(self, cause: str) -> None:
        if self.is_alive:
            self.is_alive = False
            del self._desk.replicas[self.replica_id]
            self._on_exit(self.replica_id, cause)


class Launcher:
    """Starts such replicas; those of functions in `held_back` wait until `let_go`, those in `broken` fail."""

    def __init__(self, desk: DeployDesk) -> None:
        self._desk = desk
        self.held_back = False
        self.waiting: list[Replica] = []

    def start(self, spec, on_exit) -> None:
        replica = self._desk.replicas[spec.replica_id] = Replica(self._desk, spec.replica_id, on_exit)
        if self.held_back:
            self.waiting.append(replica)
        else:
            asyncio.get_running_loop().call_soon(replica.dial)

    def let_go(self) -> None:
        """Those that wait start now, and later ones at once again."""
        self.held_back = False
        for replica in self.waiting:
            replica.dial()
        self.waiting.clear()

    def stop(self, replica_id: int, grace_s: float) -> None:
        replica = self._desk.replicas.get(replica_id)
        if replica is not None:
            asyncio.get_running_loop().call_soon(replica.end, "stopped")

    def memory_bytes(self, replica_id: int) -> None: ...

    def forget(self, manifest: FunctionManifest) -> None: ...

    async def close(self) -> None:
        for replica in list(self._desk.replicas.values()):
            replica.end("the server ends")


class DeployDesk:
    """One server's life: `async with DeployDesk(directory) as desk`; another one over the same directory is its next.

    A tree holds one file for each function, named after it, whose text makes the revision. The file `app.py` says
    which functions there are.

    Args:
        directory: Where state and bundles lie.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.replicas: dict[int, Replica] = {}
        self.examples: list[str] = []  # what imports tell beside settings
        self.log_path = directory / "events.log"

    async def __aenter__(self) -> Self:
        self._directory.mkdir(exist_ok=True)
        self._log_fd = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        log = EventLog(fd=self._log_fd)
        self.events = PlatformEvents(log)
        self.launcher = Launcher(self)
        self.output = ReplicaOutput(log)
        self.platform = Platform(
            self.launcher, Path("/nowhere"), self.events, self.output, capacity=Resources(16.0, 0.0, 2**40)
        )
        self.routes = Routes()
        self.store = StateStore.opened_in(self._directory)
        self.keeper = StateKeeper(self.store)
        self.bundles = BundleStore(self._directory)
        self.bundles.open()
        self.service = DeployService(
            self.platform, self.routes, self.bundles, self.keeper, self._describe, self.events, drain_s=5.0
        )
        self.restored = await self.service.restore()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.service.close()
        await self.launcher.close()
        self.platform._driver.close()
        for service in self.platform.running.values():
            service.close()
        await self.keeper.close()
        os.close(self._log_fd)

    async def _describe(self, target: str, root: Path) -> Description:
        names = (root / target).read_text().split()
        return Description(functions=[manifest(name, self.examples) for name in names])

    async def upload(self, text: str, *names: str) -> AsyncIterator[bytes]:
        """An archive whose functions have this text for code."""
        tree = self._directory / "tree"
        tree.mkdir(exist_ok=True)
        (tree / "app.py").write_text("\n".join(names or ("f",)))
        (tree / "code.txt").write_text(text)
        archive = io.BytesIO()
        pack(tree, "app.py", archive)
        yield archive.getvalue()

    async def begin(self, text: str, *names: str, plan: RolloutPlan | None = None) -> list[Deployed]:
        """Deploy; its rollouts are under way."""
        asked = DeployAsked(target="app.py", plan=plan or RolloutPlan())
        return await self.service.deploy(self.upload(text, *names), asked)

    async def deploy(self, text: str, *names: str) -> str:
        """Deploy and wait for the end; the revision of the first function."""
        deployed = await self.begin(text, *names)
        for each in deployed:
            await self.end_of(each.function)
        return deployed[0].revision

    async def end_of(self, function: str = "f") -> RolloutTold:
        """How the rollout under way ends."""
        await self.until(lambda: self.service.rollout(function).state not in {"warming", "shifting"})
        return self.service.rollout(function)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Look with each turn of the loop."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():  # noqa: ASYNC110 - of what tells nobody
                await asyncio.sleep(0.001)

    async def call(self, path: str = "f") -> str:
        """What becomes of one request; `unknown` where no path leads."""
        service = self.routes.by_path.get(b"/functions/" + path.encode())
        if service is None:
            return "unknown"
        caller = Caller()
        service.submit(caller, b"1", ContentKind.JSON, 1, None)
        await self.until(lambda: bool(caller.heard))
        return caller.heard[0]

    def told(self, event: str) -> list[PlatformEvent]:
        """Events of this name, oldest first."""
        return [one for one in self.events.ring.latest(1000).events if one.event == event]


def manifest(name: str, examples: list[str]) -> FunctionManifest:
    """One function; of a tree all have the same settings."""
    settings = FunctionSettings(name=name, slo=SLO(0.5), max_batch_size=4, min_replicas=1, timeout_s=30.0)
    return FunctionManifest(target="app.py", attribute=name, settings=settings, revision="", examples=examples)


def on_a_desk(story: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Tell a story with the desk of one server."""

    @wraps(story)
    def test(tmp_path: Path) -> None:
        async def tell() -> None:
            async with DeployDesk(tmp_path / "state") as desk:
                await story(desk)

        asyncio.run(tell())

    # Its argument is made here: what asks for fixtures must not see it.
    del test.__wrapped__
    return test


async def canary(desk: DeployDesk) -> tuple[str, str]:
    """One revision live, another one with half of the traffic, for ten minutes."""
    old = await desk.deploy("one")
    (new,) = await desk.begin("two", plan=SLOWLY)
    await desk.until(lambda: desk.service.rollout("f").state == "shifting")
    return old, new.revision

"""The composition root: the parts of a server, joined, started and closed in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sojourn.access.certificate import Certificate
from sojourn.access.key_ring import KeyRing
from sojourn.cli.bind_rule import refuse_open_bind, warn_of_bind
from sojourn.cli.renewal import keep_renewed
from sojourn.cli.server_isolation import opened_isolation, opened_log_files
from sojourn.cli.server_state import ServerState
from sojourn.config.settings import ServerSettings
from sojourn.config.state_dir import RUN_NAME
from sojourn.control.server import AdminServer
from sojourn.core.admission import QueueBounds
from sojourn.deploy.service import DeployService
from sojourn.domain.function import FunctionManifest
from sojourn.domain.resources import Resources
from sojourn.errors import ConfigurationError, StartError
from sojourn.gateway.limits import Limits
from sojourn.gateway.routes import Routes
from sojourn.gateway.server import Gateway
from sojourn.launcher.isolation import Isolation
from sojourn.launcher.local import LocalLauncher
from sojourn.launcher.machine import machine_resources
from sojourn.runtime.event_keeper import EventKeeper
from sojourn.runtime.insight import Insight
from sojourn.runtime.output import ReplicaOutput
from sojourn.runtime.platform import Platform
from sojourn.runtime.slo_watch import SLOWatch
from sojourn.runtime.watchdog import StallWatchdog
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.history import FILE_NAME, History, open_history
from sojourn.telemetry.log import EventLog

# A Unix socket's name holds 108 bytes; the file's own name needs some of them.
_SOCKET_DIR_BYTES_MAX = 88


class Server:
    """A whole server: `await start(...)`, later `await drain(...)`, always `await close()`.

    Args:
        settings: Checked settings.
        event_log: Where its life is told.
        state_dir: Directory it holds.
        keeps_state: Whether it outlives this server: what is counted, deployed and allowed is kept there for the next.
    """

    def __init__(
        self, settings: ServerSettings, event_log: EventLog, state_dir: Path, *, keeps_state: bool = True
    ) -> None:
        self._settings = settings
        self._keeps_state = keeps_state
        self.events = PlatformEvents(event_log)
        self._state_dir = state_dir
        self._closers = contextlib.AsyncExitStack()
        self._platform: Platform | None = None
        self._gateway: Gateway | None = None
        self._is_open = False
        self.inference_url = ""
        self.admin_url = ""
        self.functions: list[str] = []  # those served when it became ready
        self.known: set[str] = set()  # and those that are deployed and cannot be served here
        self.named: set[str] = set()  # those of the file that is served: nothing can be deployed under their names

    async def start(self, manifests: Sequence[FunctionManifest]) -> None:
        """Open both ports, serve the functions, bring back what was deployed, and wait until each has a ready replica.

        Raises:
            StartError: A port may not or cannot be bound, its certificate cannot be used, or a function cannot start
                for the first time.
            StateError: The state cannot be read.
        """
        settings, closers = self._settings, self._closers
        state = ServerState(self._state_dir, self.events, closers, keeps=self._keeps_state)
        kept_events = EventKeeper(self.events, state.keeper)
        closers.push_async_callback(kept_events.close)
        await kept_events.start()
        tls = self._open_to(state.keys)
        watchdog = StallWatchdog(self.events, settings.stall_s)
        self._closers.callback(watchdog.stop)
        watchdog.start()
        isolation = opened_isolation(settings, self._state_dir, self.events)
        closers.push_async_callback(asyncio.to_thread, isolation.close)
        platform, watch = self._open_platform(isolation)
        await platform.start()
        self._platform = self.platform = platform
        self.routes = Routes(is_filling=True)
        routes = self.routes
        self.named.update(manifest.name for manifest in manifests)
        self.deployments = deployments = state.join(
            settings, platform, routes, isolation, lambda: frozenset(self.named)
        )
        closers.push_async_callback(deployments.close)
        insight = Insight(watch, platform.traces, self.events.ring)
        admin = AdminServer(
            platform.overview(watch.alerts),
            deployments,
            insight,
            deployments,
            self.events,
            settings.admin_hosts,
            refusals=self._refusals,
            keys=state.keys,
            tls=tls,
        )
        self._closers.push_async_callback(admin.close)
        self.admin_url = _url(*await admin.start(settings.admin_host, settings.admin_port), tls)
        bounded = set(Limits.__struct_fields__) & set(ServerSettings.__struct_fields__)
        limits = Limits(**{name: getattr(settings, name) for name in bounded})

        def is_ready() -> bool:
            return self._is_open and platform.is_ready()

        self._gateway = gateway = Gateway(routes, limits, is_ready, keys=state.keys, tls=tls)
        self._closers.push_async_callback(gateway.close)
        self.inference_url = _url(*await gateway.start(settings.host, settings.port), tls)
        await self._serve(manifests, platform, routes, deployments, watch)
        self._is_open = True

    def _open_platform(self, isolation: Isolation) -> tuple[Platform, SLOWatch]:
        """The platform with its launcher, and who watches its objectives."""
        settings, log, closers = self._settings, self.events.log, self._closers
        log_files = opened_log_files(settings, self._state_dir, self.events) if self._keeps_state else None
        if log_files is not None:
            closers.push_async_callback(asyncio.to_thread, log_files.close)
        output = ReplicaOutput(log, files=log_files)
        bounds = QueueBounds(requests=settings.queue_requests, bytes=settings.queue_bytes)
        run_dir = self._closers.enter_context(run_directory(self._state_dir))
        launcher = LocalLauncher(output.record, log, settings.fork_server_idle_s, isolation)
        history_path = self._state_dir / FILE_NAME if self._keeps_state else None
        history, why_not, offset_s = _open_history(history_path)
        platform = Platform(
            launcher,
            run_dir,
            self.events,
            output,
            bounds,
            _capacity(settings),
            settings.journal_steps,
            offset_s=offset_s,
        )
        watch = SLOWatch(platform, self.events, offset_s, history, why_not, path=history_path)
        self._closers.push_async_callback(watch.close)  # after the platform: the last requests count
        self._closers.push_async_callback(platform.close)
        return platform, watch

    async def _serve(
        self,
        manifests: Sequence[FunctionManifest],
        platform: Platform,
        routes: Routes,
        deployments: DeployService,
        watch: SLOWatch,
    ) -> None:
        """Serve what was named and what was deployed before; ready once what was named is."""
        try:
            platform.deploy(manifests)
        except ConfigurationError as error:
            raise StartError(str(error)) from None
        for service in platform.services.values():
            routes.add(service)
        self.known = {*platform.services, *await deployments.restore()}
        await watch.load()
        watch.start()
        routes.is_filling = False
        failures = await platform.first_start([manifest.name for manifest in manifests])
        if failures:
            raise StartError("\n".join(f"function {name!r} cannot start: {cause}" for name, cause in failures.items()))
        self.functions = sorted(platform.services)

    def _open_to(self, keys: KeyRing) -> ssl.SSLContext | None:
        """Read the keys and the certificate; what both ports show to clients of https, None for plain http."""
        settings = self._settings
        keys.load()
        has_keys = not keys.is_open
        refuse_open_bind(settings, self._state_dir, has_keys=has_keys, keeps_keys=self._keeps_state)
        warn_of_bind(settings, self.events, has_keys=has_keys)
        if settings.tls_cert is None or settings.tls_key is None:
            return None
        certificate = Certificate(Path(settings.tls_cert), Path(settings.tls_key))
        certificate.load()
        renewal = asyncio.create_task(keep_renewed(certificate, self.events), name="certificate renewal")
        self._closers.callback(renewal.cancel)
        return certificate.context

    def _refusals(self) -> dict[str, int]:
        return dict(self._gateway.refused) if self._gateway is not None else {}

    async def drain(self, linger_s: float) -> None:
        """Take no new requests; let those taken in end within the settings' `drain_s`.

        Args:
            linger_s: Time for clients to read their answers once all have been given, in seconds.
        """
        assert self._platform is not None, "drain comes after start"
        assert self._gateway is not None, "drain comes after start"
        self._is_open = False
        self._gateway.begin_drain()
        if not await self._platform.drain(self._settings.drain_s):
            self.events.warning(
                "server.drain_incomplete",
                limit_s=self._settings.drain_s,
                remedy="requests still running were dropped; raise --drain if they need longer",
            )
        await self._gateway.close(linger_s)

    async def close(self) -> None:
        """Close what was started, the last first; nothing that is still running is waited for."""
        self._is_open = False
        await self._closers.aclose()


def _open_history(path: Path | None) -> tuple[History | None, str, float]:
    """The history of a file, why there is none to write to, and what makes monotonic seconds ones since the epoch."""
    wall_s = time.time()
    history, why_not = open_history(path, wall_s) if path is not None else (None, "")
    starts_at_s = history.starts_at_s if history is not None else wall_s
    return history, why_not, starts_at_s - time.monotonic()


@contextlib.contextmanager
def run_directory(state_dir: Path) -> Iterator[Path]:
    """A private directory for the replicas' socket, under the state directory if socket names may be that long."""
    path = state_dir / RUN_NAME
    if len(os.fsencode(path)) <= _SOCKET_DIR_BYTES_MAX:
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):  # somebody put something there: theirs to keep
                path.rmdir()
        return
    with tempfile.TemporaryDirectory(prefix="sojourn-") as elsewhere:
        try:
            yield Path(elsewhere)
        finally:
            with contextlib.suppress(OSError):
                path.rmdir()


def _capacity(settings: ServerSettings) -> Resources:
    """What replicas share: what the machine has, unless the settings say otherwise."""
    found = machine_resources()
    return Resources(
        found.cpus if settings.cpus is None else settings.cpus,
        found.gpus if settings.gpus is None else float(settings.gpus),
        found.memory_bytes if settings.memory is None else settings.memory,
    )


def _url(host: str, port: int, tls: ssl.SSLContext | None) -> str:
    scheme = "http" if tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

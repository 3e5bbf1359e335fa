"""A server's durable state and what is deployed to it, joined: the store, the keys, the source trees, the deploy service."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sojourn.access.key_ring import KeyRing
from sojourn.bundle.store import BundleStore
from sojourn.config.objectives import with_objectives
from sojourn.config.settings import ServerSettings
from sojourn.deploy.service import DeployService
from sojourn.domain.access import KeyRecord
from sojourn.domain.deployment import Description
from sojourn.domain.function import FunctionManifest
from sojourn.errors import StartError, StateError
from sojourn.gateway.routes import Routes
from sojourn.launcher.describe import examine
from sojourn.launcher.isolation import Isolation
from sojourn.runtime.platform import Platform
from sojourn.state.keeper import StateKeeper
from sojourn.state.store import StateStore
from sojourn.telemetry.events import PlatformEvents

_DRAIN_S: Final = 30.0


class _KeptKeys:
    """The keys of the state file, for the ring, which asks seldom and waits."""

    def __init__(self, keeper: StateKeeper) -> None:
        self._keeper = keeper

    def keys(self) -> list[KeyRecord]:
        """All there ever were."""
        return self._keeper.now(lambda store: store.keys())

    def put_key(self, record: KeyRecord) -> None:
        """Keep a new one."""
        self._keeper.now(lambda store: store.put_key(record))

    def revoke_key(self, key_id: str, wall_s: float) -> None:
        """Note that one was revoked."""
        self._keeper.now(lambda store: store.revoke_key(key_id, wall_s))


class ServerState:
    """What outlives a server, opened: `keys` and `keeper` at once, `deployments` after `join`.

    Args:
        state_dir: The directory this process holds.
        events: Told when it cannot be written, and when it can again.
        keeps: Whether the directory outlives the server; if not, nothing is written there.
        closers: What is opened is closed by them, the last first.

    Raises:
        StartError: The state is damaged or of another version.
    """

    def __init__(
        self, state_dir: Path, events: PlatformEvents, closers: contextlib.AsyncExitStack, *, keeps: bool
    ) -> None:
        self._events = events
        try:
            store = StateStore.opened_in(state_dir) if keeps else StateStore.in_memory()
            self.keeper = StateKeeper(store, self._faulty)
            closers.push_async_callback(self.keeper.close)
            root = state_dir if keeps else Path(closers.enter_context(tempfile.TemporaryDirectory(prefix="sojourn-")))
            self._bundles = BundleStore(root)
            self._bundles.open()
        except StateError as err:
            raise StartError(str(err)) from err
        self.keys = KeyRing(_KeptKeys(self.keeper))

    def join(
        self,
        settings: ServerSettings,
        platform: Platform,
        routes: Routes,
        isolation: Isolation,
        served: Callable[[], frozenset[str]],
    ) -> DeployService:
        """The service that deploys to this platform."""

        async def describe(target: str, root: Path) -> Description:
            confinement = await asyncio.to_thread(isolation.of_import, target, str(root))
            try:
                return await examine(target, settings.describe_timeout_s, root=root, confinement=confinement)
            finally:
                await asyncio.to_thread(isolation.ended, confinement)

        def adjusted(manifest: FunctionManifest) -> FunctionManifest:
            return with_objectives([manifest], settings.objectives)[0]

        return DeployService(
            platform,
            routes,
            self._bundles,
            self.keeper,
            describe,
            self._events,
            served=served,
            drain_s=min(settings.drain_s, _DRAIN_S),
            adjusted=adjusted,
        )

    def _faulty(self, fault: str) -> None:
        if fault:
            remedy = "deploys and changes of keys are refused until it can be written; serving goes on"
            self._events.error("state.unwritable", cause=fault, remedy=remedy)
        else:
            self._events.info("state.writable")

"""Replicas as processes of this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from msgspec import structs

from sojourn.domain.function import FunctionManifest
from sojourn.launcher.fork_servers import IDLE_S, ForkServers, OnOutput
from sojourn.launcher.isolation import Isolation
from sojourn.launcher.local_replica import LocalReplica
from sojourn.launcher.memory import memory_bytes
from sojourn.launcher.process import allowed_environment
from sojourn.launcher.session_guard import SessionGuard
from sojourn.telemetry.log import EventLog
from sojourn.wire.spec import ReplicaSpec


class LocalLauncher:
    """Starts replicas here; implements `sojourn.runtime.ports.Launcher`. Use it on one event loop.

    Unless its function says `share="none"`, a replica is forked from a process that has imported the
    function's code, so that only the first replica of a revision pays for the import.

    Args:
        on_output: Called on the loop with (function, replica id, `"stdout"` or `"stderr"`, line) for
            what replicas print; must not block. Id 0 is the function's fork server.
        event_log: Told of fork servers, and why a function has none; None for nobody.
        fork_server_idle_s: How long a fork server stays when its revision has no replicas, in seconds, > 0.
        isolation: How replicas are kept apart; None: limits by default, and no directories of their own.
    """

    def __init__(
        self,
        on_output: OnOutput,
        event_log: EventLog | None = None,
        fork_server_idle_s: float = IDLE_S,
        isolation: Isolation | None = None,
    ) -> None:
        self._on_output = on_output
        self._replicas: dict[int, LocalReplica] = {}
        self._guard = SessionGuard()
        self._isolation = isolation or Isolation()
        self._fork_servers = ForkServers(self._guard, on_output, event_log, self._isolation, fork_server_idle_s)
        self._all_gone = asyncio.Event()
        self._closed = False

    def start(self, spec: ReplicaSpec, on_exit: Callable[[int, str], None]) -> None:
        """Start a process for `spec`; `on_exit(replica_id, cause)` is called once on the loop when it ended.

        A process that cannot even be started ends in the same way, with the reason as its cause.
        """
        replica_id, function = spec.replica_id, spec.manifest.name
        loop = asyncio.get_running_loop()
        if self._closed:
            loop.call_soon(on_exit, replica_id, "not started: the launcher is closed")
            return
        try:
            confinement = self._isolation.confinement(spec.manifest, str(replica_id))
        except OSError as error:
            cause = f"could not be started: no private directory can be made for it: {error.strerror}"
            loop.call_soon(on_exit, replica_id, cause)
            return

        def ended(cause: str) -> None:
            self._isolation.ended(confinement)
            del self._replicas[replica_id]
            if not self._replicas:
                self._all_gone.set()
            on_exit(replica_id, self._isolation.explained(cause, confinement))

        replica = self._replicas[replica_id] = LocalReplica(
            structs.replace(spec, confinement=confinement),
            allowed_environment(os.environ) | spec.environment,
            self._guard,
            self._fork_servers,
            on_line=lambda stream, text: self._on_output(function, replica_id, stream, text),
            on_exit=ended,
        )
        replica.start()

    def stop(self, replica_id: int, grace_s: float) -> None:
        """Ask the process to end; after `grace_s` seconds it is killed. Unknown and ended ones are left alone."""
        replica = self._replicas.get(replica_id)
        if replica is not None:
            replica.terminate(grace_s)

    def pid(self, replica_id: int) -> int | None:
        """Process id of a replica that has not ended; None also while it waits to be forked."""
        replica = self._replicas.get(replica_id)
        return None if replica is None else replica.pid

    def is_forked(self, replica_id: int) -> bool:
        """Whether a replica that has not ended was forked from a process that had imported the code."""
        replica = self._replicas.get(replica_id)
        return replica is not None and replica.is_forked

    def memory_bytes(self, replica_id: int) -> int | None:
        """Memory a replica takes, with shared pages divided among those who share them, in bytes; None if unknown.

        May be called from any thread, and better not from the loop's.
        """
        pid = self.pid(replica_id)
        return None if pid is None else memory_bytes(pid)

    def forget(self, manifest: FunctionManifest) -> None:
        """End the fork servers of a revision that has no replicas any more, and remove its private directory."""
        self._fork_servers.forget(manifest)
        self._isolation.forget(manifest)

    async def close(self) -> None:
        """Wait until all processes are gone: those told to `stop` have their grace, the others are killed now."""
        self._closed = True
        for replica in list(self._replicas.values()):
            if not replica.is_told_to_end:
                replica.kill()
        if self._replicas:
            self._all_gone.clear()
            await self._all_gone.wait()
        await self._fork_servers.close()
        self._guard.close()
        await asyncio.to_thread(self._isolation.close)

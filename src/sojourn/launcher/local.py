"""Replicas as processes of this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import msgspec

from sojourn.launcher.process import Process, allowed_environment
from sojourn.launcher.session_guard import SessionGuard
from sojourn.wire.spec import ReplicaSpec

OnOutput = Callable[[str, int, str, str], None]


class LocalLauncher:
    """Starts replicas here; implements `sojourn.runtime.ports.Launcher`. Use it on one event loop.

    Args:
        on_output: Called on the loop with (function, replica id, `"stdout"` or `"stderr"`, line) for
            what replicas print; must not block.
    """

    def __init__(self, on_output: OnOutput) -> None:
        self._on_output = on_output
        self._processes: dict[int, Process] = {}
        self._guard = SessionGuard()
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

        def ended(cause: str) -> None:
            del self._processes[replica_id]
            if not self._processes:
                self._all_gone.set()
            on_exit(replica_id, cause)

        line = msgspec.json.encode(msgspec.structs.replace(spec, launcher_pid=os.getpid())) + b"\n"
        try:
            self._processes[replica_id] = Process(
                ["-m", "sojourn.replica"],
                environment=allowed_environment(os.environ) | spec.environment,
                guard=self._guard,
                standard_input=line,
                on_line=lambda stream, text: self._on_output(function, replica_id, stream, text),
                on_exit=ended,
            )
        except OSError as error:
            loop.call_soon(on_exit, replica_id, f"could not be started: {error.strerror}")

    def stop(self, replica_id: int, grace_s: float) -> None:
        """Ask the process to end; after `grace_s` seconds it is killed. Unknown and ended ones are left alone."""
        process = self._processes.get(replica_id)
        if process is not None:
            process.terminate(grace_s)

    def pid(self, replica_id: int) -> int | None:
        """Process id of a replica that has not ended."""
        process = self._processes.get(replica_id)
        return None if process is None else process.pid

    async def close(self) -> None:
        """Wait until all processes are gone: those told to `stop` have their grace, the others are killed now."""
        self._closed = True
        for process in self._processes.values():
            if not process.is_told_to_end:
                process.kill()
        if self._processes:
            self._all_gone.clear()
            await self._all_gone.wait()
        self._guard.close()

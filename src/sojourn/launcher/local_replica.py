"""One replica on this machine, from the wish for it to its end, whichever way it is started."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

import msgspec

from sojourn.launcher.fork_server import ForkServer
from sojourn.launcher.fork_servers import ForkServers
from sojourn.launcher.forking import Forking
from sojourn.launcher.process import Child, Process, spawn
from sojourn.launcher.session_guard import SessionGuard
from sojourn.wire.spec import ReplicaSpec

_BIRTH_WITHIN_S = 5.0  # of a replica that is not wanted any more: then its fork server hangs, too
_YOUNG_S = 10.0
_CRASHES = frozenset(f"killed by SIG{name}" for name in ("SEGV", "BUS", "ILL", "FPE", "ABRT", "TRAP", "SYS"))
_STOPPED = "stopped before it was started"


class LocalReplica:
    """Forked if its revision has a fork server, else a plain process; `on_exit` comes once in either case.

    Construct, then `start`, on the event loop's thread.

    Args:
        spec: What to be told to the replica.
        environment: All the variables it gets.
        guard: Kills its process group should this process be killed.
        fork_servers: Where to look for a fork server.
        on_line: Called on the loop with (stream, line) for what it prints.
        on_exit: Called once on the loop, never from within a call of ours, with the cause of its end in words.
    """

    def __init__(
        self,
        spec: ReplicaSpec,
        environment: Mapping[str, str],
        guard: SessionGuard,
        fork_servers: ForkServers,
        *,
        on_line: Callable[[str, str], None],
        on_exit: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._spec = spec
        self._environment = environment
        self._guard = guard
        self._fork_servers = fork_servers
        self._on_line = on_line
        self._on_exit = on_exit
        self._told = msgspec.json.encode(msgspec.structs.replace(spec, launcher_pid=os.getpid())) + b"\n"
        self._server: ForkServer | None = None
        self._forking: Forking | None = None
        self._process: Process | None = None
        self._is_unwanted = False
        self._birth_timer: asyncio.TimerHandle | None = None
        self._forked_at_s: float | None = None

    @property
    def pid(self) -> int | None:
        """Its process id; None while it has no process."""
        return None if self._process is None else self._process.pid

    @property
    def is_forked(self) -> bool:
        """Whether its process was forked from one that had imported the code."""
        return self._forked_at_s is not None

    @property
    def is_told_to_end(self) -> bool:
        """Whether it was asked to end and has a time by which it is killed."""
        return self._is_unwanted if self._process is None else self._process.is_told_to_end

    def start(self) -> None:
        """Ask a fork server for it, or start a process."""
        self._server = self._fork_servers.find(self._spec, self._environment)
        if self._server is None:
            self._start_plain()
            return
        self._forking = Forking(self._told, self._born, self._not_forked)
        try:
            self._server.fork(self._forking)
        except OSError as error:
            self._not_forked(f"it cannot be asked: {error.strerror}", False)

    def terminate(self, grace_s: float) -> None:
        """Ask it to end; after `grace_s` seconds it is killed. One that has no process yet gets none."""
        if self._process is not None:
            self._process.terminate(grace_s)
        elif self._forking is not None and not self._is_unwanted:
            self._is_unwanted = True
            assert self._server is not None
            if self._forking.is_under_way:  # killed as soon as it is born
                self._birth_timer = self._loop.call_later(_BIRTH_WITHIN_S, self._server.kill)
            else:
                self._server.forget(self._forking)
                self._forking = None
                self._loop.call_soon(self._ended, _STOPPED)

    def kill(self) -> None:
        """End it now."""
        if self._process is not None:
            self._process.kill()
        else:
            self.terminate(0.0)

    def _start_plain(self) -> None:
        try:
            child = spawn(["-m", "sojourn.replica"], environment=self._environment, standard_input=self._told)
            self._keep(child)
        except OSError as error:
            self._loop.call_soon(self._ended, f"could not be started: {error.strerror}")

    def _keep(self, child: Child) -> None:
        self._process = Process(child, guard=self._guard, on_line=self._on_line, on_exit=self._ended)

    def _born(self, child: Child, go: Callable[[], None]) -> None:
        self._forking = None
        self._forget_birth_timer()
        try:
            self._keep(child)
        except OSError as error:
            self._loop.call_soon(self._ended, f"could not be kept: {error.strerror}")
            return
        if self._is_unwanted:
            self.kill()
            return
        self._forked_at_s = self._loop.time()
        self._fork_servers.born(self._spec)
        go()

    def _not_forked(self, why: str, is_lasting: bool) -> None:  # noqa: FBT001 - the shape of Forking's callback
        self._forking = None
        self._forget_birth_timer()
        if is_lasting:
            self._fork_servers.refuse(self._spec, why)
        elif why and not self._is_unwanted:
            self._fork_servers.failed(self._spec, why)
        if self._is_unwanted:
            self._loop.call_soon(self._ended, _STOPPED)
        else:
            self._start_plain()

    def _forget_birth_timer(self) -> None:
        if self._birth_timer is not None:
            self._birth_timer.cancel()
            self._birth_timer = None

    def _ended(self, cause: str) -> None:
        if self._forked_at_s is not None and self._loop.time() - self._forked_at_s < _YOUNG_S and cause in _CRASHES:
            # Some libraries do not survive a fork although they run no threads.
            self._fork_servers.refuse(self._spec, f"a replica was {cause} soon after it was forked")
        self._fork_servers.leave(self._spec)
        self._on_exit(cause)

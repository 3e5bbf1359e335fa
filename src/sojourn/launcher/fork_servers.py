"""The fork servers of a launcher: one per revision, and the reasons why some revisions have none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from sojourn.domain.function import FunctionManifest
from sojourn.launcher.fork_server import ForkServer
from sojourn.launcher.forking import Forking
from sojourn.launcher.isolation import Isolation
from sojourn.launcher.session_guard import SessionGuard
from sojourn.telemetry.log import EventLog
from sojourn.wire.spec import Confinement, Prepared, ReplicaSpec

IDLE_S = 300.0
FORK_SERVER_ID = 0  # what it prints while it imports comes under this number; replicas count from 1
_DEATHS_MAX = 3
_REFUSALS_MAX = 1024
_REMEDY = 'replicas start as plain processes, each with its own import; share="none" settles for that'

OnOutput = Callable[[str, int, str, str], None]
Revision = tuple[str, str, str, str, tuple[tuple[str, str], ...]]


def revision_of(spec: ReplicaSpec) -> Revision:
    """What replicas of one fork server have in common: the code, and the variables that it saw when it was imported."""
    manifest = spec.manifest
    variables = tuple(sorted(spec.environment.items()))
    return manifest.revision, manifest.root, manifest.target, manifest.attribute, variables


class ForkServers:
    """Starts them when they are first wanted, ends them when they were not for long, and says why if they cannot be.

    A revision that cannot be forked (threads run after its import, say) is remembered, and told once as an
    event. A fork server that dies is started anew with the next replica, but not for ever.

    Args:
        guard: Kills their process groups should this process be killed.
        on_output: Called on the loop with (function, 0, stream, line) for what they print while they import.
        event_log: Told of them; None for nobody.
        isolation: How they are kept apart.
        idle_s: How long one stays when its revision has no replicas, in seconds, > 0. It keeps what was imported
            in memory.
    """

    def __init__(
        self,
        guard: SessionGuard,
        on_output: OnOutput,
        event_log: EventLog | None,
        isolation: Isolation,
        idle_s: float = IDLE_S,
    ) -> None:
        self._guard = guard
        self._on_output = on_output
        self._log = event_log
        self._isolation = isolation
        self._idle_s = idle_s
        self._count = 0
        self._servers: dict[Revision, ForkServer] = {}  # those that take requests
        self._living: set[ForkServer] = set()  # these, and those that are about to end
        self._users: dict[Revision, int] = {}  # replicas that have not ended
        self._idle_timers: dict[Revision, asyncio.TimerHandle] = {}
        self._deaths: dict[Revision, int] = {}  # in a row, without a replica born in between
        self._refusals: dict[Revision, str] = {}
        self._all_gone = asyncio.Event()

    def find(self, spec: ReplicaSpec, environment: Mapping[str, str]) -> ForkServer | None:
        """The fork server for a new replica, started if need be; None: start a plain process.

        Args:
            spec: The replica; `leave` must be called when it has ended.
            environment: All the variables it gets.
        """
        revision = revision_of(spec)
        self._users[revision] = self._users.get(revision, 0) + 1
        if (timer := self._idle_timers.pop(revision, None)) is not None:
            timer.cancel()
        if spec.manifest.settings.share == "none" or revision in self._refusals:
            return None
        server = self._servers.get(revision)
        if server is None or server.is_told_to_end:
            server = self._start(spec, revision, environment)
        return server

    def leave(self, spec: ReplicaSpec) -> None:
        """A replica for which one was looked for has ended."""
        revision = revision_of(spec)
        self._users[revision] -= 1
        if self._users[revision]:
            return
        del self._users[revision]
        if revision in self._servers:
            timer = asyncio.get_running_loop().call_later(self._idle_s, self._retire, revision)
            self._idle_timers[revision] = timer

    def failed(self, spec: ReplicaSpec, why: str) -> None:
        """A replica could not be forked this time: it is started as a plain process."""
        self._warn("fork_server.failed", spec.manifest.name, why)

    def born(self, spec: ReplicaSpec) -> None:
        """A replica was forked: the fork server of its revision is of use."""
        self._deaths.pop(revision_of(spec), None)

    def refuse(self, spec: ReplicaSpec, why: str) -> None:
        """The revision of this replica cannot be forked, and never will be."""
        self._refuse(revision_of(spec), spec.manifest.name, why)

    def forget(self, manifest: FunctionManifest) -> None:
        """A revision is gone for good, as far as anybody knows: end its fork servers now, unless a replica uses them."""
        known = {*self._servers, *self._refusals, *self._deaths}
        for revision in known - set(self._users):
            if revision[:4] == (manifest.revision, manifest.root, manifest.target, manifest.attribute):
                self._refusals.pop(revision, None)
                self._deaths.pop(revision, None)
                if (timer := self._idle_timers.get(revision)) is not None:
                    timer.cancel()
                    self._retire(revision)

    async def close(self) -> None:
        """End them all and wait until they are gone."""
        for timer in self._idle_timers.values():
            timer.cancel()
        for server in self._living:
            server.kill()
        if self._living:
            self._all_gone.clear()
            await self._all_gone.wait()

    def _start(self, spec: ReplicaSpec, revision: Revision, environment: Mapping[str, str]) -> ForkServer | None:
        function = spec.manifest.name

        def prepared(result: Prepared) -> None:
            self._prepared(revision, function, server, result)

        def ended(cause: str) -> None:
            self._isolation.ended(confinement)
            self._ended(revision, function, server, cause)

        self._count += 1
        confinement = Confinement()
        try:
            confinement = self._isolation.confinement(spec.manifest, f"f{self._count}")
            server = ForkServer(
                spec.manifest,
                confinement,
                environment=environment,
                guard=self._guard,
                on_line=lambda stream, text: self._on_output(function, FORK_SERVER_ID, stream, text),
                on_prepared=prepared,
                on_exit=ended,
            )
        except OSError as error:
            self._isolation.ended(confinement)
            self._warn("fork_server.not_started", function, f"could not be started: {error.strerror}")
            return None
        self._servers[revision] = server
        self._living.add(server)
        return server

    def _prepared(self, revision: Revision, function: str, server: ForkServer, prepared: Prepared) -> None:
        if prepared.why_not:
            self._refuse(revision, function, prepared.why_not)
        elif self._log is not None:
            times_s = {name: round(getattr(prepared, name), 3) for name in ("import_s", "load_s", "warmup_s")}
            self._log.info("fork_server.prepared", function=function, pid=server.pid, **times_s)
        for forking in server.take_waiting():
            if prepared.why_not:
                forking.give_up()
            else:
                self._ask(function, server, forking)
        if prepared.failure:
            # The replicas just forked say why. The next one gets another try: what was missing may be there then.
            self._drop(revision, server)
            server.hang_up()

    def _ask(self, function: str, server: ForkServer, forking: Forking) -> None:
        try:
            server.fork(forking)
        except OSError as error:
            self._warn("fork_server.failed", function, f"it cannot be asked: {error.strerror}")
            forking.give_up()

    def _refuse(self, revision: Revision, function: str, why: str) -> None:
        if revision in self._refusals:
            return
        if len(self._refusals) >= _REFUSALS_MAX:  # the oldest gets another try
            del self._refusals[next(iter(self._refusals))]
        self._refusals[revision] = why
        self._warn("fork_server.refused", function, why)
        server = self._servers.pop(revision, None)
        if server is not None:
            server.hang_up()

    def _ended(self, revision: Revision, function: str, server: ForkServer, cause: str) -> None:
        self._living.remove(server)
        self._drop(revision, server)
        if not self._living:
            self._all_gone.set()
        if not server.is_told_to_end:
            self._deaths[revision] = self._deaths.get(revision, 0) + 1
            if self._deaths[revision] >= _DEATHS_MAX:
                del self._deaths[revision]
                self._refuse(revision, function, f"it died {_DEATHS_MAX} times, the last time {cause}")
            else:
                self._warn("fork_server.died", function, cause)
        for forking in server.take_waiting():
            forking.give_up()

    def _drop(self, revision: Revision, server: ForkServer) -> None:
        if self._servers.get(revision) is server:
            del self._servers[revision]

    def _retire(self, revision: Revision) -> None:
        del self._idle_timers[revision]
        server = self._servers.pop(revision, None)
        if server is not None:
            server.hang_up()

    def _warn(self, event: str, function: str, cause: str) -> None:
        if self._log is not None:
            self._log.warning(event, function=function, cause=cause, remedy=_REMEDY)

"""The replicas that are not gone: from the order to start one, over its link, to the end of its process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from sojourn.core.controller import Controller
from sojourn.domain.event import ControllerEvent, ReplicaExited, ReplicaLeased, ReplicaReady, ReplicaRevoked
from sojourn.runtime.output import ReplicaOutput
from sojourn.runtime.ports import Launcher, ReplicaSpec
from sojourn.runtime.replica_link import ReplicaLink, ReplicaListener
from sojourn.runtime.service import FunctionService
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.meter import ColdStart
from sojourn.wire.message import Done, Drain, Fatal, Message, Ready
from sojourn.wire.spec import accelerators_seen

_STOP_GRACE_S: Final = 5.0
_EXIT_GRACE_S: Final = 0.5


class Replica:
    """One replica and whose it is.

    Attributes:
        service: The revision it serves, also when another one has the same key by now.
        token: With which it may dial in, once.
        link: Its connection.
        cause: Why it ends, if it does not end as it was asked to; empty if its process is to say so.
        is_unwanted: Whether it was well and is to end.
        cold_start: How long it took to be ready; None while it is not.
    """

    __slots__ = ("cause", "cold_start", "is_unwanted", "link", "number", "service", "token")

    def __init__(self, number: int, service: FunctionService) -> None:
        self.number = number
        self.service = service
        self.token: str | None = secrets.token_urlsafe(32)
        self.link: ReplicaLink | None = None
        self.cause: str | None = None
        self.is_unwanted = False
        self.cold_start: ColdStart | None = None


class Replicas:
    """Carries out what the controller orders of replicas, and tells it what happens to them.

    Implements `sojourn.runtime.replica_link.LinkOwner`.

    Args:
        launcher: Starts and ends their processes.
        socket_path: Where they dial in.
        events: Told of what happens.
        output: Keeps what they print.
        controller: Knows their ages.
        post: Takes the controller's events.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        launcher: Launcher,
        socket_path: str,
        events: PlatformEvents,
        output: ReplicaOutput,
        controller: Controller,
        post: Callable[[ControllerEvent], None],
        clock: Callable[[], float],
    ) -> None:
        self._launcher = launcher
        self._listener = ReplicaListener(self, socket_path)
        self._events = events
        self._output = output
        self._controller = controller
        self._post = post
        self._clock = clock
        self._by_number: dict[int, Replica] = {}
        self._is_closing = False

    async def open(self) -> None:
        """Listen for replicas."""
        await self._listener.start()

    async def close(self) -> None:
        """End all replicas and stop listening."""
        self._is_closing = True
        for replica in list(self._by_number.values()):
            if replica.link is not None:
                replica.link.send(Drain())
        for number in list(self._by_number):
            self._launcher.stop(number, _STOP_GRACE_S)
        await self._launcher.close()
        await self._listener.close()

    # ---- what is asked

    def serving(self, service: FunctionService) -> list[int]:
        """The replicas of a revision that are not gone, the oldest first."""
        return [number for number, replica in self._by_number.items() if replica.service is service]

    def cold_start(self, number: int) -> ColdStart | None:
        """How long a replica took to be ready; None if it is not."""
        replica = self._by_number.get(number)
        return None if replica is None else replica.cold_start

    # ---- what the controller orders

    def start(self, service: FunctionService, number: int, gpus: tuple[int, ...]) -> None:
        """Start a process."""
        replica = self._by_number[number] = Replica(number, service)
        assert replica.token is not None, "it has not dialled in yet"
        spec = ReplicaSpec(
            replica_id=number,
            socket_path=self._listener.path,
            token=replica.token,
            manifest=service.manifest,
            environment=accelerators_seen(gpus) if self._controller.capacity.gpus else {},
        )
        self._events.info("replica.starting", function=service.name, replica=number, revision=service.revision)
        self._launcher.start(spec, self._exited)

    def lease(self, number: int) -> None:
        """Let its revision's dispatcher use it."""
        replica = self._by_number.get(number)
        if replica is not None and replica.link is not None:  # else it died between the two; its exit is on its way
            service = replica.service
            service.links[number] = replica.link
            service.has_been_ready = True
            service.happened(ReplicaLeased(number, service.manifest.slots))

    def drain(self, number: int) -> None:
        """Have it finish what it has."""
        replica = self._by_number.get(number)
        if replica is None:
            return
        self._events.info("replica.draining", function=replica.service.name, replica=number)
        replica.is_unwanted = True
        replica.service.happened(ReplicaRevoked(number))

    def stop(self, number: int) -> None:
        """End its process."""
        replica = self._by_number.get(number)
        if replica is None:
            return
        service = replica.service
        if self._controller.age_s(number, self._clock()) < service.manifest.settings.start_timeout_s:
            replica.is_unwanted = True
        elif replica.cold_start is None and replica.cause is None:  # it took too long: its exit is to say so
            replica.cause = self._controller.start_failure(service.key)
        self._launcher.stop(number, _STOP_GRACE_S)

    def end(self, service: FunctionService) -> None:
        """End what is left of a revision's replicas, whatever they are doing."""
        for number in self.serving(service):
            self._by_number[number].is_unwanted = True
            self._launcher.stop(number, _STOP_GRACE_S)

    # ---- what dispatchers say

    def suspect(self, number: int, cause: str) -> None:
        """A replica is not well."""
        replica = self._by_number.get(number)
        name = replica.service.name if replica is not None else ""
        self._events.warning("replica.suspected", function=name, replica=number, cause=cause)
        if replica is not None and replica.cause is None:
            replica.cause = cause

    # ---- what replicas say (LinkOwner)

    def token_of(self, replica_id: int) -> str | None:
        """The one-time token of a replica that may dial in now."""
        replica = self._by_number.get(replica_id)
        return None if replica is None else replica.token

    def link_opened(self, link: ReplicaLink) -> None:
        """A replica dialled in; its token is used up."""
        replica = self._by_number[link.replica_id]
        replica.token = None
        replica.link = link

    def link_message(self, link: ReplicaLink, message: Message) -> None:
        """A replica said something."""
        if type(message) is Done:
            self._by_number[link.replica_id].service.batch_done(link, message)
        elif type(message) is Ready:
            self._ready(self._by_number[link.replica_id], link, message)
        elif type(message) is Fatal:
            self._fatal(link.replica_id, message)

    def link_closed(self, link: ReplicaLink, cause: str) -> None:
        """A replica's connection is gone: what it held is lost, and so is the process."""
        replica = self._by_number.get(link.replica_id)
        if replica is None:
            return
        replica.link = None
        if replica.cause is None:
            replica.cause = ""
        replica.service.replica_lost(replica.number)
        if not self._is_closing:
            self._events.log.debug(
                "replica.link_closed", function=replica.service.name, replica=replica.number, cause=cause
            )
            # It is most likely exiting by itself; let it say how before we end it.
            asyncio.get_running_loop().call_later(_EXIT_GRACE_S, self._end_if_alive, replica.number)

    def _end_if_alive(self, number: int) -> None:
        if number in self._by_number and not self._is_closing:
            self._launcher.stop(number, 0.0)

    def _ready(self, replica: Replica, link: ReplicaLink, ready: Ready) -> None:
        total_s = self._controller.age_s(replica.number, self._clock())
        meter = replica.service.meter
        replica.cold_start = cold_start = meter.cold_start(total_s, ready.import_s, ready.load_s, ready.warmup_s)
        self._events.info(
            "replica.ready",
            function=replica.service.name,
            replica=replica.number,
            pid=link.pid,
            cold_start_s=round(total_s, 3),
            spawn_s=round(cold_start.spawn_s, 3),
            import_s=round(ready.import_s, 3),
            load_s=round(ready.load_s, 3),
            warmup_s=round(ready.warmup_s, 3),
        )
        self._post(ReplicaReady(replica.number))

    def _fatal(self, number: int, fatal: Fatal) -> None:
        replica = self._by_number.get(number)
        name = replica.service.name if replica is not None else ""
        if replica is not None:
            replica.cause = fatal.cause
        self._events.error("replica.fatal", function=name, replica=number, cause=fatal.cause)
        for line in fatal.traceback.splitlines():
            self._output.record(name, number, "stderr", line)

    # ---- what the launcher says

    def _exited(self, number: int, cause: str) -> None:
        replica = self._by_number.get(number)
        if replica is None:
            return
        service, link = replica.service, replica.link
        if link is not None:  # the process is gone before its connection told us
            replica.link = None
            service.replica_lost(number)
        service.meter.monitor.book_replicas(self._clock())  # while the controller still knows of it
        del self._by_number[number]
        if link is not None:
            link.drop("its process exited")
        cause = replica.cause or cause
        is_planned = replica.is_unwanted and not replica.cause
        if not is_planned:
            service.last_failed = number
            service.failures += 1
            service.last_cause = cause
        if not self._is_closing:
            tell = self._events.info if is_planned else self._events.warning
            tell("replica.exited", function=service.name, replica=number, cause=cause)
            self._post(ReplicaExited(number, cause))

"""Drives the controller on the loop: shows it events and the time, and has its orders carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sojourn.core.controller import Controller
from sojourn.domain.action import (
    ControllerAction,
    DrainReplica,
    LeaseReplica,
    RecordScaling,
    ResumeStarts,
    StartReplica,
    StopReplica,
    SuspectReplica,
    SuspendStarts,
)
from sojourn.domain.demand import DemandReport
from sojourn.domain.event import (
    ControllerEvent,
    DemandReported,
    LeaseReturned,
    ReplicaSuspected,
    StartsResumed,
    StartsSuspended,
    Tick,
)
from sojourn.runtime.output import ReplicaOutput
from sojourn.runtime.ports import Launcher
from sojourn.runtime.replicas import Replicas
from sojourn.runtime.scaling_record import ScalingRecords
from sojourn.runtime.service import FunctionService
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.journal import Journal

_SOCKET_NAME: Final = "replicas.sock"


class ControllerDriver:
    """The controller's clock, hands and ears; to the services it is the platform (`runtime.ports.ServiceOwner`).

    Args:
        controller: What to drive.
        launcher: Starts and ends replica processes.
        run_dir: Private directory for the replicas' socket.
        running: The revisions that run, by key.
        events: Told of crash loops, and of all that happens to replicas.
        output: Keeps what replicas print.
        journal: Where its steps are recorded.
        clock: Monotonic seconds.

    Attributes:
        controller: What is driven.
        replicas: Those that are not gone.
        scaling: What it decided.
        changed: Set after each step, for whoever waits for something to come about.
    """

    def __init__(
        self,
        controller: Controller,
        launcher: Launcher,
        run_dir: Path,
        running: Mapping[str, FunctionService],
        events: PlatformEvents,
        output: ReplicaOutput,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self.replicas = Replicas(launcher, str(run_dir / _SOCKET_NAME), events, output, controller, self.post, clock)
        self.scaling = ScalingRecords(events)
        self.changed = asyncio.Event()
        self.controller = controller
        self._running = running
        self._events = events
        self._journal = journal
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def post(self, event: ControllerEvent) -> None:
        """Step the controller with an event, now."""
        now_s = self._clock()
        self._disarm()
        actions = self.controller.step(event, now_s)
        self._journal.append(now_s, event, actions)
        for action in actions:
            self._perform(action)
        self.changed.set()
        wake_at_s = self.controller.next_wake_at_s
        if wake_at_s is not None and not self._is_closed:
            self._disarm()  # an action may have led to a further step
            self._timer = asyncio.get_running_loop().call_later(max(wake_at_s - now_s, 0.001), self._wake)

    def close(self) -> None:
        """Step by itself no more."""
        self._is_closed = True
        self._disarm()

    # ---- the services' side (ServiceOwner)

    def lease_returned(self, replica_id: int) -> None:
        """A replica that was taken back is empty."""
        self.post(LeaseReturned(replica_id))

    def objective_infeasible(self, function: str, why: str) -> None:
        """Say once that an objective cannot be met."""
        remedy = "relax the objective, or make one call faster"
        self._events.warning("function.infeasible", function=function, cause=why, remedy=remedy)

    def demand_reported(self, report: DemandReport) -> None:
        """A dispatcher told of its demand."""
        if not self._is_closed:
            self.post(DemandReported(report))

    def cause_of(self, function: str) -> str:
        """Why no replica of a revision can be had."""
        return self.controller.start_failure(function)

    def replica_suspected(self, suspect: SuspectReplica) -> None:
        """A replica is not well: the controller decides."""
        self.replicas.suspect(suspect.replica_id, suspect.cause)
        self.post(ReplicaSuspected(suspect.replica_id, suspect.cause, suspect.is_hung))

    # ---- steps

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        self.post(Tick())

    def _perform(self, action: ControllerAction) -> None:
        match action:
            case StartReplica(function=key, replica_id=number, gpus=gpus):
                self.replicas.start(self._running[key], number, gpus)
            case LeaseReplica(replica_id=number):
                self.replicas.lease(number)
            case DrainReplica(replica_id=number):
                self.replicas.drain(number)
            case StopReplica(replica_id=number):
                self.replicas.stop(number)
            case SuspendStarts(function=key, cause=cause):
                service = self._running[key]
                self._events.error("function.crash_loop", function=service.name, revision=service.revision, cause=cause)
                service.happened(StartsSuspended())
            case ResumeStarts(function=key):
                service = self._running[key]
                self._events.info("function.recovered", function=service.name, revision=service.revision)
                service.happened(StartsResumed())
            case RecordScaling(function=key, decision=decision):
                self.scaling.decided(key, decision)

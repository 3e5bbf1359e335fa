"""What the admin port shows of a running platform."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from sojourn.domain.replica import ReplicaState
from sojourn.telemetry.status import FunctionDetail, FunctionSnapshot, FunctionStatus, function_detail, function_status

if TYPE_CHECKING:
    from sojourn.core.controller import Controller
    from sojourn.runtime.output import ReplicaOutput
    from sojourn.runtime.service import FunctionService

_OUTPUT_LINES_SHOWN = 20


class PlatformOverview:
    """Reads the state of all functions; changes nothing.

    Args:
        services: The live functions by name.
        controller: Knows the replicas.
        output: What replicas printed.
    """

    def __init__(self, services: dict[str, FunctionService], controller: Controller, output: ReplicaOutput) -> None:
        self._services = services
        self._controller = controller
        self._output = output

    def functions(self) -> list[FunctionStatus]:
        """One row per function, in order of their names."""
        return [self._status(self._services[name]) for name in sorted(self._services)]

    def function(self, name: str) -> FunctionDetail | None:
        """All there is to show of one function, or None if there is no such function."""
        service = self._services.get(name)
        if service is None:
            return None
        manifest = service.manifest
        return function_detail(
            self._status(service),
            settings=msgspec.to_builtins(manifest.settings),
            input_schema=manifest.input_schema,
            output_schema=manifest.output_schema,
            output=self._output.tail(name, _OUTPUT_LINES_SHOWN),
            start_failure=self._controller.start_failure(name) or None,
        )

    def snapshots(self) -> list[FunctionSnapshot]:
        """Counters and gauges of every function now."""
        return [self._snapshot(self._services[name]) for name in sorted(self._services)]

    def output(self, name: str, lines: int) -> list[str] | None:
        """The last `lines` lines a function's replicas wrote, oldest first; None for an unknown function."""
        return self._output.tail(name, lines) if name in self._services else None

    def _snapshot(self, service: FunctionService) -> FunctionSnapshot:
        replicas = dict.fromkeys((ReplicaState.STARTING, ReplicaState.READY, ReplicaState.DRAINING), 0)
        for member in self._controller.members(service.name):
            replicas[member.state] += 1
        dispatcher = service.dispatcher
        return FunctionSnapshot(
            meter=service.meter.snapshot(),
            queue_depth=dispatcher.queue_depth + dispatcher.late_depth,
            queue_depth_late=dispatcher.late_depth,
            replicas=replicas,
            replica_seconds=self._controller.replica_seconds(service.name, monotonic()),
        )

    def _status(self, service: FunctionService) -> FunctionStatus:
        slo = service.manifest.settings.slo
        return function_status(
            self._snapshot(service),
            service.meter.recent(monotonic()),
            service.meter.latency_since_start(),
            str(slo) if slo else None,
            service.infeasible,
        )

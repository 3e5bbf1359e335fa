"""What the admin port shows of a running platform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from sojourn.domain.replica import ReplicaState
from sojourn.runtime.slo_view import objective_snapshot
from sojourn.telemetry.exposition import QUANTILE_WINDOW_S
from sojourn.telemetry.meter import ColdStart
from sojourn.telemetry.status import (
    FunctionDetail,
    FunctionSnapshot,
    FunctionStatus,
    ReplicaStatus,
    function_detail,
    function_status,
)

if TYPE_CHECKING:
    from sojourn.core.controller import Controller
    from sojourn.runtime.alert_book import AlertBook
    from sojourn.runtime.output import ReplicaOutput
    from sojourn.runtime.ports import Launcher
    from sojourn.runtime.scaling_record import ScalingRecords
    from sojourn.runtime.service import FunctionService

_OUTPUT_LINES_SHOWN = 20


class PlatformOverview:
    """Reads the state of all functions; changes nothing.

    Args:
        services: The live functions by name.
        controller: Knows the replicas.
        output: What replicas printed.
        scaling: What was decided on each function's replicas.
        cold_starts: How long the living replicas took to be ready, by number.
        launcher: Knows how much memory a replica takes.
        alerts: Knows which alerts fire.
    """

    def __init__(
        self,
        services: dict[str, FunctionService],
        controller: Controller,
        output: ReplicaOutput,
        scaling: ScalingRecords,
        cold_starts: Mapping[int, ColdStart],
        launcher: Launcher,
        alerts: AlertBook,
    ) -> None:
        self._services = services
        self._controller = controller
        self._output = output
        self._scaling = scaling
        self._cold_starts = cold_starts
        self._launcher = launcher
        self._alerts = alerts
        self._directory = str(Path.cwd())

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
            replica_details=self._replica_details(name),
            target=manifest.target,
            working_directory=self._directory,
        )

    def with_memory(self, detail: FunctionDetail) -> FunctionDetail:
        """The same with the memory of each replica; from any thread, and not from the loop's: it may take a while."""
        replicas = [
            msgspec.structs.replace(replica, memory_bytes=self._launcher.memory_bytes(replica.replica_id))
            for replica in detail.replica_details
        ]
        return msgspec.structs.replace(detail, replica_details=replicas)

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
        dispatcher, slo = service.dispatcher, service.manifest.settings.slo
        now_s, monitor = monotonic(), service.meter.monitor
        return FunctionSnapshot(
            meter=service.meter.snapshot(),
            queue_depth=dispatcher.queue_depth + dispatcher.late_depth,
            queue_depth_late=dispatcher.late_depth,
            replicas=replicas,
            replica_seconds=self._controller.replica_seconds(service.name, now_s),
            scaling_decisions=dict(self._scaling[service.name].decisions),
            slo=objective_snapshot(slo, monitor, self._alerts[service.name], now_s) if slo else None,
            latency_cells=[cell.packed for cell in monitor.fine_cells(now_s, QUANTILE_WINDOW_S)],
        )

    def _replica_details(self, name: str) -> list[ReplicaStatus]:
        now_s = monotonic()
        return [
            ReplicaStatus(
                replica_id=member.replica_id,
                state=member.state,
                age_s=now_s - member.started_at_s,
                cold_start=self._cold_starts.get(member.replica_id),
            )
            for member in self._controller.members(name)
        ]

    def _status(self, service: FunctionService) -> FunctionStatus:
        slo = service.manifest.settings.slo
        scaling = self._scaling[service.name]
        return function_status(
            self._snapshot(service),
            service.meter.recent(monotonic()),
            service.meter.latency_since_start(),
            str(slo) if slo else None,
            service.infeasible,
            scaling.limits,
            scaling.last,
            self._alerts.firing(service.name),
        )

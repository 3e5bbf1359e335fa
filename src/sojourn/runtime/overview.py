"""What the admin port shows of a running platform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from sojourn.domain.replica import ReplicaState
from sojourn.runtime.lineage import found
from sojourn.runtime.slo_view import objective_snapshot
from sojourn.telemetry.exposition import QUANTILE_WINDOW_S
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
    from sojourn.runtime.lineage import Lineage
    from sojourn.runtime.output import ReplicaOutput
    from sojourn.runtime.ports import Launcher
    from sojourn.runtime.replicas import Replicas
    from sojourn.runtime.scaling_record import ScalingRecords
    from sojourn.runtime.service import FunctionService

_OUTPUT_LINES_SHOWN = 20


class PlatformOverview:
    """Reads the state of all functions; changes nothing.

    Args:
        lineages: The functions with their revisions, by name.
        controller: Knows the replicas.
        output: What replicas printed.
        scaling: What was decided on each function's replicas.
        replicas: How long the living ones took to be ready.
        launcher: Knows how much memory a replica takes.
        alerts: Knows which alerts fire.
    """

    def __init__(
        self,
        lineages: Mapping[str, Lineage],
        controller: Controller,
        output: ReplicaOutput,
        scaling: ScalingRecords,
        replicas: Replicas,
        launcher: Launcher,
        alerts: AlertBook,
    ) -> None:
        self._lineages = lineages
        self._controller = controller
        self._output = output
        self._scaling = scaling
        self._replicas = replicas
        self._launcher = launcher
        self._alerts = alerts
        self._directory = str(Path.cwd())

    def functions(self) -> list[FunctionStatus]:
        """One row per function, in order of their names."""
        return [self._of_all(service) for service in self._live()]

    def revisions(self, name: str) -> list[FunctionStatus]:
        """One row per revision of a function that runs, the live one first."""
        lineage = self._lineages.get(name)
        return [self._status(service) for service in _of(lineage)] if lineage is not None else []

    def _live(self) -> list[FunctionService]:
        return [live for _, lineage in sorted(self._lineages.items()) if (live := lineage.live) is not None]

    def function(self, name: str) -> FunctionDetail | None:
        """All there is to show of a function (its live revision) or of `name@revision`; None if it does not run."""
        service = found(self._lineages, name)
        if service is None:
            return None
        manifest, is_whole = service.manifest, "@" not in name
        return function_detail(
            self._of_all(service) if is_whole else self._status(service),
            settings=msgspec.to_builtins(manifest.settings),
            input_schema=manifest.input_schema,
            output_schema=manifest.output_schema,
            output=self._output.tail(service.name, _OUTPUT_LINES_SHOWN),
            start_failure=self._controller.start_failure(service.key) or None,
            replica_details=self._replica_details(_of(self._lineages[service.name]) if is_whole else [service]),
            target=manifest.target,
            working_directory=self._directory,
            log_path=self._output.path(name),
        )

    def with_memory(self, detail: FunctionDetail) -> FunctionDetail:
        """The same with the memory of each replica; from any thread, and not from the loop's: it may take a while."""
        replicas = [
            msgspec.structs.replace(replica, memory_bytes=self._launcher.memory_bytes(replica.replica_id))
            for replica in detail.replica_details
        ]
        return msgspec.structs.replace(detail, replica_details=replicas)

    def snapshots(self) -> list[FunctionSnapshot]:
        """Counters and gauges of every revision that runs, now."""
        return [self._snapshot(service) for _, lineage in sorted(self._lineages.items()) for service in _of(lineage)]

    def output(self, name: str, lines: int) -> list[str] | None:
        """The last `lines` lines a function's replicas wrote, oldest first; None for an unknown function."""
        service = found(self._lineages, name)
        return self._output.tail(service.name, lines) if service is not None else None

    def _snapshot(self, service: FunctionService) -> FunctionSnapshot:
        dispatcher, slo = service.dispatcher, service.manifest.settings.slo
        now_s, monitor, lineage = monotonic(), service.meter.monitor, self._lineages[service.name]
        is_live = lineage.live is service
        counted = lineage if is_live else monitor
        return FunctionSnapshot(
            meter=service.meter.snapshot(),
            queue_depth=dispatcher.queue_depth + dispatcher.late_depth,
            queue_depth_late=dispatcher.late_depth,
            replicas=self._replicas_of([service]),
            replica_seconds=self._controller.replica_seconds(service.key, now_s),
            scaling_decisions=dict(self._scaling[service.key].decisions) if is_live else {},
            slo=objective_snapshot(slo, counted, self._alerts[service.name], now_s) if slo else None,
            latency_cells=[cell.packed for cell in monitor.fine_cells(now_s, QUANTILE_WINDOW_S)],
            is_live=is_live,
        )

    def _replicas_of(self, services: Iterable[FunctionService]) -> dict[ReplicaState, int]:
        """How many replicas there are of these revisions, by state."""
        replicas = dict.fromkeys((ReplicaState.STARTING, ReplicaState.READY, ReplicaState.DRAINING), 0)
        for service in services:
            for member in self._controller.members(service.key):
                replicas[member.state] += 1
        return replicas

    def _replica_details(self, services: Iterable[FunctionService]) -> list[ReplicaStatus]:
        now_s = monotonic()
        found = [
            ReplicaStatus(
                replica_id=member.replica_id,
                state=member.state,
                age_s=now_s - member.started_at_s,
                cold_start=self._replicas.cold_start(member.replica_id),
                revision=service.revision,
            )
            for service in services
            for member in self._controller.members(service.key)
        ]
        return sorted(found, key=lambda replica: replica.replica_id)

    def _of_all(self, live: FunctionService) -> FunctionStatus:
        """The row of a function: that of its live revision, with the replicas of those beside it."""
        replicas = self._replicas_of(_of(self._lineages[live.name]))
        return msgspec.structs.replace(self._status(live), replicas=replicas)

    def _status(self, service: FunctionService) -> FunctionStatus:
        slo = service.manifest.settings.slo
        scaling = self._scaling[service.key]
        return function_status(
            self._snapshot(service),
            service.meter.recent(monotonic()),
            service.meter.latency_since_start(),
            str(slo) if slo else None,
            service.infeasible,
            scaling.limits,
            scaling.last,
            self._alerts.firing(service.name) if self._lineages[service.name].live is service else (),
        )


def _of(lineage: Lineage) -> list[FunctionService]:
    """The revisions of a function that run, the live one first."""
    return [*([lineage.live] if lineage.live is not None else []), *lineage.others]

"""A small real overview for tests of the admin port: two functions with real meters; and an admin port over it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from sojourn.control.server import AdminServer
from sojourn.domain.replica import ReplicaState
from sojourn.domain.scaling import ReplicaLimits
from sojourn.errors import UnknownFunctionError
from sojourn.telemetry.edges import common_edges_s
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.log import EventLog
from sojourn.telemetry.meter import FunctionMeter
from sojourn.telemetry.status import FunctionSnapshot, ReplicaStatus, function_detail, function_status


class SmallOverview:
    """Two functions, `digits` with traffic and `sums` without; implements all that the admin port needs."""

    def __init__(self):
        edges_s = common_edges_s([0.1])
        self.meters = {name: FunctionMeter(name, "r1", edges_s) for name in ("digits", "sums")}
        for _ in range(4):
            self.meters["digits"].arrived(100.0)
            self.meters["digits"].served(0.05, 0.01, 100.0)
        self.limits = dict.fromkeys(self.meters, ReplicaLimits())
        self.lines = {"digits": ["loading <model>", "ready"], "sums": []}

    def _snapshot(self, name):
        return FunctionSnapshot(meter=self.meters[name].snapshot(), queue_depth=3, replicas={ReplicaState.READY: 1})

    def _status(self, name):
        meter = self.meters[name]
        return function_status(
            self._snapshot(name),
            meter.recent(101.0),
            meter.latency_since_start(),
            "99% < 100ms",
            limits=self.limits[name],
        )

    def scale(self, function, min_replicas=None, max_replicas=None):
        """Other limits from now on."""
        if function not in self.limits:
            raise UnknownFunctionError(function)
        self.limits[function] = self.limits[function].changed(min_replicas, max_replicas)

    def functions(self):
        """One row per function."""
        return [self._status(name) for name in self.meters]

    def function(self, name):
        """One function in full."""
        if name not in self.meters:
            return None
        return function_detail(
            self._status(name),
            settings={"name": name, "cpus": 1.0},
            input_schema={"type": "array"},
            output_schema={"type": "integer"},
            output=self.lines[name],
            start_failure="no such file: model.bin",
            replica_details=[ReplicaStatus(replica_id=1, state=ReplicaState.READY, age_s=2.0)],
        )

    def with_memory(self, detail):
        """Its one replica takes 64 MiB; never asked on the loop, where it would hold up requests."""
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        replicas = [msgspec.structs.replace(one, memory_bytes=2**26) for one in detail.replica_details]
        return msgspec.structs.replace(detail, replica_details=replicas)

    def snapshots(self):
        """Counters of all."""
        return [self._snapshot(name) for name in self.meters]

    def output(self, name, lines):
        """The last lines."""
        return self.lines[name][-lines:] if name in self.lines else None


def admin_server(overview=None, log=None, events=None, **options):
    """An admin port over `overview` that is not started yet."""
    overview = overview or SmallOverview()
    return AdminServer(overview, overview, overview, overview, events or PlatformEvents(log or EventLog()), **options)

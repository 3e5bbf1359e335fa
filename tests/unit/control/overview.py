"""A small real overview for tests of the admin port: two functions with real meters."""

from __future__ import annotations

from sojourn.domain.replica import ReplicaState
from sojourn.domain.request import Outcome
from sojourn.telemetry.edges import common_edges_s
from sojourn.telemetry.meter import FunctionMeter
from sojourn.telemetry.status import FunctionSnapshot, function_detail, function_status


class SmallOverview:
    """Two functions, `digits` with traffic and `sums` without; implements `Overview`."""

    def __init__(self):
        edges_s = common_edges_s([0.1])
        self.meters = {name: FunctionMeter(name, "r1", edges_s) for name in ("digits", "sums")}
        for _ in range(4):
            self.meters["digits"].arrived(100.0)
            self.meters["digits"].finished(Outcome.SERVED, 0.05, 0.01, True, True, 100.0)
        self.lines = {"digits": ["loading <model>", "ready"], "sums": []}

    def _snapshot(self, name):
        return FunctionSnapshot(meter=self.meters[name].snapshot(), queue_depth=3, replicas={ReplicaState.READY: 1})

    def _status(self, name):
        meter = self.meters[name]
        return function_status(self._snapshot(name), meter.recent(101.0), meter.latency_since_start(), "99% < 100ms")

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
        )

    def snapshots(self):
        """Counters of all."""
        return [self._snapshot(name) for name in self.meters]

    def output(self, name, lines):
        """The last lines."""
        return self.lines[name][-lines:] if name in self.lines else None

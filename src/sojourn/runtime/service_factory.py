"""Makes what serves a revision: its meter, its journal, its service, known by the revision's key from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType

from sojourn.core.admission import QueueBounds
from sojourn.domain.deployment import deployment_key
from sojourn.domain.function import FunctionManifest
from sojourn.estimate.service_time import Resumption
from sojourn.runtime.controller_driver import ControllerDriver
from sojourn.runtime.service import FunctionService
from sojourn.telemetry.edges import common_edges_s
from sojourn.telemetry.journal import Journal
from sojourn.telemetry.meter import FunctionMeter
from sojourn.telemetry.trace_store import TraceStore


class ServiceFactory:
    """Gives each revision a service of its own, with what all of them share.

    Args:
        running: The revisions that run, by key; new ones are added.
        driver: Drives the controller, and has the limits of replicas.
        traces: Where finished requests worth a look are kept.
        bounds: Limits of each revision's queue.
        journal_steps: Steps kept per state machine.
        offset_s: What to add to monotonic seconds to get seconds since the epoch.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        running: dict[str, FunctionService],
        driver: ControllerDriver,
        traces: TraceStore,
        bounds: QueueBounds,
        journal_steps: int,
        offset_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._running = running
        self._driver = driver
        self._traces = traces
        self._bounds = bounds
        self._journal_steps = journal_steps
        self._offset_s = offset_s
        self._clock = clock

    def make(
        self, manifests: list[FunctionManifest], resumed: Mapping[str, Resumption] = MappingProxyType({})
    ) -> list[FunctionService]:
        """The services of these revisions, in the same order.

        Args:
            manifests: The revisions.
            resumed: Service times that are known of them, by function.
        """
        edges_s = self._edges_s(manifests)
        return [self._make(manifest, edges_s, resumed.get(manifest.name)) for manifest in manifests]

    def _make(
        self, manifest: FunctionManifest, edges_s: tuple[float, ...], resumed: Resumption | None
    ) -> FunctionService:
        key, driver = deployment_key(manifest.name, manifest.revision), self._driver
        meter = FunctionMeter(
            manifest.name,
            manifest.revision,
            edges_s,
            has_objective=bool(manifest.settings.slo),
            offset_s=self._offset_s,
            replica_seconds=partial(driver.controller.replica_seconds, key),
        )
        journal = Journal(self._journal_steps)
        service = FunctionService(manifest, meter, self._bounds, journal, driver, self._traces, self._clock, resumed)
        driver.scaling.deployed(manifest.settings, key)
        self._running[key] = service
        return service

    def _edges_s(self, manifests: Iterable[FunctionManifest]) -> tuple[float, ...]:
        """The edges of histograms of latency: all functions have the same, so that they can be summed."""
        known = (service.manifest for service in self._running.values())
        objectives = [each.settings.slo for each in (*manifests, *known)]
        return tuple(common_edges_s([slo.latency_s for slo in objectives if slo]))

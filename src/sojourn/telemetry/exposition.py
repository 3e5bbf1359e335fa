"""Prometheus exposition: turns snapshots into metric families at scrape time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from sojourn.domain.replica import ReplicaState
from sojourn.slo.histogram import LogHistogram
from sojourn.slo.tally import unpacked
from sojourn.telemetry.histogram import HistogramSnapshot
from sojourn.telemetry.meter import Exemplar as MeterExemplar
from sojourn.telemetry.status import FunctionSnapshot

QUANTILE_WINDOW_S = 300.0
QUANTILES = (0.5, 0.9, 0.99, 0.999)
_LABELS = ("function", "revision")
_GAUGED_STATES = (ReplicaState.STARTING, ReplicaState.READY, ReplicaState.DRAINING)


class SnapshotCollector(Collector):
    """Yields the metric families of all functions from what `snapshots` returns.

    Args:
        snapshots: Called once per scrape.
    """

    def __init__(self, snapshots: Callable[[], list[FunctionSnapshot]]) -> None:
        self._snapshots = snapshots

    def describe(self) -> Iterable[Metric]:
        """Nothing: registration must not take a snapshot."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, each with one series per function and label value."""
        snapshots = self._snapshots()
        yield from _counters(snapshots)
        yield from _histograms(snapshots)
        yield from _gauges(snapshots)
        yield from _objectives(snapshots)


class RefusalCollector(Collector):
    """Yields how many requests and connections the gateway refused by itself, by the stable code of the error.

    Args:
        counts: Taken on the loop.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        """Nothing, as above."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One family."""
        family = CounterMetricFamily(
            "sojourn_gateway_refusals_total",
            "Requests and connections refused before they reached a function, by code.",
            labels=["code"],
        )
        for code, count in sorted(self._counts.items()):
            family.add_metric([code], count)
        yield family


def render(snapshots: list[FunctionSnapshot], accept: str, *, also: Iterable[Collector] = ()) -> tuple[bytes, str]:
    """The page a scraper gets: body and content type, text or OpenMetrics by its Accept header.

    Args:
        snapshots: All functions, taken on the loop; rendering may happen in a thread.
        accept: The Accept header; anything unknown gets the text format.
        also: Further collectors, such as the process's own.
    """
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(lambda: snapshots))
    for collector in also:
        registry.register(collector)
    return encode(registry), content_type


def _labels(snapshot: FunctionSnapshot) -> list[str]:
    return [snapshot.meter.function, snapshot.meter.revision]


def _counters(snapshots: list[FunctionSnapshot]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "sojourn_requests_total", "Requests that ended, by outcome.", labels=[*_LABELS, "outcome"]
    )
    good = CounterMetricFamily(
        "sojourn_slo_good_total", "Requests that met the objective of their function.", labels=_LABELS
    )
    events = CounterMetricFamily(
        "sojourn_slo_events_total", "Requests that count against the objective of their function.", labels=_LABELS
    )
    replica_seconds = CounterMetricFamily(
        "sojourn_replica_seconds_total", "Replica time used, from start decision to exit.", labels=_LABELS
    )
    cold_starts = CounterMetricFamily(
        "sojourn_cold_starts_total", "Replicas that were started and became ready.", labels=_LABELS
    )
    scaling = CounterMetricFamily(
        "sojourn_scaling_decisions_total",
        "Changes of the wanted number of replicas, by what asked for them.",
        labels=["function", "cause"],
    )
    bad = CounterMetricFamily(
        "sojourn_slo_bad_total",
        "Requests that missed the objective of their function, by cause.",
        labels=[*_LABELS, "cause"],
    )
    for snapshot in snapshots:
        labels, meter = _labels(snapshot), snapshot.meter
        if snapshot.slo is not None:
            for cause, count in meter.bad_by_cause.items():
                bad.add_metric([*labels, cause], count)
        for outcome, count in meter.requests.items():
            requests.add_metric([*labels, outcome], count)
        good.add_metric(labels, meter.slo_good)
        events.add_metric(labels, meter.slo_events)
        replica_seconds.add_metric(labels, snapshot.replica_seconds)
        cold_starts.add_metric(labels, meter.cold_starts)
        for cause, count in snapshot.scaling_decisions.items():
            scaling.add_metric([meter.function, cause], count)
    yield from (requests, good, events, bad, replica_seconds, cold_starts, scaling)


def _histograms(snapshots: list[FunctionSnapshot]) -> Iterator[Metric]:
    duration = HistogramMetricFamily(
        "sojourn_request_duration_seconds", "Latency of served requests, arrival to answer.", labels=_LABELS
    )
    queue_wait = HistogramMetricFamily(
        "sojourn_queue_wait_seconds", "Wait of served requests, from arrival to dispatch to a replica.", labels=_LABELS
    )
    service_time = HistogramMetricFamily(
        "sojourn_service_time_seconds",
        "Time of the model call alone, per batch; decoding, encoding and transport are left out.",
        labels=_LABELS,
    )
    batch_size = HistogramMetricFamily("sojourn_batch_size", "Items per model call.", labels=_LABELS)
    cold_start = HistogramMetricFamily(
        "sojourn_cold_start_seconds",
        "Time to start a replica, by phase; total counts from the decision to ready, spawn is what the others leave.",
        labels=[*_LABELS, "phase"],
    )
    for snapshot in snapshots:
        labels, meter = _labels(snapshot), snapshot.meter
        _add(duration, labels, meter.duration_s, meter.exemplars)
        _add(queue_wait, labels, meter.queue_wait_s)
        _add(service_time, labels, meter.service_time_s)
        _add(batch_size, labels, meter.batch_size)
        for phase, histogram in meter.cold_start_s.items():
            _add(cold_start, [*labels, phase], histogram)
    yield _quantiles(snapshots)
    yield from (duration, queue_wait, service_time, batch_size, cold_start)


def _quantiles(snapshots: list[FunctionSnapshot]) -> Metric:
    quantiles = GaugeMetricFamily(
        "sojourn_request_duration_quantile_seconds",
        "Latency of requests served in the last five minutes, at most 1.083 % off; buckets are coarser.",
        labels=[*_LABELS, "p"],
    )
    for snapshot in snapshots:
        latency = LogHistogram()
        for packed in snapshot.latency_cells:
            latency.merge(unpacked(packed).latency)
        for p in QUANTILES:
            value_s = latency.quantile(p)
            if value_s is not None:
                quantiles.add_metric([*_labels(snapshot), str(p)], value_s)
    return quantiles


def _add(
    family: HistogramMetricFamily,
    labels: list[str],
    histogram: HistogramSnapshot,
    exemplars: Mapping[int, MeterExemplar] | None = None,
) -> None:
    """One series; `exemplars` by number of the bucket are shown where the format has a place for them."""
    edges = [*(repr(float(edge)) for edge in histogram.edges), "+Inf"]
    buckets: list[Any] = []
    for bucket, (edge, count) in enumerate(zip(edges, accumulate(histogram.counts), strict=True)):
        found = exemplars.get(bucket) if exemplars else None
        if found is None:
            buckets.append((edge, count))
        else:
            buckets.append((edge, count, Exemplar({"trace_id": found.trace_id}, found.latency_s, found.at_s)))
    family.add_metric(labels, buckets, histogram.sum)


def _objectives(snapshots: list[FunctionSnapshot]) -> Iterator[Metric]:
    objective = GaugeMetricFamily("sojourn_slo_objective_ratio", "Share of requests promised.", labels=_LABELS)
    latency = GaugeMetricFamily("sojourn_slo_latency_seconds", "Latency promised.", labels=_LABELS)
    remaining = GaugeMetricFamily(
        "sojourn_error_budget_remaining_ratio",
        "Share of the error budget left over the window of the objective; below 0 it is missed.",
        labels=_LABELS,
    )
    burning = GaugeMetricFamily(
        "sojourn_burn_rate",
        "How many times faster than allowed the error budget burnt over a window.",
        labels=[*_LABELS, "window"],
    )
    firing = GaugeMetricFamily(
        "sojourn_slo_alert_firing", "1 while an alert fires.", labels=[*_LABELS, "rule", "severity"]
    )
    for snapshot in snapshots:
        labels, slo = _labels(snapshot), snapshot.slo
        if slo is None or not snapshot.is_live:
            continue
        objective.add_metric(labels, slo.objective)
        latency.add_metric(labels, slo.latency_s)
        remaining.add_metric(labels, slo.budget_remaining)
        for window, burn in slo.burn_rates.items():
            burning.add_metric([*labels, window], burn)
        for (rule, severity), is_firing in slo.alerts.items():
            firing.add_metric([*labels, rule, severity], int(is_firing))
    yield from (objective, latency, remaining, burning, firing)


def _gauges(snapshots: list[FunctionSnapshot]) -> Iterator[Metric]:
    depth = GaugeMetricFamily("sojourn_queue_depth", "Requests admitted and not dispatched.", labels=_LABELS)
    late = GaugeMetricFamily(
        "sojourn_queue_depth_late", "Queued requests that can no longer meet the objective.", labels=_LABELS
    )
    replicas = GaugeMetricFamily("sojourn_replicas", "Replicas, by state.", labels=[*_LABELS, "state"])
    for snapshot in snapshots:
        labels = _labels(snapshot)
        depth.add_metric(labels, snapshot.queue_depth)
        late.add_metric(labels, snapshot.queue_depth_late)
        for state in _GAUGED_STATES:
            replicas.add_metric([*labels, state.value], snapshot.replicas.get(state, 0))
    yield from (depth, late, replicas)

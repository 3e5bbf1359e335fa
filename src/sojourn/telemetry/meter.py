"""The meters of one function: what the hot path counts, in plain lists and integers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import msgspec

from sojourn.domain.request import Outcome
from sojourn.domain.rollout import ArmCounts
from sojourn.domain.trace_context import TraceContext, own_ids
from sojourn.slo.canary import counts_of_arm
from sojourn.slo.cause import CAUSES, PLACE_OF_CAUSE, Cause
from sojourn.slo.histogram import LogHistogram
from sojourn.slo.monitor import Monitor
from sojourn.slo.tally import Counts, Tally
from sojourn.telemetry.edges import BATCH_SIZE_EDGES, COLD_START_EDGES_S
from sojourn.telemetry.histogram import EdgeHistogram, HistogramSnapshot

_SERVED = Outcome.SERVED
_CANCELLED = Outcome.CANCELLED
_EXPIRED = Outcome.EXPIRED
COLD_START_PHASES = ("spawn", "import", "load", "warmup", "total")


class Quantiles(msgspec.Struct, frozen=True):
    """Latency of served requests in seconds; None while there were none."""

    p50: float | None = None
    p99: float | None = None


class Recent(msgspec.Struct, frozen=True, kw_only=True):
    """The last minute of a function.

    `within_slo` is good over counted requests, None if there were none; the rate counts every arrival;
    `batch_size_mean` is items over model calls, None if there was no call.
    """

    arrival_rate_per_s: float
    within_slo: float | None
    latency_s: Quantiles
    batch_size_mean: float | None = None


class ColdStart(msgspec.Struct, frozen=True, kw_only=True):
    """How long a replica took from the decision to start it until it was ready, in seconds, and in which phases.

    Args:
        spawn_s: To start or fork the process and to dial in: what the other phases leave of the total.
        import_s: To import the code; 0 if a fork server had done so before.
        load_s: To load the model; 0 if a fork server had done so before.
        warmup_s: To warm it up; as above.
        total_s: All of it.
    """

    spawn_s: float
    import_s: float
    load_s: float
    warmup_s: float
    total_s: float


class Exemplar(msgspec.Struct, frozen=True):
    """A served request that stands for a bucket of the latency histogram: its latency, trace, and when it ended.

    `at_s` is in seconds since the epoch.
    """

    latency_s: float
    trace_id: str
    at_s: float


class MeterSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All counters of one function at one instant; they only ever grow.

    `exemplars` hold one request for each bucket of `duration_s` in which one was kept for a look.
    """

    function: str
    revision: str
    arrivals: int
    requests: dict[str, int]
    slo_good: int
    slo_events: int
    bad_by_cause: dict[str, int]
    duration_s: HistogramSnapshot
    exemplars: dict[int, Exemplar]
    queue_wait_s: HistogramSnapshot
    service_time_s: HistogramSnapshot
    batch_size: HistogramSnapshot
    cold_starts: int
    cold_start_s: dict[str, HistogramSnapshot]


class FunctionMeter:
    """Counts the requests, batches and cold starts of one function; one request costs under 1 us.

    Per request call `arrived` when it passed routing and `served` (or `served_in_time` for many) or `ended` when it ended; per batch `batch_done`;
    per replica that became ready `cold_start`. Read with `snapshot` (counters since start), `recent`,
    `latency_since_start` and `monitor` (any window). Nothing here reads a clock.

    Args:
        function: The function's name.
        revision: Its revision.
        edges_s: Upper bucket edges of the latency histograms, in seconds, ascending (`common_edges_s`).
        has_objective: Whether requests are counted against an objective.
        offset_s: What to add to monotonic seconds to get seconds since the epoch.
        replica_seconds: Replica time used until an instant (`Monitor`); None counts none.
    """

    __slots__ = (
        "_bad_by_cause",
        "_batch_sizes",
        "_cold_starts",
        "_duration_counts",
        "_duration_sum_s",
        "_edges_s",
        "_exemplars",
        "_failed_by_cause",
        "_offset_s",
        "_queue_wait_counts",
        "_queue_wait_sum_s",
        "_rejected",
        "_requests",
        "_service_times",
        "arrivals",
        "function",
        "has_objective",
        "monitor",
        "revision",
        "slo_events",
        "slo_good",
    )

    def __init__(
        self,
        function: str,
        revision: str,
        edges_s: Sequence[float],
        *,
        has_objective: bool = True,
        offset_s: float = 0.0,
        replica_seconds: Callable[[float], float] | None = None,
    ) -> None:
        self.function = function
        self.revision = revision
        self.arrivals = 0
        self.has_objective = has_objective
        self.monitor = Monitor(revision, offset_s, replica_seconds)
        self.slo_good = 0
        self.slo_events = 0
        self._bad_by_cause = [0] * len(CAUSES)
        self._failed_by_cause = [0] * len(CAUSES)  # not served; counted without an objective as well
        self._rejected = 0  # failed by their client's making, as it was judged here
        self._offset_s = offset_s
        self._exemplars: dict[int, tuple[float, str, TraceContext | None, float]] = {}  # by bucket of latency
        self._edges_s = tuple(edges_s)
        self._requests = dict.fromkeys(Outcome, 0)
        # The two histograms of every request are kept flat: a call each would double their cost.
        self._duration_counts = [0] * (len(self._edges_s) + 1)
        self._duration_sum_s = 0.0
        self._queue_wait_counts = [0] * (len(self._edges_s) + 1)
        self._queue_wait_sum_s = 0.0
        self._service_times = EdgeHistogram(self._edges_s)
        self._batch_sizes = EdgeHistogram(BATCH_SIZE_EDGES)
        self._cold_starts = {phase: EdgeHistogram(COLD_START_EDGES_S) for phase in COLD_START_PHASES}

    def arrived(self, now_s: float) -> None:
        """A request passed routing at `now_s` (monotonic seconds)."""
        self.arrivals += 1
        cell = self.monitor.cell
        if now_s >= cell.ends_at_s:
            cell = self.monitor.current(now_s)
        cell.arrivals += 1

    def served(self, latency_s: float, queue_wait_s: float, now_s: float, cause: Cause | None = None) -> None:
        """A request was served.

        Args:
            latency_s: Arrival to answer, in seconds.
            queue_wait_s: Arrival to dispatch, in seconds.
            now_s: Instant it ended, in monotonic seconds.
            cause: What made it late; None if it met the objective, or if there is none.
        """
        self._requests[_SERVED] += 1
        edges_s = self._edges_s
        self._duration_counts[bisect_left(edges_s, latency_s)] += 1
        self._duration_sum_s += latency_s
        self._queue_wait_counts[bisect_left(edges_s, queue_wait_s)] += 1
        self._queue_wait_sum_s += queue_wait_s
        cell = self.monitor.current(now_s)
        cell.latency.observe(latency_s)
        if self.has_objective:
            self.slo_events += 1
            cell.total += 1
            if cause is None:
                self.slo_good += 1
                cell.good += 1
            else:
                self._blame(cause, cell)

    def served_in_time(self, latencies_s: Sequence[float], queue_waits_s: Sequence[float], now_s: float) -> None:
        """Many requests were served, each within the objective if there is one; cheaper than one by one.

        Args:
            latencies_s: Arrival to answer of each, in seconds.
            queue_waits_s: Arrival to dispatch of each, in seconds.
            now_s: Instant the last of them ended, in monotonic seconds.
        """
        requests = len(latencies_s)
        _count_all(self._duration_counts, self._edges_s, latencies_s)
        _count_all(self._queue_wait_counts, self._edges_s, queue_waits_s)
        self._duration_sum_s += sum(latencies_s)
        self._queue_wait_sum_s += sum(queue_waits_s)
        self._requests[_SERVED] += requests
        cell = self.monitor.current(now_s)
        cell.latency.observe_all(latencies_s)
        if self.has_objective:
            self.slo_events += requests
            self.slo_good += requests
            cell.total += requests
            cell.good += requests

    def exemplify(self, latency_s: float, request_id: str, trace: TraceContext | None, now_s: float) -> None:
        """A served request is kept for a look: it stands for its bucket of the latency histogram from now on."""
        bucket = bisect_left(self._edges_s, latency_s)
        self._exemplars[bucket] = (latency_s, request_id, trace, now_s + self._offset_s)

    def ended(self, outcome: Outcome, now_s: float, cause: Cause | None) -> None:
        """A request ended without being served.

        Args:
            outcome: Its one outcome.
            now_s: Instant it ended, in monotonic seconds.
            cause: What it owes that to; None if it does not count against an objective.
        """
        self._requests[outcome] += 1
        cell = self.monitor.current(now_s)
        if cause is None:
            if outcome is _CANCELLED:
                cell.cancelled += 1
            elif outcome is _EXPIRED:
                cell.client_timeouts += 1
            else:
                self._rejected += 1
                cell.client_faults += 1
            return
        self._failed_by_cause[PLACE_OF_CAUSE[cause]] += 1
        if self.has_objective:
            self.slo_events += 1
            cell.total += 1
            self._blame(cause, cell)

    def _blame(self, cause: Cause, cell: Tally) -> None:
        place = PLACE_OF_CAUSE[cause]
        self._bad_by_cause[place] += 1
        cell.causes[place] += 1

    def batch_done(self, size: int, service_s: float, now_s: float) -> None:
        """A model call of `size` items ended after `service_s` seconds, at `now_s` (monotonic seconds)."""
        self._batch_sizes.observe(size)
        self._service_times.observe(service_s)
        cell = self.monitor.current(now_s)
        cell.batches += 1
        cell.batched_items += size

    def cold_start(
        self, total_s: float, import_s: float = 0.0, load_s: float = 0.0, warmup_s: float = 0.0
    ) -> ColdStart:
        """A replica became ready `total_s` seconds after the decision to start it; the rest are phases of it.

        Returns:
            All phases; what the given ones leave of the total is `spawn_s`.
        """
        spawn_s = max(0.0, total_s - import_s - load_s - warmup_s)
        for phase, value_s in zip(COLD_START_PHASES, (spawn_s, import_s, load_s, warmup_s, total_s), strict=True):
            self._cold_starts[phase].observe(value_s)
        return ColdStart(spawn_s=spawn_s, import_s=import_s, load_s=load_s, warmup_s=warmup_s, total_s=total_s)

    def snapshot(self) -> MeterSnapshot:
        """All counters as plain data that later traffic does not change."""
        cold_start_s = {phase: histogram.snapshot() for phase, histogram in self._cold_starts.items()}
        return MeterSnapshot(
            function=self.function,
            revision=self.revision,
            arrivals=self.arrivals,
            requests={outcome.value: count for outcome, count in self._requests.items()},
            slo_good=self.slo_good,
            slo_events=self.slo_events,
            bad_by_cause={cause.value: count for cause, count in zip(CAUSES, self._bad_by_cause, strict=True)},
            duration_s=self._latency_snapshot(self._duration_counts, self._duration_sum_s),
            exemplars={
                bucket: Exemplar(latency_s, trace.trace_id if trace else own_ids(request_id)[0], at_s)
                for bucket, (latency_s, request_id, trace, at_s) in self._exemplars.items()
            },
            queue_wait_s=self._latency_snapshot(self._queue_wait_counts, self._queue_wait_sum_s),
            service_time_s=self._service_times.snapshot(),
            batch_size=self._batch_sizes.snapshot(),
            cold_starts=cold_start_s["total"].count,
            cold_start_s=cold_start_s,
        )

    def _latency_snapshot(self, counts: list[int], sum_s: float) -> HistogramSnapshot:
        return HistogramSnapshot(edges=self._edges_s, counts=tuple(counts), sum=sum_s)

    def recent(self, now_s: float) -> Recent:
        """The last minute before `now_s` (monotonic seconds)."""
        cells = self.monitor.recent(now_s)
        latency = LogHistogram()
        for cell in cells:
            latency.merge(cell.latency)
        events = sum(cell.total for cell in cells)
        batches = sum(cell.batches for cell in cells)
        return Recent(
            arrival_rate_per_s=sum(cell.arrivals for cell in cells) / self.monitor.recent_s(now_s),
            within_slo=sum(cell.good for cell in cells) / events if events else None,
            latency_s=_quantiles(latency),
            batch_size_mean=sum(cell.batched_items for cell in cells) / batches if batches else None,
        )

    def arm_counts(self) -> ArmCounts:
        """What it counted since it was made, as a verdict needs it; without an objective all that was served is good."""
        good = self.slo_good if self.has_objective else self._requests[_SERVED]
        by_cause = self._bad_by_cause if self.has_objective else self._failed_by_cause
        return counts_of_arm(
            Counts(total=good + sum(by_cause), good=good, client_faults=self._rejected, bad_by_cause=tuple(by_cause))
        )

    def latency_since_start(self) -> Quantiles:
        """Latency of all served requests since the first."""
        everything = LogHistogram()
        everything.merge(self.monitor.latency)
        everything.merge(self.monitor.cell.latency)
        return _quantiles(everything)


def _count_all(counts: list[int], edges: Sequence[float], values: Sequence[float]) -> None:
    """Count each value in the bucket whose upper edge is the first not below it; `values` are not empty.

    The requests of a batch came one after the other and end together: their times lie in order, and in a few buckets.
    """
    values = sorted(values)
    first, last = bisect_left(edges, values[0]), bisect_left(edges, values[-1])
    counted = 0
    for bucket in range(first, last):
        until = bisect_right(values, edges[bucket], counted)
        counts[bucket] += until - counted
        counted = until
    counts[last] += len(values) - counted


def _quantiles(latency: LogHistogram) -> Quantiles:
    return Quantiles(p50=latency.quantile(0.5), p99=latency.quantile(0.99))

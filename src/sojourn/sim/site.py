"""One function in a simulation: its dispatcher, how its replicas behave, and what came of it."""

from __future__ import annotations

from math import inf
from random import Random

from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import Finish
from sojourn.domain.request import Fault, Outcome
from sojourn.sim.replica import ModelledService
from sojourn.sim.result import SimulationResult
from sojourn.sim.timeline import Timeline
from sojourn.sim.watch import Watch
from sojourn.telemetry.journal import Journal

_ROUNDING_S = 1e-9


class Site:
    """Books of one function, and the times of its modelled replicas.

    Args:
        dispatcher: The production dispatcher.
        service: How its replicas behave.
        rng: Chance for their times.
        watch: Watches the objective as a server does; None counts only the result.
        timeline: Where the run is also summed up by stretches of time.
    """

    __slots__ = (
        "_latency_s",
        "_paces",
        "_rng",
        "_run",
        "armed_at_s",
        "bad",
        "dispatcher",
        "is_plain",
        "journal",
        "living",
        "name",
        "result",
        "runs",
        "service",
        "timeline",
        "transient_s",
        "watch",
        "weights",
    )  # fmt: skip

    def __init__(
        self,
        dispatcher: Dispatcher,
        service: ModelledService,
        rng: Random,
        watch: Watch | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        settings = dispatcher.settings
        self.name = settings.name
        self.dispatcher = dispatcher
        self.service = service
        self.watch = watch
        self.journal: Journal | None = None  # where the dispatcher's steps are kept, if they are
        self.runs: dict[int, tuple[float, float]] = {}  # of watched functions, by batch: expected and actual time
        self._run: tuple[float, float | None] = (0.0, None)  # of the batch that is being answered
        self.timeline = timeline
        self.result = SimulationResult(timeline=timeline)
        self.armed_at_s = inf  # for when a wake-up of the dispatcher stands in the heap
        self.living = 0
        self.transient_s = 0.0
        self.is_plain = False  # an arrival is only to be counted
        self.weights: dict[int, float] = {}  # of requests that are not of weight 1
        self.bad: set[int] = set()  # requests for which the function raises
        self._rng = rng
        self._latency_s = settings.slo.latency_s if settings.slo else inf
        self._paces: dict[int, float] = {}  # of replicas that are not of ordinary pace

    @property
    def wake_at_s(self) -> float:
        """When the dispatcher wants to be stepped or to report."""
        wake_at_s, report_at_s = self.dispatcher.next_wake_at_s, self.dispatcher.reporter.due_at_s
        return report_at_s if wake_at_s is None or report_at_s < wake_at_s else wake_at_s

    # ---- replicas

    def replica_started(self, replica_id: int, now_s: float) -> None:
        """The controller started one more."""
        self.result.starts.append((now_s, replica_id))
        pace = self.service.pace_of_new(self._rng)
        if pace != 1.0:
            self._paces[replica_id] = pace
        if self.timeline is not None:
            self.timeline.at(now_s).starts += 1
        self._note_living(1, now_s)

    def replica_gone(self, replica_id: int, now_s: float) -> None:
        """A replica's process has ended."""
        self._paces.pop(replica_id, None)
        self._note_living(-1, now_s)

    def _note_living(self, change: int, now_s: float) -> None:
        self.living = living = self.living + change
        result = self.result
        result.replicas_max = max(result.replicas_max, living)
        if result.replicas and result.replicas[-1][0] == now_s:
            result.replicas[-1] = (now_s, living)
        else:
            result.replicas.append((now_s, living))

    def lifetime_s(self) -> float:
        """How long a replica that is ready now will live if nobody stops it."""
        mean_s = self.service.lifetime_s
        return inf if mean_s == inf else self._rng.expovariate(1 / mean_s)

    # ---- batches

    def batch_s(self, replica_id: int, request_ids: list[int], now_s: float) -> tuple[float, float]:
        """Time until the answer of a batch comes, and how much of it the replica was at work."""
        service, rng = self.service, self._rng
        size: float = len(request_ids)
        if self.weights:
            size = sum(self.weights.get(request_id, 1.0) for request_id in request_ids)
        work_s = service.duration_s(size, rng)
        if self._paces:
            work_s *= self._paces.get(replica_id, 1.0)
        if service.drift:
            work_s *= service.drift_at(now_s)
        answered_s = work_s
        if service.jitter_s:
            answered_s += rng.expovariate(1 / service.jitter_s)
        self.result.busy_s += work_s  # over all the time that replica time counts, the transient included
        if now_s >= self.transient_s:
            self.result.batch_sizes.append(len(request_ids))
        if self.timeline is not None:
            cell = self.timeline.at(now_s)
            cell.batches += 1
            cell.items += len(request_ids)
            cell.busy_s += work_s
        return answered_s, work_s

    def faults_of(self, request_ids: list[int]) -> tuple[tuple[int, Fault], ...]:
        """What a replica says of the items of a batch: one bad item makes the whole call raise."""
        if self.bad.isdisjoint(request_ids):
            return ()
        return tuple((position, Fault.FUNCTION_RAISED) for position in range(len(request_ids)))

    # ---- requests

    def begin(self, transient_s: float) -> None:
        """The run begins; requests that arrive before `transient_s` do not count."""
        self.transient_s = transient_s
        self.is_plain = not transient_s and self.timeline is None and not self.service.item_failure

    def arrived(self, request_id: int, now_s: float) -> None:
        """A request came."""
        if self.service.item_failure and self._rng.random() < self.service.item_failure:
            self.bad.add(request_id)
        if now_s >= self.transient_s - _ROUNDING_S:
            self.result.sent += 1
        if self.timeline is not None:
            self.timeline.at(now_s).arrivals += 1

    def ended(self, action: Finish, now_s: float) -> None:
        """A request ended."""
        if self.is_plain and action.outcome is Outcome.SERVED:  # as `SimulationResult.count`, which is most of them
            result, latency_s = self.result, action.latency_s
            result.outcomes[Outcome.SERVED] += 1
            result.latencies_s.append(latency_s)
            if latency_s <= self._latency_s:
                result.within_slo += 1
            else:
                result.misses.append(now_s)
        elif now_s - action.latency_s >= self.transient_s - _ROUNDING_S:
            self.result.count(action, self._latency_s, now_s)
        if self.weights:
            self.weights.pop(action.request_id, None)
        if self.timeline is not None:
            self._chart(self.timeline, action, max(now_s - action.latency_s, 0.0))
        if self.watch is not None and now_s - action.latency_s >= self.transient_s - _ROUNDING_S:
            self.watch.ended(action, *self._run, now_s)

    def _chart(self, timeline: Timeline, action: Finish, arrived_at_s: float) -> None:
        cell = timeline.at(arrived_at_s)
        if action.outcome is not Outcome.SERVED:
            cell.lost += 1
            return
        cell.latency.observe(action.latency_s)
        if action.latency_s <= self._latency_s:
            cell.good += 1
        else:
            cell.late += 1

    def batch_sent(self, batch_id: int, size: int, work_s: float) -> None:
        """Note what a batch of a watched function was expected to take, and takes."""
        model = self.dispatcher.model
        self.runs[batch_id] = (model.mean_by_size_s[size] if model.is_known else 0.0, work_s)

    def batch_answered(self, batch_id: int) -> None:
        """Who ends now was in this batch."""
        self._run = self.runs.pop(batch_id, (0.0, None))

    def batch_done(self) -> None:
        """Who ends from now on was in none that was answered."""
        self._run = (0.0, None)

    def look(self, now_s: float) -> None:
        """Note what waits and what is there; called whenever the dispatcher reports."""
        if self.watch is not None:
            self.watch.look(now_s, self.dispatcher.overdue(now_s))
        if self.timeline is None:
            return
        cell, dispatcher = self.timeline.at(now_s), self.dispatcher
        cell.queued_max = max(cell.queued_max, dispatcher.queue_depth + dispatcher.late_depth)
        cell.looks += 1
        cell.ready_sum += dispatcher.replicas_ready
        cell.living_sum += self.living

"""The default: batch as the objective allows, give up heads only as far as capacity demands just now."""

from __future__ import annotations

from bisect import bisect_left
from math import ceil, inf

import msgspec

from sojourn.estimate.capacity import capacity_per_s, largest_batch_within, largest_useful_batch, needed_batch
from sojourn.policy.batching.late_lane import filler, idle_batch
from sojourn.policy.batching.newest import NewestFirst
from sojourn.policy.batching.port import BatchingView, QueueEntry, Send, Wait

_GUARD_S = 0.0015  # p99 lateness of a timer on a busy event loop
_LINGER_SHARE_MAX = 0.5  # of the objective's latency
_FIXED_SHARE = 0.2  # of a batch's time that does not grow with it; above, one more than planned is still a gain
_SPREAD = 0.4  # p95 over mean, less 1, of service times with which replicas drift out of step whatever we do
_PATIENCE_MAX = 2.5  # times the batch size at which waiting just pays, when service times are regular
_LOOK_BACK = 2.0  # objectives' latencies: what arrived before is over, what will be decided lies as far ahead
_LOOK_BACK_MIN_S, _LOOK_BACK_MAX_S = 0.1, 1.0
_ONE_CLASS_S = 1.0  # since two classes were queued: sooner admission and policy would change their minds all the time


class _Hold(msgspec.Struct, frozen=True, gc=False):
    """A decision to wait, kept: most of what happens meanwhile changes nothing, and is told so cheaply.

    Args:
        head: For whose sake the wait ends in time.
        enough: Requests queued that end it, >= 1.
        replicas: As it was decided for.
        version: Of the service-time model, as it was decided for.
        times_s: Service times by batch size that the head is judged by [s].
    """

    head: QueueEntry
    enough: int
    replicas: int
    version: int
    times_s: list[float]

    def holds(self, view: BatchingView) -> bool:
        """Whether nothing that it was decided for has changed."""
        return (
            not view.is_full
            and len(view.queue) < self.enough
            and view.queue[0] is self.head
            and view.replicas == self.replicas
            and view.model.version == self.version
        )

    def wait(self, now_s: float, waiting: int, latency_s: float, sacrifice: int = 0) -> Wait | None:
        """Wait for as many as may come before it has to be looked at again; None if it is time to go.

        The more are queued, the sooner a batch of one more has to begin. So the wait is told for a size that still leaves
        time: `enough` at first, nearer ones as the head's time runs out.
        """
        size = self.enough
        linger_s = self.head[2] + _LINGER_SHARE_MAX * latency_s
        while size > waiting:
            until_s = min(self.head[1] - self.times_s[size] - _GUARD_S, linger_s)
            if now_s < until_s:
                return Wait(until_s, sacrifice, size)
            size = waiting + (size - waiting) // 2
        return None


class _Capacity(msgspec.Struct, frozen=True, gc=False):
    """What the replicas carry, while service times and their number stay as they are.

    Args:
        version: Of the service times.
        replicas: How many there are.
        cap: Largest batch.
        useful: Largest batch that staggered replicas can have in time.
        per_s: Arrival rate that such batches just carry [1/s].
        look_back_s: Over how long arrivals are counted [s].
    """

    version: int
    replicas: int
    cap: int
    useful: int
    per_s: float
    look_back_s: float

    @staticmethod
    def of(view: BatchingView, cap: int) -> _Capacity:
        """As it is now, with known service times."""
        model, replicas, latency_s = view.model, view.replicas, view.latency_s
        times_s = model.mean_by_size_s if replicas == 1 else model.p95_by_size_s
        useful = largest_useful_batch(times_s, latency_s, replicas, cap)
        look_back_s = min(max(_LOOK_BACK * latency_s, _LOOK_BACK_MIN_S), _LOOK_BACK_MAX_S)
        per_s = capacity_per_s(model.mean_by_size_s, useful, replicas)
        return _Capacity(model.version, replicas, cap, useful, per_s, look_back_s)


class SLOPolicy:
    """Eager while replicas suffice, larger batches as load nears capacity, past it the newest (`NewestFirst`).

    The head of the queue bounds how large a batch stays on time (`fit`). The arrival rate of the last two
    objectives says how large batches must be for the replicas to keep up (`need`). While `fit >= need`
    the head sets the size. When not, heads are given up, one by one, only until the batch reaches
    `need`: shrinking the batch instead to save the oldest collapses past saturation. So it is up to the capacity, and
    past it where the newest gain nothing, or while several classes of priority come: they are served in order.

    A free replica waits for a larger batch only while that pays: an arrival more, `1 / lam` later, makes a
    batch of `q` more productive as long as `q < beta * lam`. Late requests join only while replicas keep up.

    Source:
        ALGORITHMS 2 and 3; docs/adr/0015-batching-rule.md and 0018-newest-first.md.
    """

    heeds_deadlines = True

    def __init__(self) -> None:
        self.room = 0
        self._hold: _Hold | None = None
        self._capacity = _Capacity(-1, 0, 0, 0, 0.0, 0.0)
        self._newest = NewestFirst()
        self._mixed_until_s = -inf

    def decide(self, view: BatchingView) -> Send | Wait:
        """Send an on-time batch of the needed size, wait for more, or turn to the late lane."""
        model, queue = view.model, view.queue
        if not queue:
            return idle_batch(view)
        hold = self._hold
        if hold is not None:
            wait = hold.wait(view.now_s, len(queue), view.latency_s) if hold.holds(view) else None
            if wait is not None:
                return wait
            self._hold = None
        self.room = 0
        cap = min(view.largest_batch, model.size_cap)
        if not model.is_known or view.latency_s == inf:
            size = min(len(queue), cap if model.is_known else model.size_cap)
            return Send(size, late=min(cap - size, len(view.late)))
        return self._planned(view, cap)

    def _planned(self, view: BatchingView, cap: int) -> Send | Wait:
        """Weigh what the load just now asks for against what the head allows."""
        model, replicas, latency_s = view.model, view.replicas, view.latency_s
        capacity = self._capacity
        if capacity.version != model.version or capacity.replicas != replicas or capacity.cap != cap:
            capacity = self._capacity = _Capacity.of(view, cap)
        useful = capacity.useful
        arrivals_per_s = view.arrivals.per_s(view.now_s, capacity.look_back_s)
        is_saturated = arrivals_per_s >= capacity.per_s
        answer = self._of_the_newest(view, arrivals_per_s, cap) if is_saturated else None
        if answer is not None:
            return answer
        mean_s, p95_s, times_s = model.mean_by_size_s, model.p95_by_size_s, model.middle_by_size_s
        if replicas > 1:
            if model.beta_s < _FIXED_SHARE * mean_s[useful]:
                cap = useful
            if is_saturated:
                times_s = p95_s
        need = needed_batch(model.alpha_s, model.beta_s, arrivals_per_s, replicas, useful)
        first, fit = first_worth_saving(view, times_s, need, cap)
        if fit == 0:
            return Wait(inf, first)
        head, waiting = view.queue[first], len(view.queue) - first
        if replicas > 1 and fit < need and not view.is_full:
            spread = p95_s[useful] / mean_s[useful] - 1.0
            patience = _PATIENCE_MAX if spread * _PATIENCE_MAX <= _SPREAD else max(_SPREAD / spread, 1.0)
            enough = min(need, ceil(patience * model.beta_s * arrivals_per_s))
            if waiting < enough:
                hold = _Hold(head, enough, replicas, model.version, times_s)
                wait = hold.wait(view.now_s, waiting, latency_s, first)
                if wait is not None:
                    self._hold = hold
                    return wait
        return Send(fit, first, 0 if is_saturated else filler(view, fit, head[1], useful))

    def _of_the_newest(self, view: BatchingView, arrivals_per_s: float, cap: int) -> Send | Wait | None:
        """What is best for the newest; None if there is no gain in them, or if several classes of priority come.

        Nor where most would be late even alone: all are served late then, rather than few by luck and nobody else.
        """
        if view.model.mean_by_size_s[1] > view.latency_s:
            return None
        if view.queue[0][0] != view.queue[-1][0]:
            self._mixed_until_s = view.now_s + _ONE_CLASS_S
        if view.now_s < self._mixed_until_s:
            return None
        answer = self._newest.decide(view, arrivals_per_s, cap)
        if answer is not None:
            self.room = self._newest.room
        return answer


def first_worth_saving(view: BatchingView, times_s: list[float], need: int, cap: int) -> tuple[int, int]:
    """Heads to set aside, and the largest batch that is on time behind them (0: none is).

    A head is given up for the sake of its own class only, never to make room for a lower one. Within a class
    slack grows from head to head and the batch that is asked for does not, so that the first one is found by
    bisection.
    """
    queue, now_s = view.queue, view.now_s
    waiting, first = len(queue), 0
    while first < waiting:
        priority = queue[first][0]
        is_last_class = priority == queue[-1][0]
        class_ends = waiting if is_last_class else bisect_left(queue, (priority + 1, 0.0, 0.0, 0))
        if queue[first][1] - now_s < times_s[min(need, class_ends - first)]:
            low, high = first + 1, class_ends
            while low < high:
                middle = (low + high) // 2
                if queue[middle][1] - now_s < times_s[min(need, class_ends - middle)]:
                    low = middle + 1
                else:
                    high = middle
            first = low
        if first < class_ends:
            fit = largest_batch_within(times_s, queue[first][1] - now_s, min(waiting - first, cap))
            if first + fit > class_ends and now_s + times_s[fit] > queue[class_ends][1]:
                alone = class_ends - first
                if alone >= need or not _serves_more(view, times_s, fit, class_ends, alone):
                    fit = alone  # the next class would be late in so large a batch
            return first, fit
    return waiting, 0


def _serves_more(view: BatchingView, times_s: list[float], fit: int, class_ends: int, alone: int) -> bool:
    """Whether a batch of `fit` that reaches into the next class serves more in time per second than the `alone` do.

    Without it a few of a higher class would take a replica to themselves again and again, and the lower one starve.
    """
    queue, ends_s = view.queue, view.now_s + times_s[fit]
    late = bisect_left(queue, (queue[class_ends][0], ends_s), class_ends, class_ends + fit - alone) - class_ends
    return (fit - late) * times_s[alone] > alone * times_s[fit]

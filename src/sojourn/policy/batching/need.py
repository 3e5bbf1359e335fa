"""The default until it met bursts: give up heads only as far as the rate of the last second demands."""

from __future__ import annotations

from bisect import bisect_left

from sojourn.estimate.capacity import largest_batch_within, largest_useful_batch, needed_batch
from sojourn.policy.batching.late_lane import filler, idle_batch
from sojourn.policy.batching.port import BatchingView, Send, Wait

_GUARD_S = 0.0015  # p99 lateness of a timer on a busy event loop
_RATE_WINDOW_S = 1.0
_LINGER_SHARE_MAX = 0.5  # of the objective's latency


class NeedPolicy:
    """Eager while replicas suffice; larger batches, then sacrificed heads, as load nears capacity.

    The head of the queue bounds how large a batch stays on time (`fit`). The arrival rate says how
    large batches must be for the replicas to keep up (`need`). While `fit >= need` the head sets
    the size. When not, heads are given up, one by one, only until the batch reaches `need`:
    shrinking the batch instead to save the oldest collapses past saturation.

    Source:
        ALGORITHMS 2 and 3.
    """

    heeds_deadlines = True
    room = 0

    def decide(self, view: BatchingView) -> Send | Wait:
        """Send an on-time batch of the needed size, wait for more, or turn to the late lane."""
        model, queue = view.model, view.queue
        cap = min(view.largest_batch, model.size_cap)
        if not queue:
            return idle_batch(view)
        if not model.is_known or view.latency_s == float("inf"):
            size = min(len(queue), cap if model.is_known else model.size_cap)
            return Send(size, late=min(cap - size, len(view.late)))
        replicas = view.replicas
        sizing_s = model.mean_by_size_s if replicas == 1 else model.p95_by_size_s
        useful = largest_useful_batch(sizing_s, view.latency_s, replicas, cap)
        arrivals_per_s = view.arrivals.per_s(view.now_s, _RATE_WINDOW_S)
        arrivals_meanwhile = arrivals_per_s * model.mean_by_size_s[useful] / replicas
        is_saturated = arrivals_meanwhile >= useful
        times_s = model.p95_by_size_s if is_saturated and replicas > 1 else model.middle_by_size_s
        need = needed_batch(model.alpha_s, model.beta_s, arrivals_per_s, replicas, useful)
        first, fit = self._first_worth_saving(view, times_s, need, cap)
        if fit == 0:
            return Wait(float("inf"), first)
        due_at_s, arrival_at_s = queue[first][1], queue[first][2]
        waiting = len(queue) - first
        if replicas > 1 and fit < need and waiting < useful and not view.is_full:
            latest_s = due_at_s - times_s[min(waiting + 1, useful)] - _GUARD_S
            go_at_s = min(latest_s, arrival_at_s + _LINGER_SHARE_MAX * view.latency_s)
            if view.now_s < go_at_s:
                return Wait(go_at_s, first)
        return Send(fit, first, filler(view, fit, due_at_s, useful))

    def _first_worth_saving(self, view: BatchingView, times_s: list[float], need: int, cap: int) -> tuple[int, int]:
        """Heads to set aside, and the largest batch that is on time behind them (0: none is).

        A head is given up for the sake of its own class only, never to make room for a lower one.
        """
        queue, now_s = view.queue, view.now_s
        waiting = len(queue)
        class_ends = 0
        for first in range(waiting):
            priority, due_at_s = queue[first][0], queue[first][1]
            if first >= class_ends:
                is_last_class = priority == queue[-1][0]
                class_ends = waiting if is_last_class else bisect_left(queue, (priority + 1, 0.0, 0.0, 0))
            fit = largest_batch_within(times_s, due_at_s - now_s, min(waiting - first, cap))
            if fit >= min(need, class_ends - first) and fit > 0:
                if first + fit > class_ends and now_s + times_s[fit] > queue[class_ends][1]:
                    fit = class_ends - first  # the next class would be late in so large a batch
                return first, fit
        return waiting, 0

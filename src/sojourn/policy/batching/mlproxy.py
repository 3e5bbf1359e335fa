"""MLProxy's adaptive batching: a batch waits to fill as long as its head can afford."""

from __future__ import annotations

from sojourn.policy.batching.aimd import BatchCap
from sojourn.policy.batching.late_lane import idle_batch
from sojourn.policy.batching.port import BatchingView, Send, Wait


class MLProxyPolicy:
    """Send when a learnt number of requests is there, or when the head's timer ends; nobody is given up.

    The timer is what the objective leaves the head: `S - p95(q + 1) - age`. The number grows by steps and
    shrinks by a share, so that the p95 of a batch stays within `target * S / (1 + 1/n)`: of the objective
    a part is kept in reserve, and a batch may have to wait for one of `n` replicas.

    Args:
        cap: The adaptive largest batch.
        target: Share of the objective's latency to plan with, in (0, 1].
        guard_s: Safety before the end of the timer, in seconds, >= 0.

    Source:
        N. Mahmoudi, H. Khazaei, "MLProxy: SLA-aware reverse proxy for machine learning inference serving
        on serverless computing platforms", arXiv 2202.11243, 2022; the share of `n` replicas: ALGORITHMS 1.
    """

    heeds_deadlines = False
    room = 0

    def __init__(self, cap: BatchCap, target: float, guard_s: float) -> None:
        self._cap = cap
        self._target = target
        self._guard_s = guard_s

    def decide(self, view: BatchingView) -> Send | Wait:
        """Send a full batch, or what is there when the head's timer has ended; wait before that."""
        queue = view.queue
        if not queue:
            return idle_batch(view)
        p95_s = view.model.p95_by_size_s
        target_s = self._target * view.latency_s / (1.0 + 1.0 / view.replicas)
        cap = self._cap.size(view.model, p95_s, target_s, view.largest_batch)
        waiting = len(queue)
        if waiting < cap and view.latency_s != float("inf") and not view.is_full:
            arrived_at_s = queue[0][2]
            go_at_s = arrived_at_s + view.latency_s - p95_s[min(waiting + 1, view.largest_batch)] - self._guard_s
            if view.now_s < go_at_s:
                return Wait(go_at_s)
        size = min(waiting, cap)
        self._cap.sent(size)
        return Send(size)

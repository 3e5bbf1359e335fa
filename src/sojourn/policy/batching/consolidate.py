"""Symphony's deferred batch scheduling: few replicas busy with large batches, the others left alone."""

from __future__ import annotations

from sojourn.estimate.capacity import largest_batch_within, largest_useful_batch
from sojourn.policy.batching.late_lane import filler, idle_batch
from sojourn.policy.batching.port import BatchingView, Send, Wait


class ConsolidatePolicy:
    """Wait until the last moment at which one more request could still join the head's batch.

    Before `d_head - Q(q + 1)` another arrival costs nobody anything, so a free replica is not a reason
    to go; a batch of the largest useful size is. Replica time per request becomes least and follows the
    load, and in exchange every batch is sent with no slack left: with noisy service times it keeps fewer
    requests on time than going at once (ALGORITHMS 2). Heads are given up as Nexus does, until a whole
    window is on time; the window then grows as far as its head allows.

    Args:
        guard_s: Safety before the last moment, in seconds, >= 0.

    Source:
        L. Chen et al., "Symphony: optimized DNN model serving using deferred batch scheduling",
        arXiv 2308.07470, 2023: the schedulable window begins at its `frontrun` moment.
    """

    heeds_deadlines = True
    room = 0

    def __init__(self, guard_s: float) -> None:
        self._guard_s = guard_s

    def decide(self, view: BatchingView) -> Send | Wait:
        """Send a full window, or what is there at the head's last safe moment; wait before it."""
        model, queue, now_s = view.model, view.queue, view.now_s
        cap = min(view.largest_batch, model.size_cap)
        if not queue:
            return idle_batch(view)
        if not model.is_known or view.latency_s == float("inf"):
            # Nothing says how long the wait may be: go, in sizes that were tried before plus a step.
            return Send(min(len(queue), cap))
        p95_s = model.p95_by_size_s
        useful = largest_useful_batch(p95_s, view.latency_s, view.replicas, cap)
        for first, entry in enumerate(queue):
            waiting = len(queue) - first
            due_at_s = entry[1]
            if now_s + p95_s[min(useful, waiting)] > due_at_s:
                continue
            go_at_s = due_at_s - p95_s[min(waiting + 1, cap)] - self._guard_s
            if waiting < useful and now_s < go_at_s and not view.is_full:
                return Wait(go_at_s, first)
            # At the very last moment the two sums may round differently: it was found to be on time just above.
            size = max(largest_batch_within(p95_s, due_at_s - now_s, min(waiting, cap)), 1)
            return Send(size, first, filler(view, size, due_at_s, useful))
        return Wait(float("inf"), len(queue))

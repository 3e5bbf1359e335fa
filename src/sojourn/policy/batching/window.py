"""Nexus' early drop: slide a window over the queue to the first full batch that is on time."""

from __future__ import annotations

from sojourn.estimate.capacity import largest_useful_batch
from sojourn.policy.batching.late_lane import filler, idle_batch
from sojourn.policy.batching.port import BatchingView, Send, Wait


class WindowPolicy:
    """Give up heads until a whole window can be served before its first deadline; never wait.

    Args:
        size: Window length; 0 takes the largest useful batch of the service-time model.

    Source:
        H. Shen et al., "Nexus: a GPU cluster engine for accelerating DNN-based video analysis", SOSP'19, 6.3.
    """

    heeds_deadlines = True
    room = 0

    def __init__(self, size: int = 0) -> None:
        self._size = size

    def decide(self, view: BatchingView) -> Send | Wait:
        """Send the first on-time window; what is before it goes to the late lane."""
        queue, now_s = view.queue, view.now_s
        model = view.model
        cap = min(view.largest_batch, model.size_cap)
        p95_s = model.p95_by_size_s
        window = self._size or largest_useful_batch(p95_s, view.latency_s, view.replicas, cap)
        window = min(window, cap)
        for first in range(len(queue)):
            size = min(window, len(queue) - first)
            due_at_s = queue[first][1]
            if now_s + p95_s[size] <= due_at_s:
                return Send(size, first, filler(view, size, due_at_s, window))
        if queue:  # nothing can be saved: set all aside and look again
            return Wait(float("inf"), len(queue))
        return idle_batch(view)

"""Batching without a look at deadlines: eager, one by one, and fixed size with a linger."""

from __future__ import annotations

from sojourn.policy.batching.port import BatchingView, Send, Wait


class LatencyPolicy:
    """Always eager: whatever is queued goes, as many as the function takes."""

    heeds_deadlines = False
    room = 0

    def decide(self, view: BatchingView) -> Send | Wait:
        """Send all that fits."""
        return Send(min(len(view.queue), view.largest_batch))


class NonePolicy:
    """No batching: one request per model call."""

    heeds_deadlines = False
    room = 0

    def decide(self, view: BatchingView) -> Send | Wait:  # noqa: ARG002 - the answer is always the same
        """Send one."""
        return Send(1)


class FixedPolicy:
    """Wait for `size` requests, but hold the head no longer than `wait_s`.

    Args:
        size: Batch size to wait for, >= 1; at most the function's own.
        wait_s: Longest linger of the queue's head, in seconds, >= 0.
    """

    heeds_deadlines = False
    room = 0

    def __init__(self, size: int, wait_s: float) -> None:
        self._size = size
        self._wait_s = wait_s

    def decide(self, view: BatchingView) -> Send | Wait:
        """Send a full batch, or what is there once the head has waited long enough."""
        size = min(self._size, view.largest_batch)
        if len(view.queue) >= size:
            return Send(size)
        send_at_s = view.queue[0][2] + self._wait_s
        is_over = view.now_s >= send_at_s or view.is_full
        return Send(len(view.queue)) if is_over else Wait(send_at_s)

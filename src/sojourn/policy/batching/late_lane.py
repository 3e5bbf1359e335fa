"""What is served of the late lane: only what costs no on-time request."""

from __future__ import annotations

from sojourn.estimate.capacity import largest_batch_within
from sojourn.policy.batching.port import BatchingView, Send


def idle_batch(view: BatchingView) -> Send:
    """A batch of late requests for a replica that would idle.

    Small enough that an on-time request arriving right after it started still makes its deadline
    (`l(b) + l(1) <= S`), but at least one, so that slow models are not starved of it. If not even one
    item alone can be on time, there is nobody to make room for.
    """
    mean_s = view.model.mean_by_size_s
    cap = min(view.largest_batch, view.model.size_cap, len(view.late))
    if mean_s[1] > view.latency_s:
        return Send(0, late=cap)
    return Send(0, late=max(largest_batch_within(mean_s, view.latency_s - mean_s[1], cap), 1))


def filler(view: BatchingView, size: int, due_at_s: float, cap: int) -> int:
    """Late requests that can join a batch of `size` while its earliest deadline stays safe."""
    if not view.late or size >= cap:
        return 0
    fits = largest_batch_within(view.model.p95_by_size_s, due_at_s - view.now_s, cap)
    return max(min(fits - size, len(view.late)), 0)

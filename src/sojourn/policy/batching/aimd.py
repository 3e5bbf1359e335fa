"""Clipper's adaptive batch size: additive increase, multiplicative decrease, against the latency objective."""

from __future__ import annotations

from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.late_lane import idle_batch
from sojourn.policy.batching.port import BatchingView, Send, Wait


class BatchCap:
    """A largest batch that grows step by step while it is fast enough and shrinks by a share when it is not.

    It moves at most once per batch the service-time model has learnt from, and up only when a batch as
    large as the cap was sent: small batches say nothing of larger ones.

    Args:
        increase: Requests added at a time, >= 1.
        decrease: Factor when the batch takes too long, in (0, 1).
    """

    def __init__(self, increase: int, decrease: float) -> None:
        self._increase = increase
        self._decrease = decrease
        self._cap = 1.0
        self._was_full = False
        self._samples = 0

    def size(self, model: ServiceTimeModel, duration_by_size_s: list[float], target_s: float, largest: int) -> int:
        """The largest batch as of now, in [1, largest].

        Args:
            model: Tells that batches were completed since the last question.
            duration_by_size_s: How long batches take, by size; index 0 unused [s].
            target_s: How long the largest may take, in seconds.
            largest: Ceiling, >= 1, the same every time.
        """
        if model.samples != self._samples:
            self._samples = model.samples
            if duration_by_size_s[int(self._cap)] > target_s:
                self._cap = max(self._cap * self._decrease, 1.0)
            elif self._was_full:
                self._cap = min(self._cap + self._increase, float(largest))
            self._was_full = False
        return int(self._cap)

    def sent(self, size: int) -> None:
        """Tell of a batch that was sent."""
        self._was_full = self._was_full or size >= int(self._cap)


class AIMDPolicy:
    """Eager, in arrival order, in batches of at most a learnt size; nobody is given up.

    Clipper judges each batch by its measured time. Here the fitted mean for the present cap stands for
    it, which finds the same size and sways less around it.

    Args:
        cap: The adaptive largest batch.
        target: Share of the objective's latency that a batch may take, in (0, 1].

    Source:
        D. Crankshaw et al., "Clipper: a low-latency online prediction serving system", NSDI'17, 4.3.
    """

    heeds_deadlines = False
    room = 0

    def __init__(self, cap: BatchCap, target: float) -> None:
        self._cap = cap
        self._target = target

    def decide(self, view: BatchingView) -> Send | Wait:
        """Send what is queued, up to the cap."""
        if not view.queue:
            return idle_batch(view)
        model = view.model
        cap = self._cap.size(model, model.mean_by_size_s, self._target * view.latency_s, view.largest_batch)
        size = min(len(view.queue), cap)
        self._cap.sent(size)
        return Send(size)

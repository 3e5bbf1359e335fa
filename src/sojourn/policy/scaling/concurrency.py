"""Knative's default autoscaler: requests in flight per replica."""

from __future__ import annotations

from sojourn.domain.policy import ConcurrencyScaling
from sojourn.policy.scaling.port import ScalingView, Want
from sojourn.policy.scaling.stable_panic import Metric, StablePanic


class ConcurrencyPolicy:
    """Average requests in flight over a target per replica, with a stable and a panic window.

    In flight is every request admitted and not yet ended, those that wait for a cold start included: Knative's
    activator holds these and reports them as concurrency of the revision, beside what the replicas report. (That a
    long start then looks like load is a known weakness; it belongs to a faithful baseline.)

    Args:
        spec: The parameters.
        largest_batch: Target where the spec leaves it open (0): what one replica holds at once at most, >= 1.

    Source:
        Knative Serving, `pkg/autoscaler`; Knative docs, "Configuring concurrency"; issue knative/serving 4344.
    """

    def __init__(self, spec: ConcurrencyScaling, largest_batch: int) -> None:
        self._spec = spec
        self._rule = StablePanic(
            Metric("in flight", spec.target or float(largest_batch), spec.utilization),
            stable_s=spec.stable_s,
            panic_s=spec.panic_s,
            panic_factor=spec.panic_factor,
        )

    def decide(self, view: ScalingView) -> Want:
        """Replicas for the averages of the two windows, every 2 s."""
        undecided = self._rule.undecided(view)
        if undecided is not None:
            return undecided
        history, now_s, spec = view.history, view.now_s, self._spec
        return self._rule.decide(
            view, history.mean_in_flight(now_s, spec.stable_s), history.mean_in_flight(now_s, spec.panic_s)
        )

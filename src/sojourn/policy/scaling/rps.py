"""Knative's other metric: requests per second per replica."""

from __future__ import annotations

from sojourn.domain.policy import RPSScaling
from sojourn.policy.scaling.port import ScalingView, Want
from sojourn.policy.scaling.stable_panic import Metric, StablePanic


class RPSPolicy:
    """Arrival rate over a target per replica, with a stable and a panic window.

    Args:
        spec: The parameters.

    Source:
        Knative docs, "Configuring the requests per second (RPS) target".
    """

    def __init__(self, spec: RPSScaling) -> None:
        self._spec = spec
        self._rule = StablePanic(
            Metric("requests/s", spec.target_per_s, spec.utilization),
            stable_s=spec.stable_s,
            panic_s=spec.panic_s,
            panic_factor=spec.panic_factor,
        )

    def decide(self, view: ScalingView) -> Want:
        """Replicas for the rates of the two windows, every 2 s."""
        undecided = self._rule.undecided(view)
        if undecided is not None:
            return undecided
        history, now_s, spec = view.history, view.now_s, self._spec
        return self._rule.decide(
            view, history.arrivals_per_s(now_s, spec.stable_s), history.arrivals_per_s(now_s, spec.panic_s)
        )

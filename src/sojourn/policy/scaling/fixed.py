"""The same number of replicas, whatever happens."""

from __future__ import annotations

from sojourn.domain.policy import FixedReplicas
from sojourn.policy.scaling.port import ScalingView, Want


class FixedPolicy:
    """Always as many replicas as the spec says.

    Args:
        spec: How many.
    """

    def __init__(self, spec: FixedReplicas) -> None:
        self._want = Want(spec.replicas, f"fixed at {spec.replicas}", {"replicas": float(spec.replicas)})

    def decide(self, view: ScalingView) -> Want:  # noqa: ARG002 - the port's signature
        """The number of the spec."""
        return self._want

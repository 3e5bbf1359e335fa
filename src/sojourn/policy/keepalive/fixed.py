"""The same keep-alive after every request."""

from __future__ import annotations

from sojourn.domain.policy import FixedKeepAlive
from sojourn.policy.keepalive.port import KeepAlive, KeepAliveView


class FixedKeepAlivePolicy:
    """Keep the last replica for as long as the spec says, and learn nothing.

    Args:
        spec: How long.
    """

    def __init__(self, spec: FixedKeepAlive) -> None:
        self._answer = KeepAlive(spec.idle_s, f"fixed at {spec.idle_s:g} s")

    def idle_ended(self, idle_s: float) -> None:
        """Nothing is learnt from it."""

    def decide(self, view: KeepAliveView) -> KeepAlive:  # noqa: ARG002 - the port's signature
        """The time of the spec."""
        return self._answer

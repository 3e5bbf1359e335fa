"""The question every keep-alive policy answers, and its answer."""

from __future__ import annotations

from typing import Protocol

import msgspec


class KeepAlivePolicy(Protocol):
    """How long is an idle function kept warm? One instance per function; it remembers idle times."""

    def idle_ended(self, idle_s: float) -> None:
        """A request arrived after nothing had been in flight for `idle_s` seconds."""

    def decide(self, view: KeepAliveView) -> KeepAlive:
        """Answer for a function whose last request has just ended, and again whenever something is known better."""


class KeepAliveView(msgspec.Struct, frozen=True):
    """What a keep-alive policy may look at.

    Args:
        latency_s: The objective's latency, or infinity without an objective.
        budget: The error budget, 1 - objective, in (0, 1); 0.01 without an objective.
        cold_start_s: How long a start takes, from experience; 0 while unknown.
        requests_per_idle: Mean number of requests between two idle times, >= 1.
    """

    latency_s: float
    budget: float
    cold_start_s: float
    requests_per_idle: float = 1.0


class KeepAlive(msgspec.Struct, frozen=True):
    """Keep the last replica for `keep_s` of idleness; start one again `prewarm_after_s` after the idleness began.

    `prewarm_after_s` is None for no such start; `prewarm_keep_s` is how long a replica started so is kept.
    """

    keep_s: float
    why: str
    prewarm_after_s: float | None = None
    prewarm_keep_s: float = 0.0

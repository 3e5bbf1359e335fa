"""The question every allocation policy answers, what it may look at, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from sojourn.domain.demand import ServiceTimes
from sojourn.domain.resources import Resources


class AllocationPolicy(Protocol):
    """Who gets how much of a pool that does not hold all that is wanted? One instance per pool."""

    def allocate(self, demands: Sequence[Demand], pool: Resources) -> Allocation:
        """Answer every second or so, and when a want or the pool changes.

        Raises:
            ConfigurationError: The minima alone exceed the pool; the message lists them.
        """


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What one function asks of the pool.

    Args:
        function: Its name, unique among the demands.
        claim: What one replica claims, of at least one resource.
        wanted: What its scaling policy wants, >= 0.
        weight: Its importance relative to the others, > 0.
        minimum: Replicas it must have, >= 0.
        maximum: Most it may have, >= max(1, minimum).
        current: Replicas it has, ready or starting, >= 0.
        arrivals_per_s: Demand to size for (`lam_hat`), >= 0 [1/s].
        service: Service times, or None while nothing is known.
        slots: Batches one replica runs at once, >= 1.
        latency_s: The objective's latency, or infinity without an objective [s].
        cold_start_s: How long a start takes, from experience; 0 while unknown [s].
    """

    function: str
    claim: Resources
    wanted: int
    weight: float = 1.0
    minimum: int = 0
    maximum: int = 1_000_000
    current: int = 0
    arrivals_per_s: float = 0.0
    service: ServiceTimes | None = None
    slots: int = 1
    latency_s: float = float("inf")
    cold_start_s: float = 0.0

    @property
    def ceiling(self) -> int:
        """The most it is to be given: what it wants, within its bounds."""
        return max(min(self.wanted, self.maximum), self.minimum)


class Allocation(msgspec.Struct, frozen=True):
    """Replicas per function, all that fit the pool, and why some got fewer than they want (by name)."""

    replicas: dict[str, int]
    why: dict[str, str]

"""What replicas claim of a machine, and what the machine has."""

from __future__ import annotations

from math import ceil

import msgspec

from sojourn.domain.function import FunctionSettings

_ROUNDING = 1e-9  # sums of fractions such as ten times 0.1


class Resources(msgspec.Struct, frozen=True):
    """An amount of processor, accelerators and memory: a claim, or what a pool has.

    Args:
        cpus: Cores, >= 0; fractions are shares.
        gpus: Accelerators, >= 0; fractions are shares of one.
        memory_bytes: Memory, >= 0.
    """

    cpus: float = 0.0
    gpus: float = 0.0
    memory_bytes: int = 0

    def plus(self, other: Resources, times: int = 1) -> Resources:
        """The sum of this and `times` the other (negative to take away)."""
        return Resources(
            self.cpus + times * other.cpus,
            self.gpus + times * other.gpus,
            self.memory_bytes + times * other.memory_bytes,
        )

    def fits(self, pool: Resources) -> bool:
        """Whether the pool has this much."""
        return (
            self.cpus <= pool.cpus + _ROUNDING
            and self.gpus <= pool.gpus + _ROUNDING
            and self.memory_bytes <= pool.memory_bytes
        )

    def largest_share_of(self, pool: Resources) -> float:
        """The largest of this claim's shares of the pool (infinite for what the pool has none of)."""
        pairs = (
            (self.cpus, pool.cpus),
            (self.gpus, pool.gpus),
            (float(self.memory_bytes), float(pool.memory_bytes)),
        )
        return max((claim / has if has > 0 else float("inf") for claim, has in pairs if claim > 0), default=0.0)


def claim_of(settings: FunctionSettings) -> Resources:
    """What one replica of a function claims; an accelerator and a half is two that nobody else gets."""
    gpus = settings.gpus if settings.gpus <= 1.0 else float(ceil(settings.gpus))
    return Resources(settings.cpus, gpus, settings.memory_bytes or 0)

"""What replicas claim of a machine, and what the machine has."""

from __future__ import annotations

from math import ceil

import msgspec

from sojourn.domain.function import FunctionSettings

_ROUNDING = 1e-9  # sums of fractions such as ten times 0.1
_MEMORY_UNITS = (
    ("GiB", 1024**3),
    ("GB", 1000**3),
    ("MiB", 1024**2),
    ("MB", 1000**2),
    ("KiB", 1024),
    ("kB", 1000),
)


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

    def __str__(self) -> str:
        """As options are written: `cpus=4, gpus=0, memory=16 GiB`; without memory if it is none."""
        memory = f", memory={memory_text(self.memory_bytes)}" if self.memory_bytes else ""
        return f"cpus={self.cpus:g}, gpus={self.gpus:g}{memory}"

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


def memory_text(count: int) -> str:
    """A number of bytes as a person would write it: `25 GB`, `1.5 GiB`, `31.26 GiB` where it is round in no unit.

    Args:
        count: Bytes, >= 0.
    """
    for unit, size in _MEMORY_UNITS:
        if size <= count < 10_000 * size and count * 100 % size == 0:
            return f"{count / size:.12g} {unit}"
    for unit, size in _MEMORY_UNITS[::2]:
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} B"

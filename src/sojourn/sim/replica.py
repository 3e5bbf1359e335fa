"""A modelled replica: how long its batches take and how long it needs to start."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from random import Random

import msgspec


class ModelledStart(msgspec.Struct, frozen=True):
    """How one start goes: ready after `duration_s`, or gone then if there is a `cause`.

    Args:
        duration_s: From the decision to start until ready or gone, in seconds, >= 0.
        cause: Why it fails, one line; empty if it succeeds.
    """

    duration_s: float
    cause: str = ""


class ModelledService(msgspec.Struct, frozen=True):
    """Service time `(alpha * b + beta) * noise`, the noise lognormal with mean 1.

    Args:
        alpha_s: Time per item, in seconds, >= 0.
        beta_s: Time per batch, in seconds, >= 0.
        sigma: Standard deviation of the noise's logarithm, >= 0.
        cold_start_s: From the decision to start until ready, in seconds, >= 0.
        overhead_s: Transport and bookkeeping per batch, in seconds, >= 0.
        starts: Tells of each start by its number, from 1, how it goes; None lets all succeed after
            `cold_start_s`.
    """

    alpha_s: float
    beta_s: float
    sigma: float = 0.0
    cold_start_s: float = 0.0
    overhead_s: float = 0.0
    starts: Callable[[int], ModelledStart] | None = None

    def duration_s(self, size: int, rng: Random) -> float:
        """Time a batch of `size` occupies the replica."""
        mean_s = self.alpha_s * size + self.beta_s
        if self.sigma:
            mean_s *= exp(self.sigma * rng.gauss(0.0, 1.0) - self.sigma * self.sigma / 2)
        return mean_s + self.overhead_s

    def start(self, number: int) -> ModelledStart:
        """How the function's start of this number, from 1, goes."""
        return ModelledStart(self.cold_start_s) if self.starts is None else self.starts(number)

    def capacity_per_s(self, largest_batch: int, replicas: int = 1) -> float:
        """Requests per second in full batches."""
        return replicas * largest_batch / (self.alpha_s * largest_batch + self.beta_s)

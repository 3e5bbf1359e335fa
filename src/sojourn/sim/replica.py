"""A modelled replica: how long its batches take and how long it needs to start."""

from __future__ import annotations

from math import exp
from random import Random

import msgspec


class ModelledService(msgspec.Struct, frozen=True):
    """Service time `(alpha * b + beta) * noise`, the noise lognormal with mean 1.

    Args:
        alpha_s: Time per item, in seconds, >= 0.
        beta_s: Time per batch, in seconds, >= 0.
        sigma: Standard deviation of the noise's logarithm, >= 0.
        cold_start_s: From the decision to start until ready, in seconds, >= 0.
        overhead_s: Transport and bookkeeping per batch, in seconds, >= 0.
    """

    alpha_s: float
    beta_s: float
    sigma: float = 0.0
    cold_start_s: float = 0.0
    overhead_s: float = 0.0

    def duration_s(self, size: int, rng: Random) -> float:
        """Time a batch of `size` occupies the replica."""
        mean_s = self.alpha_s * size + self.beta_s
        if self.sigma:
            mean_s *= exp(self.sigma * rng.gauss(0.0, 1.0) - self.sigma * self.sigma / 2)
        return mean_s + self.overhead_s

    def capacity_per_s(self, largest_batch: int, replicas: int = 1) -> float:
        """Requests per second in full batches."""
        return replicas * largest_batch / (self.alpha_s * largest_batch + self.beta_s)

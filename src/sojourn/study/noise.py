"""How service times vary around their mean, as far as bounds need to know."""

from __future__ import annotations

from bisect import bisect_right
from math import erf, inf, log, sqrt

import msgspec

from sojourn.sim.replica import ModelledService


class Noise(msgspec.Struct, frozen=True):
    """What times are multiplied by: lognormal with mean 1, or drawn between measured quantiles.

    Args:
        sigma: Standard deviation of the logarithm, >= 0; 0 with `ratios`.
        ratios: Quantiles of measured over expected time, evenly spaced from 0 to 1; empty for lognormal noise.
        fixed_s: Part of each time that does not vary, in seconds, >= 0.
    """

    sigma: float = 0.0
    ratios: tuple[float, ...] = ()
    fixed_s: float = 0.0

    @classmethod
    def of(cls, service: ModelledService) -> Noise:
        """That of modelled replicas."""
        return cls(0.0 if service.ratios else service.sigma, tuple(sorted(service.ratios)), service.overhead_s)

    @property
    def is_any(self) -> bool:
        """Whether times vary at all."""
        return self.sigma > 0.0 or bool(self.ratios)

    @property
    def mean(self) -> float:
        """Mean of what times are multiplied by."""
        ratios = self.ratios
        return (sum(ratios) - (ratios[0] + ratios[-1]) / 2) / (len(ratios) - 1) if ratios else 1.0

    def share_within(self, budget_s: float, mean_s: float) -> float:
        """Share of batches with this mean time that end within the budget.

        Args:
            budget_s: Time there is [s].
            mean_s: Mean time of such a batch, `fixed_s` included [s].
        """
        varying_s = (mean_s - self.fixed_s) / self.mean
        budget_s -= self.fixed_s
        return self.share_below(budget_s / varying_s if varying_s > 0.0 else inf if budget_s >= 0.0 else 0.0)

    def share_below(self, ratio: float) -> float:
        """Share of factors at or below this one."""
        if self.ratios:
            place = bisect_right(self.ratios, ratio)
            if place in {0, len(self.ratios)}:
                return min(place, 1.0)
            step = self.ratios[place] - self.ratios[place - 1]
            return (place - 1 + (ratio - self.ratios[place - 1]) / step) / (len(self.ratios) - 1)
        if not self.sigma or ratio in {0.0, inf}:
            return 1.0 if ratio >= 1.0 else 0.0
        if ratio < 0.0:
            return 0.0
        return 0.5 * (1.0 + erf((log(ratio) / self.sigma + self.sigma / 2) / sqrt(2.0)))

"""The emulated models of the study: a batch of `b` takes `alpha b + beta` seconds on the mean."""

from __future__ import annotations

from math import exp
from typing import NamedTuple

from sojourn.domain.objective import SLO
from sojourn.sim.replica import ModelledService

OBJECTIVE = SLO(latency_s=0.1, objective=0.99)
BATCH_MAX = 64
_P95 = 1.6449  # quantile of the normal distribution


class Model(NamedTuple):
    """One of them.

    Args:
        name: Short.
        about: What it stands for.
        alpha_s: Time per item, in seconds.
        beta_s: Time per batch, in seconds.
    """

    name: str
    about: str
    alpha_s: float
    beta_s: float

    def service(self, noise: float, cold_start_s: float = 0.0) -> ModelledService:
        """How its replicas behave; `noise` is the standard deviation of the logarithm of service times."""
        return ModelledService(self.alpha_s, self.beta_s, sigma=noise, cold_start_s=cold_start_s)

    def capacity_per_s(self, replicas: int, noise: float = 0.0, *, share_of_objective: float | None = None) -> float:
        """Requests per second in batches of the largest feasible size.

        Args:
            replicas: >= 1.
            noise: With noise the 95th percentile of service times must fit, without it the mean.
            share_of_objective: What a batch may take of the objective; None: 1 / (1 + 1/n), for which the staggered
                replicas can form full batches in time; with one replica this is half the objective.
        """
        share = 1.0 / (1.0 + 1.0 / replicas) if share_of_objective is None else share_of_objective
        allowed_s = OBJECTIVE.latency_s * share / exp(_P95 * noise - noise * noise / 2)
        size = min(max(int((allowed_s - self.beta_s) / self.alpha_s + 1e-9), 1), BATCH_MAX)
        return replicas * size / (self.alpha_s * size + self.beta_s)


MODELS = {
    model.name: model
    for model in (
        Model("cpu", "as on a processor: a batch saves little", 0.008, 0.002),
        Model("mid", "in between", 0.004, 0.008),
        Model("gpu", "as on an accelerator: a batch costs hardly more than one", 0.001, 0.020),
    )
}

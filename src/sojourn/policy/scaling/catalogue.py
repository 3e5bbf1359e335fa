"""From a scaling spec in a function's options to the policy that carries it out."""

from __future__ import annotations

from sojourn.domain.function import FunctionSettings
from sojourn.domain.policy import (
    ConcurrencyScaling,
    FixedReplicas,
    OngoingScaling,
    RPSScaling,
    ScalingSpec,
    SLOScaling,
    UtilizationScaling,
)
from sojourn.policy.scaling.concurrency import ConcurrencyPolicy
from sojourn.policy.scaling.fixed import FixedPolicy
from sojourn.policy.scaling.ongoing import OngoingPolicy
from sojourn.policy.scaling.port import ScalingPolicy
from sojourn.policy.scaling.rps import RPSPolicy
from sojourn.policy.scaling.slo import SLOScalingPolicy
from sojourn.policy.scaling.utilization import UtilizationPolicy


def scaling_policy(spec: ScalingSpec, settings: FunctionSettings) -> ScalingPolicy:
    """A new policy for one function, as `spec` names it.

    Args:
        spec: Which, and its parameters.
        settings: The function's options; its largest batch is Knative's target where the spec gives none.
    """
    match spec:
        case SLOScaling():
            return SLOScalingPolicy()
        case ConcurrencyScaling():
            return ConcurrencyPolicy(spec, settings.largest_batch)
        case OngoingScaling():
            return OngoingPolicy(spec)
        case UtilizationScaling():
            return UtilizationPolicy(spec)
        case RPSScaling():
            return RPSPolicy(spec)
        case FixedReplicas():
            return FixedPolicy(spec)

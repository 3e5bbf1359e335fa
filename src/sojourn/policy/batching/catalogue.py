"""From a batching spec in a function's options to the policy that carries it out."""

from __future__ import annotations

from sojourn.domain.policy import (
    AIMD,
    BatchingSpec,
    Consolidate,
    Fixed,
    LatencyBatching,
    MLProxy,
    Need,
    NoBatching,
    SLOBatching,
    Window,
)
from sojourn.policy.batching.aimd import AIMDPolicy, BatchCap
from sojourn.policy.batching.consolidate import ConsolidatePolicy
from sojourn.policy.batching.mlproxy import MLProxyPolicy
from sojourn.policy.batching.need import NeedPolicy
from sojourn.policy.batching.port import BatchingPolicy
from sojourn.policy.batching.simple import FixedPolicy, LatencyPolicy, NonePolicy
from sojourn.policy.batching.slo import SLOPolicy
from sojourn.policy.batching.window import WindowPolicy


def batching_policy(spec: BatchingSpec) -> BatchingPolicy:  # noqa: PLR0911 - one line per policy
    """The policy that `spec` names, with its parameters."""
    match spec:
        case SLOBatching():
            return SLOPolicy()
        case Need():
            return NeedPolicy()
        case LatencyBatching():
            return LatencyPolicy()
        case NoBatching():
            return NonePolicy()
        case Fixed(size=size, wait_s=wait_s):
            return FixedPolicy(size, wait_s)
        case Window(size=size):
            return WindowPolicy(size)
        case Consolidate(guard_s=guard_s):
            return ConsolidatePolicy(guard_s)
        case AIMD(increase=increase, decrease=decrease, target=target):
            return AIMDPolicy(BatchCap(increase, decrease), target)
        case MLProxy(increase=increase, decrease=decrease, target=target, guard_s=guard_s):
            return MLProxyPolicy(BatchCap(increase, decrease), target, guard_s)

"""From a keep-alive spec in a function's options to the policy that carries it out."""

from __future__ import annotations

from sojourn.domain.policy import AdaptiveKeepAlive, FixedKeepAlive, KeepAliveSpec
from sojourn.policy.keepalive.adaptive import AdaptiveKeepAlivePolicy
from sojourn.policy.keepalive.fixed import FixedKeepAlivePolicy
from sojourn.policy.keepalive.port import KeepAlivePolicy


def keepalive_policy(spec: KeepAliveSpec) -> KeepAlivePolicy:
    """A new policy for one function, as `spec` names it."""
    match spec:
        case AdaptiveKeepAlive():
            return AdaptiveKeepAlivePolicy()
        case FixedKeepAlive():
            return FixedKeepAlivePolicy(spec)

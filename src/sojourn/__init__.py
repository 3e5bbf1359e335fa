"""Sojourn: state a latency objective; the server forms batches that hold it and measures whether it was held."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sojourn.client.asynchronous import AsyncClient
    from sojourn.client.blocking import Client
    from sojourn.client.retry import RetryPolicy
    from sojourn.declare import ItemError, function
    from sojourn.domain.objective import SLO
    from sojourn.domain.policy import (
        AIMD,
        AdaptiveKeepAlive,
        ConcurrencyScaling,
        Consolidate,
        Fixed,
        FixedKeepAlive,
        FixedReplicas,
        LatencyBatching,
        MLProxy,
        Need,
        NoBatching,
        OngoingScaling,
        RPSScaling,
        SLOBatching,
        SLOScaling,
        UtilizationScaling,
        Window,
    )

__version__ = "0.1.0"

_HOME = {
    "function": "sojourn.declare",
    "ItemError": "sojourn.declare",
    "Client": "sojourn.client.blocking",
    "AsyncClient": "sojourn.client.asynchronous",
    "RetryPolicy": "sojourn.client.retry",
    "SLO": "sojourn.domain.objective",
    "SLOBatching": "sojourn.domain.policy",
    "LatencyBatching": "sojourn.domain.policy",
    "NoBatching": "sojourn.domain.policy",
    "Fixed": "sojourn.domain.policy",
    "Window": "sojourn.domain.policy",
    "Consolidate": "sojourn.domain.policy",
    "AIMD": "sojourn.domain.policy",
    "MLProxy": "sojourn.domain.policy",
    "Need": "sojourn.domain.policy",
    "AdaptiveKeepAlive": "sojourn.domain.policy",
    "ConcurrencyScaling": "sojourn.domain.policy",
    "FixedKeepAlive": "sojourn.domain.policy",
    "FixedReplicas": "sojourn.domain.policy",
    "OngoingScaling": "sojourn.domain.policy",
    "RPSScaling": "sojourn.domain.policy",
    "SLOScaling": "sojourn.domain.policy",
    "UtilizationScaling": "sojourn.domain.policy",
}
__all__ = [
    "AIMD",
    "SLO",
    "AdaptiveKeepAlive",
    "AsyncClient",
    "Client",
    "ConcurrencyScaling",
    "Consolidate",
    "Fixed",
    "FixedKeepAlive",
    "FixedReplicas",
    "ItemError",
    "LatencyBatching",
    "MLProxy",
    "Need",
    "NoBatching",
    "OngoingScaling",
    "RPSScaling",
    "RetryPolicy",
    "SLOBatching",
    "SLOScaling",
    "UtilizationScaling",
    "Window",
    "__version__",
    "function",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:  # a replica must not pay for what it does not use (PEP 562)
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'sojourn' has no attribute {name!r}")

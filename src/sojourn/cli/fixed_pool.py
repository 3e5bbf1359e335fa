"""A fixed number of replicas that somebody asks for is what is simulated, whatever the function declares as its most."""

from __future__ import annotations

import msgspec

from sojourn.domain.function import FunctionSettings
from sojourn.domain.policy import FixedReplicas


def with_room(settings: FunctionSettings) -> FunctionSettings:
    """The same with a ceiling not below the fixed number of replicas that it asks for."""
    scaling = settings.scaling
    if not isinstance(scaling, FixedReplicas) or settings.max_replicas is None:
        return settings
    return msgspec.structs.replace(settings, max_replicas=max(settings.max_replicas, scaling.replicas))

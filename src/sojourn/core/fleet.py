"""What the controller knows of replicas: each with its state, each function with its failures."""

from __future__ import annotations

import msgspec

from sojourn.domain.function import FunctionSettings
from sojourn.domain.replica import ReplicaSignal, ReplicaState, next_state


class Member(msgspec.Struct):
    """One replica from the decision to start it until its process is gone."""

    replica_id: int
    function: str
    started_at_s: float
    state: ReplicaState = ReplicaState.STARTING
    ready_at_s: float | None = None
    is_leased: bool = False

    def signal(self, signal: ReplicaSignal) -> None:
        """Move on in the life cycle."""
        self.state = next_state(self.state, signal)


class Deployment(msgspec.Struct):
    """One function the controller keeps alive.

    `start_at_s` lists when replacements may be started; `failures` counts fast failures in a row.
    """

    settings: FunctionSettings
    start_at_s: list[float] = []
    failures: int = 0
    is_suspended: bool = False
    is_removed: bool = False
    replica_seconds_ended: float = 0.0
    last_cause: str = ""

"""The life cycle of a replica, as a table."""

from __future__ import annotations

from enum import StrEnum


class ReplicaState(StrEnum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


class ReplicaSignal(StrEnum):
    """What can happen to a replica."""

    BECAME_READY = "became_ready"
    WAS_TOLD_TO_DRAIN = "was_told_to_drain"
    EXITED = "exited"


# State and signal -> next state. What is not listed here cannot happen.
TRANSITIONS: dict[tuple[ReplicaState, ReplicaSignal], ReplicaState] = {
    (ReplicaState.STARTING, ReplicaSignal.BECAME_READY): ReplicaState.READY,
    (ReplicaState.STARTING, ReplicaSignal.WAS_TOLD_TO_DRAIN): ReplicaState.DRAINING,
    (ReplicaState.STARTING, ReplicaSignal.EXITED): ReplicaState.STOPPED,
    (ReplicaState.READY, ReplicaSignal.WAS_TOLD_TO_DRAIN): ReplicaState.DRAINING,
    (ReplicaState.READY, ReplicaSignal.EXITED): ReplicaState.STOPPED,
    (ReplicaState.DRAINING, ReplicaSignal.BECAME_READY): ReplicaState.DRAINING,
    (ReplicaState.DRAINING, ReplicaSignal.EXITED): ReplicaState.STOPPED,
}


def next_state(state: ReplicaState, signal: ReplicaSignal) -> ReplicaState:
    """The state after `signal`.

    Raises:
        KeyError: The table has no such transition; the caller has a fault.
    """
    return TRANSITIONS[state, signal]

"""Orders the core gives, in the imperative, in the order to be done."""

from __future__ import annotations

import msgspec

from sojourn.domain.request import Fault, Outcome
from sojourn.domain.scaling import ScalingDecision


class DispatchBatch(msgspec.Struct, frozen=True, gc=False):
    """Send these requests to a replica as one model call."""

    replica_id: int
    batch_id: int
    request_ids: list[int]


class CancelBatch(msgspec.Struct, frozen=True, gc=False):
    """Nobody waits for this batch any more; a replica that can stop it may do so."""

    replica_id: int
    batch_id: int


class Finish(msgspec.Struct, frozen=True, gc=False):
    """End a request with its one outcome.

    `position` is the item's place in the batch just completed, or -1 if it was in none.
    `queue_wait_s` and `latency_s` count from arrival; `retry_after_s` is for refusals. Of the wait, `cold_wait_s` passed
    without any replica, and `retry_s` in runs that came to nothing; `losses` replicas died with it. Of the cold wait,
    `loss_wait_s` passed because the last replica had died.
    """

    request_id: int
    outcome: Outcome
    fault: Fault | None = None
    position: int = -1
    queue_wait_s: float = 0.0
    latency_s: float = 0.0
    cold_wait_s: float = 0.0
    retry_s: float = 0.0
    losses: int = 0
    retry_after_s: float = 0.0
    loss_wait_s: float = 0.0


class ReturnLease(msgspec.Struct, frozen=True, gc=False):
    """A revoked replica is empty: tell the controller."""

    replica_id: int


class SuspectReplica(msgspec.Struct, frozen=True, gc=False):
    """Tell the controller that a replica is not well.

    `is_hung`: it was silent for too long and holds nothing of ours any more; else it is much slower
    than the others, finishes what it has, and gets no new work.
    """

    replica_id: int
    cause: str
    is_hung: bool


DispatcherAction = DispatchBatch | CancelBatch | Finish | ReturnLease | SuspectReplica


class StartReplica(msgspec.Struct, frozen=True, gc=False):
    """Start a process for a function; `gpus` are the numbers of the accelerators it may see.

    Here and below `function` is what its deployment is called by: the key of `FunctionDeployed`.
    """

    function: str
    replica_id: int
    gpus: tuple[int, ...] = ()


class LeaseReplica(msgspec.Struct, frozen=True, gc=False):
    """Hand a ready replica to the function's dispatcher."""

    function: str
    replica_id: int


class DrainReplica(msgspec.Struct, frozen=True, gc=False):
    """Take a replica back from the function's dispatcher once it is empty."""

    function: str
    replica_id: int


class StopReplica(msgspec.Struct, frozen=True, gc=False):
    """End a replica's process."""

    function: str
    replica_id: int


class RecordScaling(msgspec.Struct, frozen=True, gc=False):
    """Tell people of a decision."""

    function: str
    decision: ScalingDecision


class SuspendStarts(msgspec.Struct, frozen=True, gc=False):
    """Tell the function's dispatcher that no replica can be had, and why."""

    function: str
    cause: str


class ResumeStarts(msgspec.Struct, frozen=True, gc=False):
    """Tell the function's dispatcher that replicas are being started again."""

    function: str


ControllerAction = (
    StartReplica | LeaseReplica | DrainReplica | StopReplica | RecordScaling | SuspendStarts | ResumeStarts
)

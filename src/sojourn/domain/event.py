"""Facts the core is told, in the past tense. Their instant is the `now_s` of the step."""

from __future__ import annotations

import msgspec

from sojourn.domain.demand import DemandReport
from sojourn.domain.function import FunctionSettings
from sojourn.domain.request import Fault, Priority


class RequestArrived(msgspec.Struct, frozen=True, gc=False):
    """The last byte of a request's body was received.

    `client_timeout_s` is what the client asked for, in seconds, or None.
    """

    request_id: int
    body_bytes: int = 0
    priority: int = Priority.DEFAULT
    client_timeout_s: float | None = None


class RequestAnnounced(msgspec.Struct, frozen=True, gc=False):
    """The headers of a request were received, its body was not.

    If it is refused, it ends here. If not, nothing is kept of it: `RequestArrived` follows with its body.
    """

    request_id: int
    body_bytes: int = 0
    priority: int = Priority.DEFAULT
    client_timeout_s: float | None = None


class ClientGone(msgspec.Struct, frozen=True, gc=False):
    """The client of a request went away before its answer."""

    request_id: int


class ReplicaLeased(msgspec.Struct, frozen=True, gc=False):
    """The controller gave a ready replica to this function; it takes `slots` batches at once."""

    replica_id: int
    slots: int = 1


class ReplicaRevoked(msgspec.Struct, frozen=True, gc=False):
    """The controller takes a replica back: it finishes what it has and gets no new work."""

    replica_id: int


class ReplicaLost(msgspec.Struct, frozen=True, gc=False):
    """A replica's link closed; whatever it held will not come back."""

    replica_id: int


class BatchCompleted(msgspec.Struct, frozen=True, gc=False):
    """A replica answered a batch.

    `faults` lists (position in the batch, fault) of the items that were not served, by position. `own_s` is how long the
    replica had it by its own clock, in seconds; 0 if that is unknown.
    """

    replica_id: int
    batch_id: int
    faults: tuple[tuple[int, Fault], ...] = ()
    own_s: float = 0.0


class StartsSuspended(msgspec.Struct, frozen=True, gc=False):
    """No replica can be had for now: waiters are told at once instead of at their give-up time."""


class StartsResumed(msgspec.Struct, frozen=True, gc=False):
    """Replicas are being started again."""


class DrainBegan(msgspec.Struct, frozen=True, gc=False):
    """The server is shutting down: queued work is finished, new requests are refused."""


class DrainEnded(msgspec.Struct, frozen=True, gc=False):
    """The server stops now: whoever still waits is told so."""


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Nothing but time has passed."""


DispatcherEvent = (
    RequestArrived
    | RequestAnnounced
    | ClientGone
    | ReplicaLeased
    | ReplicaRevoked
    | ReplicaLost
    | BatchCompleted
    | StartsSuspended
    | StartsResumed
    | DrainBegan
    | DrainEnded
    | Tick
)


class FunctionDeployed(msgspec.Struct, frozen=True, gc=False):
    """A function is to be kept alive from now on.

    `key` is what actions, reports and other events call it by: `name@revision` where several revisions of a function
    run side by side, or empty for the plain name. `is_candidate`: others of the same name have its traffic for now.
    `is_proven`: it has run before, so that no first replica need show whether it loads.
    """

    settings: FunctionSettings
    key: str = ""
    is_candidate: bool = False
    is_proven: bool = False


class FunctionPromoted(msgspec.Struct, frozen=True, gc=False):
    """This deployment is the one that its function's name means from now on; others of the same name are not."""

    function: str


class FunctionRemoved(msgspec.Struct, frozen=True, gc=False):
    """A deployment is no longer wanted; its replicas drain."""

    function: str


class ReplicaReady(msgspec.Struct, frozen=True, gc=False):
    """A replica has loaded its model and takes work."""

    replica_id: int


class LeaseReturned(msgspec.Struct, frozen=True, gc=False):
    """The dispatcher has nothing left in a revoked replica."""

    replica_id: int


class ReplicaExited(msgspec.Struct, frozen=True, gc=False):
    """A replica's process ended; `cause` is one line for people."""

    replica_id: int
    cause: str = ""


class ReplicaSuspected(msgspec.Struct, frozen=True, gc=False):
    """A dispatcher found a replica hung (`is_hung`: it holds nothing of ours any more) or much too slow."""

    replica_id: int
    cause: str
    is_hung: bool


class DemandReported(msgspec.Struct, frozen=True, gc=False):
    """A dispatcher told of its function's demand."""

    report: DemandReport


class ScaleRequested(msgspec.Struct, frozen=True, gc=False):
    """An operator set the floor or the ceiling of a function's replicas; None leaves one as it is."""

    function: str
    min_replicas: int | None = None
    max_replicas: int | None = None


class ReplicasReserved(msgspec.Struct, frozen=True, gc=False):
    """A rollout wants so many replicas of a deployment until that is the only one of its function."""

    function: str
    replicas: int


ControllerEvent = (
    FunctionDeployed
    | FunctionPromoted
    | FunctionRemoved
    | DemandReported
    | ScaleRequested
    | ReplicasReserved
    | ReplicaReady
    | LeaseReturned
    | ReplicaSuspected
    | ReplicaExited
    | Tick
)

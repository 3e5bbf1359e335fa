"""What the runtime needs from the edges, as protocols: a caller to answer, a launcher of replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sojourn.domain.action import SuspectReplica
from sojourn.domain.demand import DemandReport
from sojourn.domain.function import FunctionManifest
from sojourn.domain.request import Fault
from sojourn.domain.trace_context import TraceContext
from sojourn.wire.message import ContentKind
from sojourn.wire.spec import ReplicaSpec

__all__ = ["Caller", "Launcher", "ReplicaSpec", "ServiceOwner"]


class Caller(Protocol):
    """Whoever waits for the answer of one request; `answer` or `refuse` is called, once."""

    @property
    def trace(self) -> TraceContext | None:
        """Its place in the client's trace; None if the client told none."""

    def name(self) -> str:
        """The request id the client is told, also once it has been; empty if the client went away unnamed."""

    def outbox(self) -> Callable[[], bool] | None:
        """To be asked for before it is answered: tells afterwards whether bytes of the answer are still to be sent."""

    def answer(self, body: bytes, kind: ContentKind, timing: bytes) -> None:
        """Hand over the result; `timing` is the value of a Server-Timing header."""

    def refuse(self, fault: Fault, message: str, status: int, retry_after_s: float, timing: bytes = b"") -> None:
        """Tell why there is no result; `status` 0 means the HTTP status that belongs to `fault`, `timing` as above."""


class ServiceOwner(Protocol):
    """Who runs a function's service and its replicas."""

    def lease_returned(self, replica_id: int) -> None:
        """A replica that was taken back is empty."""

    def demand_reported(self, report: DemandReport) -> None:
        """What the function's dispatcher tells of its demand."""

    def replica_suspected(self, suspect: SuspectReplica) -> None:
        """A replica is not well."""

    def objective_infeasible(self, function: str, why: str) -> None:
        """Enough was measured to say that the objective cannot be met."""

    def cause_of(self, function: str) -> str:
        """Why no replica of the function can be had; empty if one can."""


class Launcher(Protocol):
    """Starts and ends replica processes; the replica itself dials in."""

    def start(self, spec: ReplicaSpec, on_exit: Callable[[int, str], None]) -> None:
        """Start a process for `spec`; `on_exit(replica_id, cause)` is called once on the loop when it ended."""

    def stop(self, replica_id: int, grace_s: float) -> None:
        """Ask the process to end; after `grace_s` seconds it is killed."""

    def memory_bytes(self, replica_id: int) -> int | None:
        """Memory a replica takes, in bytes; None if unknown. May take a while, and is called from any thread."""

    def forget(self, manifest: FunctionManifest) -> None:
        """A revision that has no replicas any more will not come back soon: keep nothing for it."""

    async def close(self) -> None:
        """Kill whatever is left and wait until all processes are gone."""

"""What the admin port needs of the running server, as protocols: a view of it, and what may be asked of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from sojourn.domain.deployment_status import DeployAsked, Deployed, RevisionTold, RolloutTold
from sojourn.slo.status import SLOHistory, SLOStatus
from sojourn.telemetry.journal import Entry
from sojourn.telemetry.journal_file import JournalHead
from sojourn.telemetry.request_trace import RequestTrace, TraceKind, TraceSummary
from sojourn.telemetry.status import FunctionDetail, FunctionSnapshot, FunctionStatus


class Overview(Protocol):
    """A view of all functions; every method is quick, is called on the server's loop and changes nothing."""

    def functions(self) -> list[FunctionStatus]:
        """One row per function, in order of their names."""

    def function(self, name: str) -> FunctionDetail | None:
        """All there is to show of one function, or None if there is no such function."""

    def with_memory(self, detail: FunctionDetail) -> FunctionDetail:
        """The same with the memory of each replica. The exception: it takes a while, and is called off the loop."""

    def snapshots(self) -> list[FunctionSnapshot]:
        """Counters and gauges of every function now."""

    def output(self, name: str, lines: int) -> list[str] | None:
        """The last `lines` lines a function's replicas wrote, oldest first; None for an unknown function."""


class Insight(Protocol):
    """Answers about objectives and single requests; called on the server's loop."""

    async def slo(self, function: str) -> SLOStatus | None:
        """How a function's objective stands; None for an unknown function."""

    async def slo_history(self, function: str, window_s: float | None) -> SLOHistory | None:
        """What happened over the last `window_s` seconds, or (None) over what is known of the objective's window."""

    def journal(self, function: str) -> tuple[JournalHead, list[Entry]] | None:
        """The last steps of a function's dispatcher, oldest first; None for an unknown function."""

    def request(self, request_id: str) -> RequestTrace | None:
        """All there is to tell of a request; None if it was not kept, or has gone."""

    def requests(self, function: str | None, kind: TraceKind | None, limit: int) -> list[TraceSummary]:
        """The last `limit` requests that were kept, the latest first."""


class Deployments(Protocol):
    """What is deployed, and its changes; called on the server's loop.

    All may raise `UnknownFunctionError`, `DeploymentError` (it cannot be done as things stand) and `StateError` (it
    cannot be kept); nothing has changed then.
    """

    async def deploy(self, upload: AsyncIterator[bytes], asked: DeployAsked) -> list[Deployed]:
        """Take an archive in and begin to roll its functions out; what is returned is kept.

        Raises:
            TargetError: It cannot be imported.
        """

    async def rollback(self, function: str, revision: str | None = None) -> RolloutTold:
        """Give the traffic back to an earlier revision, or to the one before."""

    async def promote(self, function: str) -> RolloutTold:
        """Give the revision that is on its way all the traffic."""

    async def delete(self, function: str) -> None:
        """Take a function and its history away."""

    def rollout(self, function: str) -> RolloutTold:
        """How far the latest change has come."""

    async def revisions(self, function: str) -> list[RevisionTold]:
        """All that is kept of a function, the latest first."""


class Operations(Protocol):
    """What operators may change; every method is quick and is called on the server's loop."""

    def scale(self, function: str, min_replicas: int | None = None, max_replicas: int | None = None) -> None:
        """Change the floor, the ceiling or both of a function's replicas; None leaves one as it is.

        Raises:
            UnknownFunctionError: No such function is deployed.
            ConfigurationError: These limits cannot be; nothing changes.
            StateError: They cannot be kept; nothing changes.
        """

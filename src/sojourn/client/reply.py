"""What a client gives back: the reply to a call, and how deployments went."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from sojourn.domain.deployment_status import Deployed, RevisionTold, RolloutTold

T = TypeVar("T")


class Reply(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """The result of one call, and how it came about.

    Args:
        result: What the function gave.
        status: HTTP status.
        request_id: What the request is called in the server's traces: `sojourn trace REQUEST_ID`.
        phases_s: Where the time in the server went, in seconds by phase, in their order: admission, queue, service, ...
        batch_size: Requests that shared the call of the function; None if the server did not say.
        attempts: How often the request was sent.
        latency_s: From the call to its result, waits between attempts included, in seconds.
    """

    result: T
    status: int
    request_id: str
    phases_s: dict[str, float]
    batch_size: int | None
    attempts: int
    latency_s: float


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What a deploy made.

    Args:
        functions: Each function of the bundle with its revision.
        rollouts: By function, how it went; empty if nobody waited for it.
    """

    functions: list[Deployed]
    rollouts: dict[str, RolloutTold] = {}


class FunctionList(msgspec.Struct, frozen=True):
    """What the API tells of all functions, one row each."""

    functions: list[dict[str, Any]]


class RevisionList(msgspec.Struct, frozen=True):
    """What the API tells of a function's revisions, the latest first."""

    revisions: list[RevisionTold]

"""What a client gives back: the reply to a call, and how deployments went."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

WARMING, SHIFTING, LIVE, ROLLED_BACK, FAILED = "warming", "shifting", "live", "rolled_back", "failed"
_ENDED: Final = frozenset({LIVE, ROLLED_BACK, FAILED})


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


class DeployedFunction(msgspec.Struct, frozen=True, kw_only=True):
    """One function of a deployment.

    Args:
        function: Its name.
        revision: Its revision, twelve hex digits.
        created: Whether this revision is new; the same code and settings are the same revision.
    """

    function: str
    revision: str
    created: bool = True


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How a revision takes over from the one before it.

    Args:
        state: `"warming"`, `"shifting"`, `"live"`, `"rolled_back"` or `"failed"`.
        revision: Which revision.
        share: Its share of the traffic, in [0, 1].
        evidence: What was measured of both, if it was a canary.
        cause: Why it did not go live, in words.
        function: Of which function; empty if the server did not say.
    """

    state: str
    revision: str = ""
    share: float | None = None
    evidence: Any = None
    cause: str | None = None
    function: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is still to come."""
        return self.state in _ENDED


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What a deploy made.

    Args:
        functions: Each function of the bundle with its revision.
        rollouts: By function, how it went; empty if nobody waited for it.
    """

    functions: list[DeployedFunction]
    rollouts: dict[str, Rollout] = {}

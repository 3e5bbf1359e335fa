"""What a caller is told when the core ended its request: what happened, where, and how to fix it."""

from __future__ import annotations

from sojourn.domain.function import FunctionSettings
from sojourn.domain.request import Fault

_TEXTS: dict[Fault, str] = {
    Fault.TIMEOUT: (
        "function {name!r} did not answer within {latency_s:.3g} s; the limit is the smaller of its "
        "timeout_s ({timeout_s:g} s) and the header x-request-timeout-seconds"
    ),
    Fault.QUEUE_FULL: (
        "the queue of function {name!r} is full; come back after Retry-After seconds "
        "(server settings queue_requests and queue_bytes)"
    ),
    Fault.OVERLOADED: (
        "function {name!r} is overloaded: this request could not have been served in time; "
        "come back after Retry-After seconds, or give the function more replicas"
    ),
    Fault.POISONED: (
        "every replica of function {name!r} that ran this input died; it is not run again for ten minutes. "
        "The function's log shows how they died"
    ),
    Fault.UNAVAILABLE: "no replica of function {name!r} can be started: {cause}; its log tells more",
    Fault.SHUTTING_DOWN: "the server is shutting down; send the request again, it will reach the next one",
    Fault.REPLICA_LOST: (
        "a replica of function {name!r} died while it had this request, and it may not run again "
        "(retry=False, its time is over, or too many were lost just now); the function's log tells more"
    ),
}


def explain(fault: Fault, settings: FunctionSettings, *, latency_s: float = 0.0, cause: str = "") -> str:
    """One sentence or two for the answer of a request that was not served.

    Args:
        fault: Why it was not.
        settings: The function's options.
        latency_s: How long it was here, in seconds.
        cause: Why no replica can be had, if that is so.
    """
    text = _TEXTS.get(fault, "function {name!r} could not serve this request: {fault}")
    return text.format(
        name=settings.name,
        fault=fault,
        latency_s=latency_s,
        timeout_s=settings.effective_timeout_s,
        cause=cause or "it keeps failing",
    )


def retired_text(function: str, revision: str) -> str:
    """What those are told whose revision has no more time to finish their requests."""
    return (
        f"revision {revision} of function {function!r} is being taken out of service; send the request again, "
        "it will reach what has taken its place"
    )

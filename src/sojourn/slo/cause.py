"""What a request that spent error budget owes it to: the one cause of each, decided by arithmetic."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from sojourn.domain.request import Fault


class Cause(StrEnum):
    """What spent error budget. Each bad request has exactly one."""

    COLD_START = "cold_start"  # it waited for a replica to start
    QUEUEING = "queueing"  # it waited for a busy replica, or for its batch
    SERVICE_TIME = "service_time"  # its call took longer than such calls usually take, or than the objective allows
    REFUSED = "refused"  # it could not have been served in time, or a bound of the queue was reached
    UNAVAILABLE = "unavailable"  # no replica could be started
    FUNCTION_ERROR = "function_error"  # the function raised or returned what cannot be used
    REPLICA_LOSS = "replica_loss"  # a replica died with it


CAUSES: Final = tuple(Cause)
PLACE_OF_CAUSE: Final = {cause: place for place, cause in enumerate(CAUSES)}

CAUSE_OF_FAULT: Final[dict[Fault, Cause]] = {
    Fault.FUNCTION_RAISED: Cause.FUNCTION_ERROR,
    Fault.BAD_RESULT: Cause.FUNCTION_ERROR,
    Fault.ITEM_ERROR: Cause.FUNCTION_ERROR,
    Fault.QUEUE_FULL: Cause.REFUSED,
    Fault.OVERLOADED: Cause.REFUSED,
    Fault.SHUTTING_DOWN: Cause.REFUSED,
    Fault.UNAVAILABLE: Cause.UNAVAILABLE,
    Fault.REPLICA_LOST: Cause.REPLICA_LOSS,
}

# Sentences for people: "62 % of bad requests waited for a cold start".
WORDS_OF_CAUSE: Final[dict[Cause, str]] = {
    Cause.COLD_START: "waited for a cold start",
    Cause.QUEUEING: "waited too long in the queue",
    Cause.SERVICE_TIME: "took longer in the model than expected",
    Cause.REFUSED: "were refused because they could not be served in time",
    Cause.UNAVAILABLE: "were refused because no replica could be started",
    Cause.FUNCTION_ERROR: "failed in the function",
    Cause.REPLICA_LOSS: "were in a replica that was lost",
}


class Delays(msgspec.Struct, frozen=True, gc=False):
    """Where the time of a late request went, in seconds, each >= 0.

    Args:
        cold_wait_s: While no replica was ready.
        queue_s: In the queue while one was.
        retry_s: In runs that came to nothing: their replica died, or the call raised and was split.
        service_s: In its last run, from dispatch to the answer or to the end of waiting for it.
        expected_s: What such a run was expected to take; 0 if nothing was known.
        losses: Replicas that died with it.
    """

    cold_wait_s: float = 0.0
    queue_s: float = 0.0
    retry_s: float = 0.0
    service_s: float = 0.0
    expected_s: float = 0.0
    losses: int = 0


def cause_of_delay(delays: Delays) -> Cause:
    """The cause of a request that was late or gave up waiting: the largest of its delays.

    Of its run only what went beyond the expected counts. If removing one delay alone would have made the
    request good, then removing the largest would have: so this is the cause without which it would
    have been good, wherever there is a single one. Ties go to the earlier in the life of a request.
    If nothing delayed it, the function itself is slower than its objective.
    """
    retried = Cause.REPLICA_LOSS if delays.losses else Cause.FUNCTION_ERROR
    candidates = (
        (delays.cold_wait_s, Cause.COLD_START),
        (delays.queue_s, Cause.QUEUEING),
        (delays.retry_s, retried),
        (delays.service_s - delays.expected_s, Cause.SERVICE_TIME),
    )
    largest_s, cause = max(candidates, key=lambda candidate: candidate[0])
    return cause if largest_s > 0 else Cause.SERVICE_TIME

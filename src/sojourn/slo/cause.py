"""What a request that spent error budget owes it to: the one cause of each, decided by arithmetic."""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import Final

import msgspec

from sojourn.domain.action import Finish
from sojourn.domain.request import Fault


class Cause(StrEnum):
    """What spent error budget. Each bad request has exactly one.

    Packed counts are in this order: a new cause goes to the end.
    """

    COLD_START = "cold_start"  # it waited for a replica to start
    QUEUEING = "queueing"  # it waited for a busy replica, or for its batch
    SERVICE_TIME = "service_time"  # its call took longer than such calls usually take, or than the objective allows
    REFUSED = "refused"  # it could not have been served in time, or a bound of the queue was reached
    UNAVAILABLE = "unavailable"  # no replica could be started
    FUNCTION_ERROR = "function_error"  # the function raised or returned what cannot be used
    REPLICA_LOSS = "replica_loss"  # a replica died: with it, or as the last one, so that it waited for another
    OVERHEAD = "overhead"  # the way to the replica and back took longer than its call, and too long


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
    Cause.SERVICE_TIME: "took too long in the model",
    Cause.REFUSED: "were refused because they could not be served in time",
    Cause.UNAVAILABLE: "were refused because no replica could be started",
    Cause.FUNCTION_ERROR: "failed in the function",
    Cause.REPLICA_LOSS: "were lost with a replica or waited for another in its place",
    Cause.OVERHEAD: "lost their time between server and replica",
}
# Of SERVICE_TIME where one item alone is known to take too long.
WORDS_OF_INFEASIBLE: Final = "take longer in the model than the objective allows"


class RunTimes(msgspec.Struct, frozen=True, gc=False):
    """What is known of the time of a bad request beside what its `Finish` tells, in seconds.

    Args:
        latency_s: From its arrival to its end, handing over the answer included, >= 0.
        objective_s: What was promised; infinite if nothing was.
        expected_s: What its last run, from dispatch to answer, was expected to take; of a request that never
            ran, what a run would take. 0 if nothing is known.
        model_s: The model's own part of its last run; None if that gave no answer.
    """

    latency_s: float
    objective_s: float = inf
    expected_s: float = 0.0
    model_s: float | None = None


def cause_of_finish(finish: Finish, times: RunTimes) -> Cause:
    """The cause of a request that counts as bad.

    Failures and refusals have theirs by their fault. Of a request that came too late, or was given up waiting for:

    - If its run alone took longer than the objective allows, no wait decided: the run is the cause. So it is, too, if it
      got no answer and its run was expected to take that long.
    - Else the largest of its delays: waiting for a start, in the queue, in runs that came to nothing, waiting in place
      of a lost replica, and what its run took beyond the expected. If taking one delay away would have
      made it good, then taking away the largest would have. Ties go to the earlier in the life of a request.

    The run is the model's (`SERVICE_TIME`) unless the way to it and back took longer than the model, and the
    objective would have been met without it (`OVERHEAD`).

    Args:
        finish: How it ended.
        times: What else is known of its time.
    """
    if finish.fault in CAUSE_OF_FAULT:
        return CAUSE_OF_FAULT[finish.fault]
    run_s = max(times.latency_s - finish.queue_wait_s, 0.0)
    of_run = _cause_of_run(run_s, times)
    if max(run_s, times.expected_s if times.model_s is None else 0.0) > times.objective_s:
        return of_run
    lost_s = finish.loss_wait_s + (finish.retry_s if finish.losses else 0.0)
    candidates = (
        (finish.cold_wait_s - finish.loss_wait_s, Cause.COLD_START),
        (finish.queue_wait_s - finish.cold_wait_s - finish.retry_s, Cause.QUEUEING),
        (lost_s, Cause.REPLICA_LOSS),
        (0.0 if finish.losses else finish.retry_s, Cause.FUNCTION_ERROR),
        (run_s - times.expected_s, of_run),
    )
    largest_s, cause = max(candidates, key=lambda candidate: candidate[0])
    return cause if largest_s > 0 else of_run


def _cause_of_run(run_s: float, times: RunTimes) -> Cause:
    if times.model_s is None:
        return Cause.SERVICE_TIME
    is_way = run_s - times.model_s > times.model_s and times.model_s <= times.objective_s
    return Cause.OVERHEAD if is_way else Cause.SERVICE_TIME

"""A request: its times, its priority class and the one outcome it ends with."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec


class Priority(IntEnum):
    """Priority class; a smaller value is served first and refused last."""

    CRITICAL = 0
    DEFAULT = 1
    BEST_EFFORT = 2


class Outcome(StrEnum):
    """How a request ended. Each request that passed routing has exactly one."""

    SERVED = "served"
    FAILED = "failed"
    SHED = "shed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Blame(StrEnum):
    """Whose fault an outcome other than `served` is; client faults do not spend error budget."""

    NOBODY = "nobody"
    CLIENT = "client"
    FUNCTION = "function"
    PLATFORM = "platform"


class Fault(StrEnum):
    """Why a request was not served: the stable `code` of an error answer.

    The HTTP status of each code is one table in `sojourn.gateway.response`.
    """

    # The client's making: outcome `failed`, left out of the objective.
    MALFORMED = "malformed"  # the body is not valid JSON or msgpack
    ITEM_INVALID = "item_invalid"  # well-formed, but not of the function's item type
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    BAD_REQUEST = "bad_request"  # a header or argument that cannot be understood
    TOO_SLOW = "too_slow"  # the body did not arrive within the receipt deadline
    POISONED = "poisoned"  # every replica that ran it died
    # The client went away: outcome `cancelled`.
    CLIENT_GONE = "client_gone"
    # The function's making: outcome `failed`.
    FUNCTION_RAISED = "function_raised"
    BAD_RESULT = "bad_result"  # wrong length, None, or not serialisable
    ITEM_ERROR = "item_error"  # the function returned an ItemError for this item
    # The platform's making.
    QUEUE_FULL = "queue_full"  # shed: a bound of the queue was reached
    OVERLOADED = "overloaded"  # shed: it could not be served in time
    UNAVAILABLE = "unavailable"  # shed: no replica can be started
    SHUTTING_DOWN = "shutting_down"  # shed: the server is draining
    REPLICA_LOST = "replica_lost"  # failed: the replica died with the request in it
    TIMEOUT = "timeout"  # expired: the give-up time passed


_FAILED_BY_CLIENT = (
    Fault.MALFORMED,
    Fault.ITEM_INVALID,
    Fault.BODY_TOO_LARGE,
    Fault.UNSUPPORTED_CONTENT_TYPE,
    Fault.BAD_REQUEST,
    Fault.TOO_SLOW,
    Fault.POISONED,
)
_FAILED_BY_FUNCTION = (Fault.FUNCTION_RAISED, Fault.BAD_RESULT, Fault.ITEM_ERROR)
_SHED = (Fault.QUEUE_FULL, Fault.OVERLOADED, Fault.UNAVAILABLE, Fault.SHUTTING_DOWN)

OUTCOME_OF_FAULT: dict[Fault, Outcome] = {
    **dict.fromkeys(_FAILED_BY_CLIENT, Outcome.FAILED),
    Fault.CLIENT_GONE: Outcome.CANCELLED,
    **dict.fromkeys(_FAILED_BY_FUNCTION, Outcome.FAILED),
    **dict.fromkeys(_SHED, Outcome.SHED),
    Fault.REPLICA_LOST: Outcome.FAILED,
    Fault.TIMEOUT: Outcome.EXPIRED,
}

BLAME_OF_FAULT: dict[Fault, Blame] = {
    **dict.fromkeys(_FAILED_BY_CLIENT, Blame.CLIENT),
    Fault.CLIENT_GONE: Blame.CLIENT,
    **dict.fromkeys(_FAILED_BY_FUNCTION, Blame.FUNCTION),
    **dict.fromkeys(_SHED, Blame.PLATFORM),
    Fault.REPLICA_LOST: Blame.PLATFORM,
    Fault.TIMEOUT: Blame.PLATFORM,
}


class Place(IntEnum):
    """Where in the core a request is."""

    QUEUE = 0
    LATE = 1
    BATCH = 2
    GROUP = 3
    ENDED = 4


class Request(msgspec.Struct, gc=False):
    """One request inside the core, from admission to its outcome.

    `arrival_at_s` is the instant its last byte was received. On-time work aims at `deadline_at_s`;
    after `give_up_at_s` nothing of it may start (`cold_give_up_at_s` while no replica is ready).
    `is_cold`: it has waited for a start. `losses` counts the replicas that died with it, `retry_s` the time it spent in
    runs that came to nothing, `cold_clock_s` and `loss_clock_s` are readings of the function's cold clock at its
    arrival. All instants are monotonic seconds.
    """

    id: int
    arrival_at_s: float
    deadline_at_s: float
    give_up_at_s: float
    cold_give_up_at_s: float
    priority: int
    body_bytes: int
    place: Place = Place.QUEUE
    batch_id: int = 0
    losses: int = 0
    is_cold: bool = False
    cold_clock_s: float = 0.0
    loss_clock_s: float = 0.0
    retry_s: float = 0.0

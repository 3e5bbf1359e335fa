"""Whether a request that was not served counts against the objective: the table of outcomes, as a rule."""

from __future__ import annotations

from sojourn.domain.action import Finish
from sojourn.domain.request import BLAME_OF_FAULT, Blame, Fault

_SERVER_ERROR = 500


def counts_as_bad(finish: Finish, objective_s: float | None, item_status: int = 0) -> bool:
    """Whether it spends error budget; faults of clients and those who left before the deadline do not.

    Args:
        finish: How it ended, with a fault.
        objective_s: The latency objective in seconds, or None.
        item_status: The HTTP status the function gave the item, if its fault is that.

    Source:
        DESIGN 5, the table of outcomes.
    """
    fault = finish.fault
    assert fault is not None, "only served requests end without a fault"
    if fault is Fault.CLIENT_GONE:  # past the deadline it was already late
        return objective_s is not None and finish.latency_s > objective_s
    if fault is Fault.ITEM_ERROR:  # the function's verdict on its input, or on itself
        return item_status >= _SERVER_ERROR
    if fault is Fault.TIMEOUT:  # left out if the client asked for less than the objective
        return objective_s is None or finish.latency_s >= objective_s
    return BLAME_OF_FAULT[fault] is not Blame.CLIENT

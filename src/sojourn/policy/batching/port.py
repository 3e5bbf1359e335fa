"""The question every batching policy answers, what it may look at, and the named answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from sojourn.estimate.service_time import ServiceTimeModel

# A queued request as policies see it: priority class, due instant [s], arrival instant [s], id.
QueueEntry = tuple[int, float, float, int]


class BatchingPolicy(Protocol):
    """Shall a free replica start a batch now, and which?"""

    heeds_deadlines: bool  # whether the queue is ordered by deadline (else by arrival)
    room: int  # while it serves the newest: how many stay queued, the oldest giving way; 0: in the order they came

    def decide(self, view: BatchingView) -> Send | Wait:
        """Answer for one free replica; asked again after every `Send` while another is free.

        Called only when a request is queued, on time or late. `Send` must name at least one.
        """


class ArrivalRate(Protocol):
    """How fast requests arrive, refused ones included."""

    def per_s(self, now_s: float, window_s: float) -> float:
        """Arrivals per second over the last `window_s` seconds, up to 2 s, before `now_s`."""


class BatchingView(msgspec.Struct, gc=False):
    """What a batching policy may look at.

    Args:
        now_s: The instant of the question.
        queue: On-time requests in service order.
        late: Requests past saving, by the instant they give up.
        replicas: Batches that can run at once on all ready replicas, >= 1.
        arrivals: Tells the arrival rate over a window of the policy's choice.
        model: Learnt service times.
        latency_s: The objective's latency, or infinity without an objective.
        largest_batch: Most items of one call.
        is_full: Whether nobody more is let in before a batch has gone, so that nobody is worth waiting for.
    """

    now_s: float
    queue: Sequence[QueueEntry]
    late: Sequence[QueueEntry]
    replicas: int
    arrivals: ArrivalRate
    model: ServiceTimeModel
    latency_s: float
    largest_batch: int
    is_full: bool = False


class Send(msgspec.Struct, frozen=True, gc=False):
    """Set `sacrifice` heads aside into the late lane, leave `skip` queued, send the next `size` and `late` late ones."""

    size: int
    sacrifice: int = 0
    late: int = 0
    skip: int = 0


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Send nothing before `until_s` unless something happens; set `sacrifice` heads aside now.

    Args:
        until_s: When to ask again at the latest [s].
        sacrifice: Heads to set aside.
        until_size: While fewer on-time requests are queued, a further arrival behind the same head is no news: asking
            again can wait for it, or for `until_s`. 0 asks after every arrival.
    """

    until_s: float
    sacrifice: int = 0
    until_size: int = 0

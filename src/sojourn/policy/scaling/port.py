"""The question every scaling policy answers, what it may look at, and its answer."""

from __future__ import annotations

from typing import Protocol

import msgspec

from sojourn.domain.demand import DemandReport, ServiceTimes
from sojourn.estimate.demand import DemandHistory


class ScalingPolicy(Protocol):
    """How many replicas does this function want now? One instance per function; it may remember."""

    def decide(self, view: ScalingView) -> Want:
        """Answer after each demand report (every 0.25 s while there is traffic).

        The controller raises the answer to the function's minimum and cuts it at its maximum and at what the
        pool has. It never takes the last replica away on this answer: that is the keep-alive policy's to say.
        """


class ScalingView(msgspec.Struct):
    """What a scaling policy may look at.

    Args:
        now_s: The instant of the question.
        history: Counts of the last minutes, from the reports.
        report: The latest report.
        service: Service times, or None while nothing is known.
        latency_s: The objective's latency, or infinity without an objective.
        timeout_s: When requests give up, in seconds after arrival.
        ready: Replicas ready and not draining.
        starting: Replicas starting.
        starting_ages_s: How long ago the replicas that are starting were started, in seconds.
        cold_start_s: How long a start takes, from experience; 0 while unknown.
        min_replicas: The function's floor.
        max_replicas: Its ceiling, or what the pool would hold of it alone, >= 1.
    """

    now_s: float
    history: DemandHistory
    report: DemandReport
    service: ServiceTimes | None
    latency_s: float
    timeout_s: float
    ready: int
    starting: int
    cold_start_s: float
    min_replicas: int
    max_replicas: int
    starting_ages_s: tuple[float, ...] = ()


class Want(msgspec.Struct, frozen=True):
    """How many replicas are wanted and why, as the rest of a sentence: "envelope 412/s needs 4.6 replicas"."""

    replicas: int
    why: str
    terms: dict[str, float] = {}

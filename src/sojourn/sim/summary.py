"""A simulated run in numbers; the field names are the JSON keys shared by all commands that report load."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import merge

import msgspec

from sojourn.domain.objective import SLO
from sojourn.domain.request import Outcome
from sojourn.report.statistics import LatencyQuantiles
from sojourn.sim.result import SimulationResult


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one function, or all of a run together, came to.

    Args:
        sent: Requests that arrived after the transient.
        outcomes: Count by outcome, all five present.
        within_slo: Share of `sent` served within the objective; None without an objective.
        good: Requests served within the objective (without one: served).
        goodput_per_s: The same per second.
        latency_s: Of served requests only.
        rate_per_s: Sent per second.
        duration_s: Length of the arrivals that count, in seconds.
        replica_seconds: Replica time from the decision to start until the exit, transient included, in seconds.
        replicas_max: Most replicas at once.
        cold_starts: Replicas started.
        batch_size_mean: Mean size of the batches; None if there was none.
        utilization: Share of the replica time spent on batches, in [0, 1]; None without replicas.
        slo: The objective's text; None without one, or if functions have different ones.
        objective_met: Whether the share within reaches the objective (of all functions, if they are several);
            None if nothing is promised or nothing was sent.
    """

    sent: int
    outcomes: dict[str, int]
    within_slo: float | None
    good: int
    goodput_per_s: float
    latency_s: LatencyQuantiles
    rate_per_s: float
    duration_s: float
    replica_seconds: float
    replicas_max: int
    cold_starts: int
    batch_size_mean: float | None
    utilization: float | None
    slo: str | None
    objective_met: bool | None


def summary_of(result: SimulationResult, slo: SLO | None, duration_s: float) -> RunSummary:
    """Sum up one function.

    Args:
        result: What came of it.
        slo: Its objective.
        duration_s: Length of the arrivals that count, in seconds, > 0.
    """
    within = result.within_share if slo is not None and result.sent else None
    return _summary(
        [result], duration_s, within, slo, None if within is None or slo is None else within >= slo.objective
    )


def sum_of(results: Sequence[SimulationResult], parts: Sequence[RunSummary], duration_s: float) -> RunSummary:
    """Sum up all functions of a run; `parts` are theirs, in the same order."""
    if len(parts) == 1:
        return parts[0]
    sent = sum(part.sent for part in parts if part.within_slo is not None)
    good = sum(part.good for part in parts if part.within_slo is not None)
    verdicts = [part.objective_met for part in parts if part.objective_met is not None]
    met = all(verdicts) if verdicts else None
    return _summary(results, duration_s, good / sent if sent else None, None, met)


def _summary(
    results: Sequence[SimulationResult],
    duration_s: float,
    within: float | None,
    slo: SLO | None,
    met: bool | None,  # noqa: FBT001
) -> RunSummary:
    sent = sum(result.sent for result in results)
    good = sum(result.within_slo for result in results)
    batches = sum(len(result.batch_sizes) for result in results)
    items = sum(sum(result.batch_sizes) for result in results)
    replica_seconds = sum(result.replica_seconds for result in results)
    busy_s = sum(result.busy_s for result in results)
    ordered = list(merge(*(sorted(result.latencies_s) for result in results)))
    return RunSummary(
        sent=sent,
        outcomes={outcome.value: sum(result.outcomes[outcome] for result in results) for outcome in Outcome},
        within_slo=within,
        good=good,
        goodput_per_s=good / duration_s,
        latency_s=LatencyQuantiles.of(ordered),
        rate_per_s=sent / duration_s,
        duration_s=duration_s,
        replica_seconds=replica_seconds,
        replicas_max=results[0].replicas_max if len(results) == 1 else _most_at_once(results),
        cold_starts=sum(result.cold_starts for result in results),
        batch_size_mean=items / batches if batches else None,
        utilization=min(busy_s / replica_seconds, 1.0) if replica_seconds > 0 else None,
        slo=str(slo) if slo is not None else None,
        objective_met=met,
    )


def _most_at_once(results: Sequence[SimulationResult]) -> int:
    """Most living replicas of all functions together."""
    changes = []
    for result in results:
        before = 0
        for at_s, living in result.replicas:
            changes.append((at_s, living - before))
            before = living
    most = living = 0
    for _, change in sorted(changes):
        living += change
        most = max(most, living)
    return most

"""The result of a run: outcomes, attainment, exact quantiles, and whether the run counts at all."""

from __future__ import annotations

import math

import msgspec

from sojourn.domain.objective import SLO
from sojourn.domain.request import Outcome
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.record import OUTCOMES, RequestLog, Trouble
from sojourn.report.statistics import LatencyQuantiles, mean_batch_size, quantile

LATE_S = 0.005  # a send this much after its instant counts as late
LATE_SHARE_MAX = 0.01  # more late sends than this make a run void that they may have decided
LATE_FOR_SURE = 5.0  # times that: the load was not what was asked for, whatever the verdict
_LATE_FEW = 1  # so many late sends say nothing of how a run went


class LatenessQuantiles(msgspec.Struct, frozen=True):
    """How late the generator itself sent, in seconds."""

    p50: float | None
    p99: float | None
    max: float | None


class Failures(msgspec.Struct, frozen=True):
    """What stands behind requests that were not served.

    Args:
        timeouts: The generator waited no longer; part of `failed`.
        connections: Refused, reset or closed early; part of `failed`.
        statuses: Count by HTTP status other than 200.
        first: What the first of them said, or empty.
    """

    timeouts: int
    connections: int
    statuses: dict[str, int]
    first: str


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """A run in numbers; the field names are the JSON keys shared by all commands that report load.

    Args:
        sent: Requests sent.
        outcomes: Count by outcome, all five present.
        within_slo: Share of all sent that were served within the objective; None without an objective.
        goodput_per_s: Requests served within the objective (without one: served) per second.
        latency_s: Of served requests only, from the intended instant.
        rate_per_s: Sent per second.
        duration_s: Length of the arrivals in seconds.
        batch_size_mean: Mean size of the batches, None if the server did not tell.
        lateness_s: The generator's own.
        late_share: Share of sends more than 5 ms late.
        void: The generator could not keep up, so the run says nothing about the server. Late sends make requests
            seem slow, so an objective that was met in spite of them, or missed even without them, stands.
        void_reason: Why, or empty.
        slo: The objective's text, or None.
        objective_met: Whether the share within reaches the objective; None without one, or if void.
        mismatched: 200 answers that failed the caller's check.
        connections_peak: Most connections open at once.
    """

    sent: int
    outcomes: dict[str, int]
    within_slo: float | None
    goodput_per_s: float
    latency_s: LatencyQuantiles
    rate_per_s: float
    duration_s: float
    batch_size_mean: float | None
    lateness_s: LatenessQuantiles
    late_share: float
    void: bool
    void_reason: str
    slo: str | None
    objective_met: bool | None
    mismatched: int
    connections_peak: int
    failures: Failures


def summarize(
    run: LoadRun, *, duration_s: float, slo: SLO | None = None, late_share_max: float = LATE_SHARE_MAX
) -> LoadResult:
    """Sum up a run that has ended.

    Args:
        run: The run.
        duration_s: Length of the arrivals in seconds, > 0.
        slo: What latency is judged by, if anything.
        late_share_max: Share of sends that may leave late, in [0, 1].
    """
    log = run.log
    sent = len(log)
    served = OUTCOMES.index(Outcome.SERVED)
    latencies_s = sorted(
        latency_s for latency_s, outcome in zip(log.latency_s, log.outcome, strict=True) if outcome == served
    )
    good = len(latencies_s) if slo is None else sum(latency_s <= slo.latency_s for latency_s in latencies_s)
    within = None if slo is None or sent == 0 else good / sent
    late_share = share_late(log)
    is_certain = within is not None and slo is not None and _is_certain(log, within, slo)
    reason = _void_reason(run, late_share, late_share_max, is_certain=is_certain)
    return LoadResult(
        sent=sent,
        outcomes={outcome.value: log.outcome.count(code) for code, outcome in enumerate(OUTCOMES)},
        within_slo=within,
        goodput_per_s=good / duration_s,
        latency_s=LatencyQuantiles.of(latencies_s),
        rate_per_s=sent / duration_s,
        duration_s=duration_s,
        batch_size_mean=mean_batch_size(log.batch_size),
        lateness_s=_lateness(log),
        late_share=late_share,
        void=bool(reason),
        void_reason=reason,
        slo=None if slo is None else str(slo),
        objective_met=None if within is None or slo is None or reason else within >= slo.objective,
        mismatched=log.mismatched,
        connections_peak=run.connections_peak,
        failures=Failures(
            timeouts=log.troubles[Trouble.TIMEOUT],
            connections=log.troubles[Trouble.CONNECTION],
            statuses={str(status): count for status, count in sorted(log.statuses.items()) if status != 200},
            first=log.first_failure,
        ),
    )


def share_late(log: RequestLog) -> float:
    """Share of sends that left more than 5 ms after their instant, in [0, 1]."""
    return sum(lateness_s > LATE_S for lateness_s in log.lateness_s) / len(log) if len(log) else 0.0


def _is_certain(log: RequestLog, within: float, slo: SLO) -> bool:
    """Whether the verdict is the same with the generator's own lateness taken out of every latency."""
    if within >= slo.objective:
        return True
    served = OUTCOMES.index(Outcome.SERVED)
    rows = zip(log.latency_s, log.lateness_s, log.outcome, strict=True)
    good = sum(outcome == served and latency_s - lateness_s <= slo.latency_s for latency_s, lateness_s, outcome in rows)
    return good / len(log) < slo.objective


def _lateness(log: RequestLog) -> LatenessQuantiles:
    ordered = sorted(lateness_s for lateness_s in log.lateness_s if not math.isnan(lateness_s))
    return LatenessQuantiles(*(quantile(ordered, share) for share in (0.5, 0.99, 1.0)))


def _void_reason(run: LoadRun, late_share: float, late_share_max: float, *, is_certain: bool) -> str:
    reasons = []
    if run.was_bound_hit:
        reasons.append(
            f"all {run.options.connections_max} connections were taken, so requests waited in the generator "
            "(raise the bound, or send less)"
        )
    if run.shortage:
        reasons.append(f"the generator ran short: {run.shortage} (raise `ulimit -n`, or send less)")
    is_late = late_share > late_share_max * (LATE_FOR_SURE if is_certain else 1.0)
    if is_late and late_share * len(run.log) > _LATE_FEW:
        reasons.append(
            f"{late_share:.1%} of requests left more than {LATE_S * 1000:g} ms late; the generator could not keep up "
            "(send less, or give it a core of its own)"
        )
    return "; ".join(reasons)

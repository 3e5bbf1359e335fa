"""What the admin port shows of a function, as plain data the runtime builds and the API encodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sojourn.domain.replica import ReplicaState
from sojourn.domain.scaling import ReplicaLimits
from sojourn.telemetry.meter import ColdStart, MeterSnapshot, Quantiles, Recent


class ObjectiveSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """How an objective stands at the instant of a scrape.

    Args:
        latency_s: Its latency, in seconds.
        objective: Its share, in (0, 1).
        window_s: Its window, in seconds.
        budget_remaining: Share of the error budget left over that window, <= 1.
        burn_rates: Burn rate by name of the window; windows without requests are left out.
        attainment: Share of good requests over that window; None if none counted.
        alerts: Whether each alert fires, by rule and severity.
    """

    latency_s: float
    objective: float
    window_s: float
    budget_remaining: float
    burn_rates: dict[str, float]
    alerts: dict[tuple[str, str], bool]
    attainment: float | None = None


class FunctionSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One function at the instant of a scrape: its counters and its gauges.

    Args:
        meter: Counters of requests, batches and cold starts.
        queue_depth: Requests admitted and not dispatched.
        queue_depth_late: Those of them whose deadline can no longer be met.
        replicas: Replicas by state.
        replica_seconds: Replica time used since start, from start decision to exit, in seconds.
        scaling_decisions: Changes of the wanted number of replicas since start, by cause.
        slo: How its objective stands; None without one.
        latency_cells: Packed tallies of the last five minutes, for quantiles.
        is_live: Whether its function's name means this revision: then what is told of the objective, the alerts and the
            scaling decisions is of the function, over all its revisions.
    """

    meter: MeterSnapshot
    queue_depth: int = 0
    queue_depth_late: int = 0
    replicas: dict[ReplicaState, int] = {}
    replica_seconds: float = 0.0
    scaling_decisions: dict[str, int] = {}
    slo: ObjectiveSnapshot | None = None
    latency_cells: list[bytes] = []
    is_live: bool = True


class LastScaling(msgspec.Struct, frozen=True, kw_only=True):
    """The latest change of a function's wanted number of replicas.

    Args:
        at: When it was decided, in UTC, such as "2026-01-31T12:00:00.250Z".
        before: Replicas wanted until then.
        after: Replicas wanted since.
        cause: Who or what asked for it (`sojourn.domain.scaling.SCALING_CAUSES`).
        why: The figures behind it, in one line.
    """

    at: str
    before: int
    after: int
    cause: str
    why: str


class FunctionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `GET /api/v1/functions`.

    Args:
        name: What clients address it by.
        revision: The revision that serves.
        slo: The objective as text, or None.
        replicas: Replicas by state; of a function those of all its revisions that run.
        queue_depth: Requests waiting.
        requests: Requests since start, by outcome.
        within_slo: Share of counted requests within the objective since start; None if there were none.
        latency_s: Latency of served requests since start.
        recent: The last minute.
        limits: The floor and ceiling of replicas in force.
        last_scaling: The latest change of the wanted number of replicas; None if there was none.
        infeasible: Why the objective cannot be met even by one item alone; None while it can.
        attainment: Share of counted requests within the objective over its window; None if none counted.
        budget_remaining: Share of the error budget that is left over the objective's window, <= 1; None without one.
        alerts_firing: Names of the alerts that fire, such as "page-fast".
    """

    name: str
    revision: str
    slo: str | None
    replicas: dict[ReplicaState, int]
    queue_depth: int
    requests: dict[str, int]
    within_slo: float | None
    latency_s: Quantiles
    recent: Recent
    limits: ReplicaLimits = ReplicaLimits()
    last_scaling: LastScaling | None = None
    infeasible: str | None = None
    attainment: float | None = None
    budget_remaining: float | None = None
    alerts_firing: list[str] = []


class ReplicaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One replica that has not ended.

    Args:
        replica_id: Its number; its lines in the log carry it.
        state: Where it is in its life.
        age_s: Time since the decision to start it, in seconds.
        cold_start: How long it took to be ready; None while it is not.
        memory_bytes: Memory it takes, pages shared with others counted in part (PSS); None where that is unknown.
        revision: Whose it is: during a rollout two have replicas.
    """

    replica_id: int
    state: ReplicaState
    age_s: float
    cold_start: ColdStart | None = None
    memory_bytes: int | None = None
    revision: str = ""


class FunctionDetail(FunctionStatus, frozen=True, kw_only=True):
    """`GET /api/v1/functions/{name}`: the status and all that a caller or an author may ask next.

    Args:
        settings: The options in force, as plain data.
        input_schema: JSON schema of one item.
        output_schema: JSON schema of one result.
        output: Last lines the replicas wrote to standard output and error, oldest first.
        log_path: File on the server's machine that keeps them for longer; older ones beside it. None: none is kept.
        start_failure: Why the last replica could not start; None if the last start succeeded.
        replica_details: The replicas one by one, in the order of their numbers.
        target: What was served: a file path or a module name.
        working_directory: The server's directory, which relative paths start from.
    """

    settings: dict[str, Any]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    output: list[str] = []
    log_path: str | None = None
    start_failure: str | None = None
    replica_details: list[ReplicaStatus] = []
    target: str = ""
    working_directory: str = ""


def function_status(
    snapshot: FunctionSnapshot,
    recent: Recent,
    latency_s: Quantiles,
    slo: str | None,
    infeasible: str | None = None,
    limits: ReplicaLimits | None = None,
    last_scaling: LastScaling | None = None,
    alerts_firing: Sequence[str] = (),
) -> FunctionStatus:
    """Build the row of a function from what was measured.

    Args:
        snapshot: Counters and gauges now.
        recent: The last minute, from `FunctionMeter.recent`.
        latency_s: Since start, from `FunctionMeter.latency_since_start`.
        slo: The objective as text, or None.
        infeasible: Why it cannot be met, or None.
        limits: Floor and ceiling of replicas in force.
        last_scaling: The latest change of the wanted number of replicas, if any.
        alerts_firing: Names of the alerts that fire.
    """
    meter = snapshot.meter
    return FunctionStatus(
        name=meter.function,
        revision=meter.revision,
        slo=slo,
        replicas=snapshot.replicas,
        queue_depth=snapshot.queue_depth,
        requests=meter.requests,
        within_slo=meter.slo_good / meter.slo_events if meter.slo_events else None,
        latency_s=latency_s,
        recent=recent,
        limits=limits or ReplicaLimits(),
        last_scaling=last_scaling,
        infeasible=infeasible,
        attainment=snapshot.slo.attainment if snapshot.slo else None,
        budget_remaining=snapshot.slo.budget_remaining if snapshot.slo else None,
        alerts_firing=list(alerts_firing),
    )


def function_detail(
    status: FunctionStatus,
    *,
    settings: dict[str, Any],
    input_schema: dict[str, Any],
    output_schema: dict[str, Any],
    output: list[str],
    start_failure: str | None,
    replica_details: Sequence[ReplicaStatus] = (),
    target: str = "",
    working_directory: str = "",
    log_path: str | None = None,
) -> FunctionDetail:
    """Add what only the detail page shows to a function's row."""
    return FunctionDetail(
        **{name: getattr(status, name) for name in status.__struct_fields__},
        settings=settings,
        input_schema=input_schema,
        output_schema=output_schema,
        output=output,
        log_path=log_path,
        start_failure=start_failure,
        replica_details=list(replica_details),
        target=target,
        working_directory=working_directory,
    )

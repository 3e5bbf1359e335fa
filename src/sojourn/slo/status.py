"""What is told of a function's objective: now, by window, and over its history; as plain data."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from sojourn.slo.alert import AlertState, Severity
from sojourn.slo.budget import Budget
from sojourn.slo.cause import Cause


class ObjectiveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An objective as text and in figures: the share `objective` within `latency_s` over `window_s` seconds."""

    text: str
    latency_s: float
    objective: float
    window_s: float


class WindowQuantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Latency of the `served` requests in seconds, at most 1.083 % off; None while there were none."""

    served: int = 0
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    p999: float | None = None


class WindowStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a function did over the last `window_s` seconds.

    Args:
        name: Such as "5m" or "30d", as metrics label it.
        window_s: Its length, in seconds.
        total: Requests that count against the objective.
        good: Those that met it.
        attainment: Share of good ones in [0, 1]; None if none counted.
        burn_rate: How many times faster than allowed the error budget burns; None if none counted.
        latency_s: Of the requests served in it; None for windows of more than six hours.
        grain_s: By how much it may reach further back than its length, in seconds: 10 of what this server counted, 60 or
            3600 of what is only known by the minute or by the hour.
    """

    name: str
    window_s: float
    total: int
    good: int
    attainment: float | None
    burn_rate: float | None
    latency_s: WindowQuantiles | None = None
    grain_s: int = 10


class AlertStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One burn-rate alert.

    Args:
        rule: Its name, such as "page-fast".
        severity: "page" or "ticket".
        state: "inactive", "pending", "firing" or "resolved".
        since: Since when, in UTC; None if it was never anything but inactive.
        long_s: The window that makes it significant, in seconds.
        short_s: The window that makes it end soon, in seconds.
        factor: Burn rate of both from which on it fires.
        long_burn: Burn rate of the long window now, with the requests that are `overdue`; None without requests.
        short_burn: Of the short one.
        clear_since: Since when the condition of a firing one has not held, in UTC; None while it holds.
        resolved_at: When it is resolved if that stays so, in UTC; None while it holds.
        is_of_former_objective: Whether it began before the present objective was in force.
    """

    rule: str
    severity: Severity
    state: AlertState
    since: str | None
    long_s: float
    short_s: float
    factor: float
    long_burn: float | None = None
    short_burn: float | None = None
    clear_since: str | None = None
    resolved_at: str | None = None
    is_of_former_objective: bool = False


class CauseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What part of the bad requests of the objective's window one cause has.

    Args:
        cause: Its stable name.
        requests: Bad requests by this cause, > 0.
        share: Of all bad requests, in (0, 1].
        sentence: Such as "62 % of bad requests waited for a cold start".
    """

    cause: Cause
    requests: int
    share: float
    sentence: str


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A time of which nothing is known.

    Args:
        begins_at: UTC text.
        ends_at: UTC text.
        duration_s: Its length.
        was_planned: Whether the server had been stopped in order: then nothing was served in it that is not counted.
    """

    begins_at: str
    ends_at: str
    duration_s: float
    was_planned: bool


class FormerObjective(msgspec.Struct, frozen=True, kw_only=True):
    """Another objective that was in force within the window: requests of its time were judged by it.

    Args:
        text: As it was written; "" if there was none (its requests do not count), None if that was not kept.
        begins_at: UTC text; not before the window.
        ends_at: UTC text.
        judges_alike: Whether its latency is that of the present one, so that it judged each request as that does.
    """

    text: str | None
    begins_at: str
    ends_at: str
    judges_alike: bool = False


class HistoryState(StrEnum):
    """Whether history outlives the server."""

    KEPT = "kept"
    FAILING = "failing"  # it cannot be written now; serving goes on
    OFF = "off"


class HistoryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the store, and why if it is not well."""

    state: HistoryState
    why: str = ""
    since: str | None = None


class SLOStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/v1/functions/{name}/slo`.

    Args:
        function: Its name.
        revision: The revision that serves.
        objective: None if the function promises nothing; then there is no budget and there are no alerts.
        is_met: Whether the share of good requests over the window reaches the objective; None without requests.
        known_s: How much of the objective's window is known, in seconds (the server may be younger), without gaps.
        total: Requests that count, over the objective's window (0 without an objective).
        good: Those of them that met it.
        client_faults: Requests left out because they failed by the client's making.
        cancelled: Requests left out because the client left before the deadline.
        client_timeouts: Requests left out because they expired by a timeout of the client's below the objective.
        overdue: Requests that have not ended, but are past the objective: alerts see them, the counts do not yet.
        budget: None without an objective.
        windows: From short to long; the objective's own is the last (six hours without an objective).
        alerts: One per rule.
        causes: What spent the budget over the objective's window, the largest first.
        gaps: Times of which nothing is known within the window, oldest first; the last hundred.
        gaps_left_out: How many there were before these.
        history: Whether history is kept.
        former_objectives: Those that were in force within the window before the present one, oldest first.
        infeasible: Why the objective cannot be met even by one item alone; None while it can.
    """

    function: str
    revision: str
    objective: ObjectiveStatus | None
    is_met: bool | None
    known_s: float
    total: int
    good: int
    client_faults: int
    cancelled: int
    budget: Budget | None
    windows: list[WindowStatus]
    alerts: list[AlertStatus]
    causes: list[CauseStatus]
    gaps: list[Gap]
    history: HistoryStatus
    former_objectives: list[FormerObjective] = []
    gaps_left_out: int = 0
    infeasible: str | None = None
    client_timeouts: int = 0
    overdue: int = 0


class HistoryCell(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in a stretch of time.

    Args:
        starts_at_s: Its beginning, in seconds since the epoch; in the first one, that of the first server.
        duration_s: Its length, in seconds; of the one under way what has passed of it.
        arrivals: All requests that came.
        total: Requests that count against the objective.
        good: Those that met it.
        replica_s: Replica time used, in seconds.
        bad_by_cause: What spent the budget; only causes there were.
        latency: (latency in seconds, served requests) by cell of the histogram, ascending.
    """

    starts_at_s: float
    duration_s: float
    arrivals: int
    total: int
    good: int
    replica_s: float
    bad_by_cause: dict[Cause, int]
    latency: list[tuple[float, int]]


class SLOHistory(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/v1/functions/{name}/slo/history`: cells oldest first; those in which nothing happened are left out.

    Args:
        function: Its name.
        objective: As in `SLOStatus`.
        begins_at_s: Begin of the window shown, in seconds since the epoch.
        ends_at_s: Its end: now.
        cell_s: Length of the cells, in seconds.
        cells: The cells.
        gaps: Times of which nothing is known; the last hundred.
        gaps_left_out: How many there were before these.
        total_before: Requests that counted in the objective's window before `begins_at_s`.
        good_before: Those of them that met it.
    """

    function: str
    objective: ObjectiveStatus | None
    begins_at_s: float
    ends_at_s: float
    cell_s: int
    cells: list[HistoryCell]
    gaps: list[Gap]
    total_before: int = 0
    good_before: int = 0
    gaps_left_out: int = 0

"""What is said of an objective in words, the same in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sojourn.domain.wording import counted
from sojourn.report.axis import duration_text, number_text, share_text
from sojourn.slo.alert import AlertState
from sojourn.slo.budget import Budget
from sojourn.slo.status import AlertStatus, FormerObjective, Gap, HistoryState, SLOStatus, WindowStatus

_DAY_S, _HOUR_S, _MINUTE_S = 86_400.0, 3600.0, 60.0
_GAPS_SHOWN = 5  # the last ones
_GRAIN_SHARE_MAX = 0.01  # of a window: more than that is worth saying

Clock = Callable[[str], str]  # from an instant as the API tells it to how it is shown

QUANTILES_NOTE = "p50 and p99 are of served requests, on time or late; they are kept for windows of up to 6 h"


def long_text(value_s: float) -> str:
    """A long duration with the unit that suits it: "3.2 d", "14 min", "8 s"."""
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if value_s >= unit_s:
            return f"{value_s / unit_s:.3g} {unit}"
    return duration_text(value_s)


def percent_left(remaining: float) -> str:
    """The share of a budget that is left, for people; what is far below zero is told in multiples."""
    if remaining < -1:
        return f"spent {number_text(1 - remaining)} times over"
    return f"{remaining * 100:.3g} % left" if remaining >= 0 else f"overspent by {-remaining * 100:.3g} %"


def burn_text(burn: float | None) -> str:
    """A burn rate: "2.1x"; a dash without requests."""
    return "-" if burn is None else f"{number_text(burn)}x"


def verdict_of(status: SLOStatus) -> tuple[str, str]:
    """("met", "missed" or "none"; the sentence behind it, without the verdict's word)."""
    if status.objective is None:
        return "none", f"no objective: nothing is promised; {_served(status.windows[-1:])}"
    if not status.total:
        return "none", "no request counted yet: nothing can be said of the objective"
    share = share_text(status.good / status.total)
    promised = f"{status.objective.objective * 100:.10g} % are promised"
    if any(not former.judges_alike for former in status.former_objectives):
        said = f"{share} of {_requests(status.total)} met the objective of their time; {promised}"
    else:
        within = duration_text(status.objective.latency_s)
        said = (
            f"{share} of {counted(status.total, 'request was', 'requests were')} answered within {within}; {promised}"
        )
    return ("met" if status.is_met else "missed"), said


def _served(windows: list[WindowStatus]) -> str:
    served, window_s = 0, 0.0
    for window in windows:
        served, window_s = window.latency_s.served if window.latency_s else 0, window.window_s
    return f"{_requests(served)} served in the last {long_text(window_s)}" if served else "no request served lately"


def budget_text(status: SLOStatus, budget: Budget) -> str:
    """What a budget allowed and what was spent of it."""
    return f"{budget.spent:,} bad; {number_text(budget.allowed)} are allowed among {_requests(status.total)}"


def alert_text(alert: AlertStatus, clock: Clock) -> str:
    """An alert that is not inactive: since when, how fast the budget burns, its limit, and when it is to end."""
    since = f" since {clock(alert.since)}" if alert.since else ""
    return f"({alert.severity.value}){since}{_why(alert, clock)}"


def alerts_told(status: SLOStatus) -> list[AlertStatus]:
    """Those worth telling: all that are not inactive."""
    return [alert for alert in status.alerts if alert.state is not AlertState.INACTIVE]


def _why(alert: AlertStatus, clock: Clock) -> str:
    if not alert.factor:
        return ": what is counted now will be forgotten when the server ends"
    said = f": {_burning(alert)}, limit {alert.factor:g}x"
    if alert.clear_since and alert.resolved_at:
        since, until = clock(alert.clear_since), clock(alert.resolved_at)
        said += f"; its condition has not held since {since}, and it is resolved if that stays so until {until}"
    if alert.is_of_former_objective and alert.state is AlertState.FIRING:
        said += "; it began under the former objective"
    return said


def _burning(alert: AlertStatus) -> str:
    long, short = long_text(alert.long_s), long_text(alert.short_s)
    if alert.long_burn is None:
        return f"no requests in the last {long}"
    if alert.short_burn is None:
        return f"budget burns at {burn_text(alert.long_burn)} over {long}, no requests in the last {short}"
    return f"budget burns at {burn_text(alert.long_burn)} and {burn_text(alert.short_burn)} over {long} and {short}"


def notes_of(status: SLOStatus, clock: Clock) -> Iterator[str]:
    """What one has to know to read the figures: what is left out, what is not known, what changed."""
    if status.infeasible and status.objective is not None:
        yield f"the objective cannot be met: {status.infeasible}"
    for former in status.former_objectives:
        yield _former(former, clock)
    left_out = [
        (count, whose)
        for count, whose in (
            (status.client_faults, "with a fault of the client's"),
            (status.cancelled, "whose client left within the objective"),
            (status.client_timeouts, "whose client asked for less time than the objective"),
        )
        if count
    ]
    if left_out:
        (first, whose), *others = left_out
        yield ", ".join([f"left out: {_requests(first)} {whose}", *(f"{count:,} {whose}" for count, whose in others)])
    if status.overdue:
        yield f"{_requests(status.overdue)} not ended yet, but past the objective: alerts see them, the counts do not"
    coarse = [
        long_text(window.window_s)
        for window in status.windows
        if window.grain_s == _MINUTE_S and window.grain_s > _GRAIN_SHARE_MAX * window.window_s
    ]
    if coarse and status.objective is not None:
        yield (
            f"windows that begin before this server did ({', '.join(coarse)}) are made of whole minutes: "
            "they may reach back up to 60 s further"
        )
    earlier = max(len(status.gaps) - _GAPS_SHOWN, 0) + status.gaps_left_out
    if earlier:
        yield f"the server was stopped or killed {counted(earlier, 'more time')} before"
    for gap in status.gaps[-_GAPS_SHOWN:]:
        yield _gap(gap, clock)
    if status.objective is not None and status.known_s < status.objective.window_s * 0.99:
        yield f"known so far: {long_text(status.known_s)} of {long_text(status.objective.window_s)}"
    if status.history.state is HistoryState.OFF:
        yield "history is kept in memory only: this server keeps none (`sojourn dev`, or --port 0 without --state-dir)"


def _requests(count: int) -> str:
    return counted(count, "request")


def _former(former: FormerObjective, clock: Clock) -> str:
    until = clock(former.ends_at)
    if former.judges_alike:
        return (
            f"from {clock(former.begins_at)} to {until} the objective was {former.text}: its latency was the same, so that "
            "its requests count as they did; only how many must be good, or over which window, has changed"
        )
    if former.text is None:
        return f"requests before {until} were counted by a version that did not keep by which objective"
    if not former.text:
        return f"before {until} there was no objective: requests of that time do not count"
    return f"requests from {clock(former.begins_at)} to {until} were judged by the objective of then: {former.text}"


def _gap(gap: Gap, clock: Clock) -> str:
    when = f"{clock(gap.begins_at)} to {clock(gap.ends_at)} ({long_text(gap.duration_s)})"
    if gap.was_planned:
        return f"the server was stopped from {when}"
    return f"nothing is known from {when}: the server was killed, and with it went what it had counted last"

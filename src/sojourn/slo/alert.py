"""Alerts on how fast the error budget burns: which windows, which factors, and when one fires and ends."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

from sojourn.domain.objective import DAY_S, DEFAULT_WINDOW_S
from sojourn.slo.budget import burn_rate

LONG_S_MIN: Final = 60.0  # shorter ones hold so few cells that a rate at its threshold is in and out of them
SHORT_S_MIN: Final = 30.0
EVENTS_MIN: Final = 100  # in the long window: with less traffic, one bad request is no trend
BAD_MIN: Final = 10
_PENDING_SHARE: Final = 1 / 150  # of the short window: two seconds of five minutes
_END_SHARE: Final = 0.75  # of what makes an alert fire: two standard deviations of the noise of its short window
_RESOLVE_S_MIN: Final = 300.0  # or the long window, if that is shorter
_HOUR_S: Final = 3600.0


class Severity(StrEnum):
    """How soon somebody must look."""

    PAGE = "page"
    TICKET = "ticket"


class AlertState(StrEnum):
    """Where an alert is in its life."""

    INACTIVE = "inactive"
    PENDING = "pending"  # its condition has just come to hold
    FIRING = "firing"
    RESOLVED = "resolved"  # it fired, and its condition has ceased to hold for long enough


class BurnRule(msgspec.Struct, frozen=True, kw_only=True):
    """Fires while the budget burns at `factor` times the allowed rate or faster, in both windows.

    Args:
        name: Such as "page-fast".
        severity: Page or ticket.
        long_s: Window that makes it significant, in seconds.
        short_s: Window that makes it end soon after the cause has gone, in seconds.
        factor: Burn rate of both windows from which on it fires.
    """

    name: str
    severity: Severity
    long_s: float
    short_s: float
    factor: float

    @property
    def pending_s(self) -> float:
        """How long the condition must hold before it fires [s]."""
        return self.short_s * _PENDING_SHARE

    @property
    def resolve_s(self) -> float:
        """How long the condition must not hold before it is resolved [s]."""
        return max(self.short_s, min(_RESOLVE_S_MIN, self.long_s))


_RULES_OF_30_DAYS: Final = (
    ("page-fast", Severity.PAGE, _HOUR_S, _HOUR_S / 12, 14.4),
    ("page-slow", Severity.PAGE, 6 * _HOUR_S, _HOUR_S / 2, 6.0),
    ("ticket-fast", Severity.TICKET, DAY_S, 2 * _HOUR_S, 3.0),
    ("ticket-slow", Severity.TICKET, 3 * DAY_S, 6 * _HOUR_S, 1.0),
)


def burn_rules(window_s: float) -> tuple[BurnRule, ...]:
    """The rules for an objective with a window of `window_s` seconds; their windows scale with it, in whole seconds.

    Those of the fastest page do not grow with a window of more than 30 days: a full outage is to be told within a
    minute, not within three.

    Source:
        Google, The Site Reliability Workbook, chapter 5, table 5-8: 2 % of the budget in an hour, 5 % in six
        hours, 10 % in one and in three days.
    """
    scale = window_s / DEFAULT_WINDOW_S
    fastest = _RULES_OF_30_DAYS[0][0]
    return tuple(
        BurnRule(
            name=name,
            severity=severity,
            long_s=_scaled(long_s, min(scale, 1.0) if name == fastest else scale, LONG_S_MIN),
            short_s=_scaled(short_s, min(scale, 1.0) if name == fastest else scale, SHORT_S_MIN),
            factor=factor,
        )
        for name, severity, long_s, short_s, factor in _RULES_OF_30_DAYS
    )


def _scaled(length_s: float, scale: float, least_s: float) -> float:
    """Whole seconds, so that two windows that differ have names that do."""
    return max(float(round(length_s * scale)), least_s)


class BurnAlert:
    """One rule of one function, through its life.

    Args:
        rule: When it fires.
        objective: Target share of good requests, in (0, 1).
        state: What is known of it from before.
        since_s: Since when, on the clock of `step`.
        clear_since_s: Since when the condition of a firing alert has ceased to hold; None if it holds.
    """

    __slots__ = ("_objective", "clear_since_s", "long_burn", "rule", "short_burn", "since_s", "state")

    def __init__(
        self,
        rule: BurnRule,
        objective: float,
        state: AlertState = AlertState.INACTIVE,
        since_s: float = 0.0,
        clear_since_s: float | None = None,
    ) -> None:
        self.rule = rule
        self.state = state
        self.since_s = since_s
        self.clear_since_s = clear_since_s
        self.long_burn: float | None = None
        self.short_burn: float | None = None
        self._objective = objective

    def step(self, counts: Callable[[float], tuple[int, int]], now_s: float) -> AlertState | None:
        """Look again; the state it has changed to, or None.

        Args:
            counts: (total, good) of the last so many seconds.
            now_s: Now, in seconds, never less than before.
        """
        total, good = counts(self.rule.long_s)
        self.long_burn = burn_rate(total, good, self._objective)
        self.short_burn = burn_rate(*counts(self.rule.short_s), self._objective)
        # Once it fires, a little less keeps it going: a rate at the threshold is one alert, not one each minute.
        needed = _END_SHARE if self.state is AlertState.FIRING else 1.0
        has_traffic = total >= EVENTS_MIN * needed and total - good >= BAD_MIN * needed
        is_met = has_traffic and self._reaches(self.long_burn, needed) and self._reaches(self.short_burn, needed)
        if self.state is AlertState.FIRING:
            return self._step_firing(now_s, is_met=is_met)
        if not is_met:
            return self._become(AlertState.INACTIVE, now_s) if self.state is AlertState.PENDING else None
        if self.state is AlertState.PENDING:
            return self._become(AlertState.FIRING, now_s) if now_s - self.since_s >= self.rule.pending_s else None
        return self._become(AlertState.PENDING, now_s)

    def _step_firing(self, now_s: float, *, is_met: bool) -> AlertState | None:
        if is_met:
            self.clear_since_s = None
            return None
        if self.clear_since_s is None:
            self.clear_since_s = now_s
        return self._become(AlertState.RESOLVED, now_s) if now_s - self.clear_since_s >= self.rule.resolve_s else None

    def _reaches(self, burn: float | None, needed: float) -> bool:
        # A rate exactly at the factor must not be missed by rounding: 14.4 * 0.001 of 1000 is 14.4.
        return burn is not None and burn >= self.rule.factor * needed * (1 - 1e-9)

    def _become(self, state: AlertState, now_s: float) -> AlertState:
        self.state = state
        self.since_s = now_s
        self.clear_since_s = None
        return state

"""The burn-rate alerts of all functions: stepped, told as events, and remembered from one server to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sojourn.domain.objective import SLO
from sojourn.slo.alert import AlertState, BurnAlert, Severity, burn_rules
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.history import KeptAlert


class Counted(Protocol):
    """What counts the requests of a function; a monitor and a lineage have this shape."""

    def total_good(self, now_s: float, window_s: float) -> tuple[int, int]:
        """(total, good) of the last `window_s` seconds."""


class AlertBook:
    """One alert per function and rule.

    Args:
        events: Told of each change.
        offset_s: What to add to monotonic seconds to get seconds since the epoch.
    """

    __slots__ = ("_by_function", "_events", "_offset_s", "_promised")

    def __init__(self, events: PlatformEvents, offset_s: float) -> None:
        self._events = events
        self._offset_s = offset_s
        self._by_function: dict[str, tuple[BurnAlert, ...]] = {}
        self._promised: dict[str, tuple[float, float]] = {}  # share and window

    def __getitem__(self, function: str) -> tuple[BurnAlert, ...]:
        """The alerts of a function; none if it has no objective."""
        return self._by_function.get(function, ())

    def watch(self, function: str, slo: SLO | None) -> None:
        """Watch a function from now on, if it has an objective.

        One that is watched already and promises the same share over the same window goes on as it was.
        """
        if slo is None:
            self.forget(function)
        elif self._promised.get(function) != (slo.objective, slo.window_s):
            self._promised[function] = (slo.objective, slo.window_s)
            self._by_function[function] = tuple(BurnAlert(rule, slo.objective) for rule in burn_rules(slo.window_s))

    def forget(self, function: str) -> None:
        """Watch a function no longer."""
        self._promised.pop(function, None)
        self._by_function.pop(function, None)

    def is_awake(self, function: str) -> bool:
        """Whether any alert of a function is not inactive, so that it must be looked at even without traffic."""
        return any(alert.state is not AlertState.INACTIVE for alert in self[function])

    def step(self, function: str, monitor: Counted, now_s: float, overdue: int = 0) -> None:
        """Look at a function's alerts, at `now_s` monotonic seconds.

        Args:
            function: Its name.
            monitor: What it counted.
            now_s: Now.
            overdue: Requests that have not ended and are bad already, past their objective; they are counted when they
                end, but an outage in which nothing ends is to be told now.
        """

        def counts(window_s: float) -> tuple[int, int]:
            total, good = monitor.total_good(now_s, window_s)
            return total + overdue, good

        for alert in self[function]:
            state = alert.step(counts, now_s)
            if state is not None:
                self._tell(function, alert, state)

    def _tell(self, function: str, alert: BurnAlert, state: AlertState) -> None:
        tell: Callable[..., Any] = self._events.info
        if state is AlertState.FIRING:
            tell = self._events.error if alert.rule.severity is Severity.PAGE else self._events.warning
        tell(
            f"slo.alert_{state.value}",
            function=function,
            rule=alert.rule.name,
            severity=alert.rule.severity.value,
            long_burn=None if alert.long_burn is None else round(alert.long_burn, 2),
            short_burn=None if alert.short_burn is None else round(alert.short_burn, 2),
            factor=alert.rule.factor,
        )

    def firing(self, function: str) -> list[str]:
        """Names of the rules that fire for a function."""
        return [alert.rule.name for alert in self[function] if alert.state is AlertState.FIRING]

    def to_keep(self) -> list[KeptAlert]:
        """All alerts that are not inactive."""
        offset_s = self._offset_s
        return [
            KeptAlert(
                name,
                alert.rule.name,
                alert.state,
                alert.since_s + offset_s,
                None if alert.clear_since_s is None else alert.clear_since_s + offset_s,
            )
            for name, alerts in self._by_function.items()
            for alert in alerts
            if alert.state is not AlertState.INACTIVE
        ]

    def recall(self, kept: KeptAlert, now_s: float) -> None:
        """An alert goes on as it was when the last server ended, so that it is not raised twice."""
        for alert in self[kept.function]:
            if alert.rule.name == kept.rule and alert.state is AlertState.INACTIVE:
                alert.state = kept.state
                alert.since_s = min(kept.since_s - self._offset_s, now_s)
                if kept.clear_since_s is not None:
                    alert.clear_since_s = min(kept.clear_since_s - self._offset_s, now_s)

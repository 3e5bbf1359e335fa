"""The objective of one simulated function, watched as a server watches it: counts, causes, burn-rate alerts."""

from __future__ import annotations

from math import inf

from sojourn.domain.action import Finish
from sojourn.domain.objective import SLO
from sojourn.domain.request import Outcome
from sojourn.slo.alert import AlertState, BurnAlert, burn_rules
from sojourn.slo.cause import CAUSES, PLACE_OF_CAUSE, Cause, RunTimes, cause_of_finish
from sojourn.slo.judgement import counts_as_bad
from sojourn.slo.monitor import Monitor

_LOOK_EVERY_S = 1.0  # as a server does


class Watch:
    """The production monitor and alerts of one function, in virtual time.

    `alerts` lists (instant, rule, state) of each change.

    Args:
        slo: What is promised.
    """

    __slots__ = ("_alerts", "_look_at_s", "_slo", "alerts", "causes", "monitor")

    def __init__(self, slo: SLO) -> None:
        self.monitor = Monitor("simulated")
        self.alerts: list[tuple[float, str, AlertState]] = []
        self.causes = [0] * len(CAUSES)
        self._slo = slo
        self._alerts = tuple(BurnAlert(rule, slo.objective) for rule in burn_rules(slo.window_s))
        self._look_at_s = -inf

    def ended(self, finish: Finish, expected_s: float, work_s: float | None, now_s: float) -> None:
        """A request ended.

        Args:
            finish: How.
            expected_s: What its run was expected to take; 0 if nothing is known.
            work_s: What it took on the replica; None if it gave no answer.
            now_s: When.
        """
        tally = self.monitor.current(now_s)
        if finish.outcome is Outcome.SERVED:
            tally.latency.observe(finish.latency_s)
            is_bad = finish.latency_s > self._slo.latency_s
        else:
            is_bad = counts_as_bad(finish, self._slo.latency_s)
            if not is_bad:
                tally.cancelled += finish.outcome is Outcome.CANCELLED
                tally.client_timeouts += finish.outcome is Outcome.EXPIRED
                tally.client_faults += finish.outcome not in {Outcome.CANCELLED, Outcome.EXPIRED}
                return
        tally.total += 1
        if not is_bad:
            tally.good += 1
            return
        cause = cause_of_finish(finish, RunTimes(finish.latency_s, self._slo.latency_s, expected_s, work_s))
        tally.causes[PLACE_OF_CAUSE[cause]] += 1
        self.causes[PLACE_OF_CAUSE[cause]] += 1

    def look(self, now_s: float, overdue: int) -> None:
        """Step the alerts, at most once a second; `overdue` requests have not ended and are bad already."""
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S

        def counts(window_s: float) -> tuple[int, int]:
            total, good = self.monitor.total_good(now_s, window_s)
            return total + overdue, good

        for alert in self._alerts:
            state = alert.step(counts, now_s)
            if state is not None:
                self.alerts.append((now_s, alert.rule.name, state))

    @property
    def bad_by_cause(self) -> dict[Cause, int]:
        """Bad requests by what they owe it to, those without any left out."""
        return {cause: count for cause, count in zip(CAUSES, self.causes, strict=True) if count}

"""A function whose demand is told second by second, as dispatchers report it."""

from __future__ import annotations

import pytest

from sojourn.domain.demand import DemandReport
from sojourn.estimate.demand import DemandHistory
from sojourn.policy.scaling.port import ScalingView

REPORT_EVERY_S = 0.25


class Function:
    """Reports to a policy every quarter of a second and does at once what it wants, as an obedient controller would."""

    def __init__(self, policy, *, ready=1, max_replicas=1000, obeys=True):
        self.policy = policy
        self.now_s = 0.0
        self.ready = ready
        self.starting = 0
        self.max_replicas = max_replicas
        self.obeys = obeys
        self.history = DemandHistory()
        self.arrivals = 0.0
        self.busy_s = 0.0
        self.want = None

    def live(self, seconds, *, in_flight=0, arrivals_per_s=0.0, busy_share=0.0, waiting=0):
        """Let time pass under constant demand; the answers in order."""
        wants = []
        for _ in range(round(seconds / REPORT_EVERY_S)):
            self.now_s += REPORT_EVERY_S
            self.arrivals += arrivals_per_s * REPORT_EVERY_S
            self.busy_s += busy_share * self.ready * REPORT_EVERY_S
            report = DemandReport(
                function="f",
                arrivals=int(self.arrivals + 1e-6),
                ongoing=in_flight,
                waiting=waiting,
                replicas=self.ready,
                busy_s=self.busy_s,
            )
            self.history.add(report, self.now_s)
            wants.append(self.ask(report))
            if self.obeys:
                self.ready = self.want.replicas
        return wants

    def ask(self, report):
        self.want = self.policy.decide(
            ScalingView(
                now_s=self.now_s,
                history=self.history,
                report=report,
                service=None,
                latency_s=0.1,
                timeout_s=1.0,
                ready=self.ready,
                starting=self.starting,
                cold_start_s=1.0,
                min_replicas=0,
                max_replicas=self.max_replicas,
            )
        )
        return self.want


@pytest.fixture
def function():
    """Makes functions under a policy."""
    return Function

"""What a dispatcher tells the controller, and when."""

from __future__ import annotations

from math import inf

from sojourn.core.backlog import Backlog
from sojourn.core.lease import Leases
from sojourn.core.ledger import Ledger
from sojourn.domain.demand import DemandReport, ServiceTimes
from sojourn.domain.request import Outcome
from sojourn.estimate.service_time import ServiceTimeModel

_PERIOD_S = 0.25
_COLD_PERIOD_S = 0.1  # while requests wait and there is no replica: how many are wanted is known sooner
_QUIET_AFTER_S = 10.0


class Reporter:
    """Counts what the controller wants to know, and keeps the time of the next report.

    A function in use reports every quarter of a second; one that has been without work for ten seconds
    says so once and then nothing, so that an idle function costs nothing. Its next arrival is reported
    at once.

    Args:
        function: The function's name.
        backlog: What waits.
        leases: Replicas and what they run.
        ledger: How requests ended.
        model: Learnt service times.
    """

    __slots__ = (
        "_arrivals_told", "_backlog", "_batches", "_busy_s", "_function", "_leases", "_ledger", "_model",
        "_moved_at_s", "_version_told", "due_at_s",
    )  # fmt: skip

    def __init__(
        self, function: str, backlog: Backlog, leases: Leases, ledger: Ledger, model: ServiceTimeModel
    ) -> None:
        self.due_at_s = inf
        self._function = function
        self._backlog = backlog
        self._leases = leases
        self._ledger = ledger
        self._model = model
        self._batches = 0
        self._busy_s = 0.0
        self._arrivals_told = 0
        self._moved_at_s = -inf  # when there was work last
        self._version_told = -1

    @property
    def is_quiet(self) -> bool:
        """Whether no report is due before something arrives."""
        return self.due_at_s == inf

    def wake(self, now_s: float) -> None:
        """Something arrived or changed: report now if nothing has been reported for a while."""
        if self.due_at_s == inf:
            self.due_at_s = now_s

    def batch_ended(self, busy_s: float) -> None:
        """A replica is done with a batch that took it this long [s]."""
        self._batches += 1
        self._busy_s += busy_s

    def report(self, now_s: float) -> DemandReport:
        """The report that is due; the next one is in a quarter of a second, or after the next arrival."""
        backlog, leases, ledger, model = self._backlog, self._leases, self._ledger, self._model
        in_flight = len(backlog.requests)
        if in_flight or ledger.accepted != self._arrivals_told:
            self._moved_at_s = now_s
        self._arrivals_told = ledger.accepted
        is_quiet = now_s - self._moved_at_s >= _QUIET_AFTER_S
        is_cold = in_flight > 0 and not leases.slots
        self.due_at_s = inf if is_quiet else now_s + (_COLD_PERIOD_S if is_cold else _PERIOD_S)
        service = None
        if model.is_known and model.version != self._version_told:
            self._version_told = model.version
            service = ServiceTimes(
                model.version,
                tuple(model.mean_by_size_s),
                tuple(model.p95_by_size_s),
                model.size_cap,
                model.samples,
            )
        waiting, late = backlog.waiting - len(backlog.late), len(backlog.late)
        open_leases = [lease for lease in leases.by_id.values() if not lease.is_revoked]
        return DemandReport(
            function=self._function,
            arrivals=ledger.accepted,
            waiting=waiting,
            late=late,
            ongoing=in_flight - waiting - late,
            replicas=len(open_leases),
            slots=open_leases[0].slots if open_leases else 1,
            batches=self._batches,
            served=ledger.ended[Outcome.SERVED],
            busy_s=self._busy_s,
            misses=ledger.misses,
            is_quiet=is_quiet,
            service=service,
        )

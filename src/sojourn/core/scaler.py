"""How many replicas one function wants: its scaling policy, its keep-alive policy, its floor and ceiling."""

from __future__ import annotations

from collections import deque
from math import inf

import msgspec

from sojourn.domain.demand import DemandReport, ServiceTimes
from sojourn.domain.function import FunctionSettings
from sojourn.estimate.demand import DemandHistory
from sojourn.policy.keepalive.port import KeepAlive, KeepAlivePolicy, KeepAliveView
from sojourn.policy.scaling.port import ScalingPolicy, ScalingView, Want

_LOOK_EVERY_S = 1.0  # at a quiet function with more than one replica
_COLD_STARTS_KEPT = 5
_BUDGET_WITHOUT_OBJECTIVE = 0.01


class Wish(msgspec.Struct, frozen=True):
    """Replicas wanted, who says so and why. `is_idle`: they are only kept in case that something comes."""

    replicas: int
    cause: str
    why: str
    terms: dict[str, float] = {}
    is_idle: bool = False


FIRST_WISH = Wish(1, "start", "a first replica shows whether the function loads", is_idle=True)
PROVEN_WISH = Wish(0, "start", "it has run before and rests until it is called", is_idle=True)


class Scaler:
    """Turns the reports of one function's dispatcher into a wish.

    While there is work the scaling policy decides, but never takes the last replica; when there is none,
    the keep-alive policy says how long the last one stays and whether one is started ahead of the next
    request.

    Args:
        settings: The function's options.
        policy: Its scaling policy.
        keepalive: Its keep-alive policy.
        most: Replicas the pool would hold of this function alone, >= 1.
        is_proven: Whether it has run before: then no replica need show that it loads.
    """

    def __init__(
        self,
        settings: FunctionSettings,
        policy: ScalingPolicy,
        keepalive: KeepAlivePolicy,
        most: int,
        *,
        is_proven: bool = False,
    ) -> None:
        self.min_replicas = settings.floor_replicas
        self._ceiling = settings.max_replicas if settings.max_replicas is not None else most
        self.max_replicas = self._ceiling  # or the floor, if that is higher
        self._most = most
        self.first_wish = PROVEN_WISH if is_proven else FIRST_WISH
        self._settings = settings
        self._policy = policy
        self._keepalive = keepalive
        self._history = DemandHistory()
        self._report = DemandReport(function=settings.name)
        self._service: ServiceTimes | None = None
        self._cold_starts_s: deque[float] = deque(maxlen=_COLD_STARTS_KEPT)
        self._is_new = True  # no replica has ever been ready
        self._is_working = False
        self._idle_since_s: float | None = None  # nothing in flight since
        self._kept_since_s = 0.0  # the same, but not before there was a replica to keep
        self._keep: KeepAlive | None = None

    # What it is told.

    def demand_reported(self, report: DemandReport, now_s: float) -> None:
        """The dispatcher told of its demand."""
        self._history.add(report, now_s)
        self._service = report.service or self._service
        in_flight = report.waiting + report.late + report.ongoing
        has_arrivals = report.arrivals != self._report.arrivals
        self._report = report
        if has_arrivals and self._idle_since_s is not None:
            self._keepalive.idle_ended(now_s - self._idle_since_s)
        if in_flight or has_arrivals:
            self._idle_since_s, self._keep = None, None
        self._is_working = in_flight > 0
        if not in_flight and self._idle_since_s is None:
            self._idle_since_s = self._kept_since_s = now_s

    def became_ready(self, cold_start_s: float, now_s: float) -> None:
        """A replica became ready `cold_start_s` after it was decided on."""
        self._cold_starts_s.append(cold_start_s)
        if self._is_new:
            self._is_new = False
            self._kept_since_s = max(self._kept_since_s, now_s)
            self._idle_since_s = self._idle_since_s if self._is_working else now_s

    def failed(self, now_s: float) -> None:
        """A replica failed. One that never had a replica nor a request is idle from now on: trying has an end."""
        if self._is_new and self._idle_since_s is None and not self._is_working:
            self._idle_since_s = self._kept_since_s = now_s

    def limit(self, min_replicas: int | None, max_replicas: int | None) -> None:
        """Set the floor or the ceiling anew; a ceiling is never below the floor, for as long as that is so high."""
        if min_replicas is not None:
            self.min_replicas = min_replicas
        if max_replicas is not None:
            self._ceiling = max_replicas
        self.max_replicas = max(self._ceiling, self.min_replicas, 1)

    # What it answers.

    @property
    def cold_start_s(self) -> float:
        """How long a start takes: the longest of the last few, in seconds; 0 while unknown."""
        return max(self._cold_starts_s, default=0.0)

    @property
    def report(self) -> DemandReport:
        """The latest report."""
        return self._report

    @property
    def service(self) -> ServiceTimes | None:
        """The latest service times."""
        return self._service

    @property
    def latency_s(self) -> float:
        """The objective's latency, or infinity."""
        return self._settings.slo.latency_s if self._settings.slo else inf

    def arrivals_per_s(self, now_s: float, window_s: float) -> float:
        """Arrival rate over a window."""
        return self._history.arrivals_per_s(now_s, window_s)

    def wish(self, ready: int, starting_ages_s: tuple[float, ...], now_s: float) -> Wish:
        """How many replicas are wanted now, within floor and ceiling."""
        if self._is_new and self._idle_since_s is None and not self._is_working:
            return self._bounded(self.first_wish)
        is_idle = not self._is_working
        if is_idle and self._is_over(now_s):
            return self._bounded(Wish(0, "keep_alive", self._why_over(now_s), is_idle=True))
        if is_idle and ready + len(starting_ages_s) <= 1:
            return self._bounded(Wish(1, "keep_alive", self._why_kept(now_s), is_idle=True))
        want = self._want(ready, starting_ages_s, now_s)
        cause = "request" if ready == 0 and self._is_working else "policy"
        # The last replica is for keep-alive to take away.
        why = want.why if want.replicas else f"{want.why}; the last one is kept"
        return self._bounded(Wish(max(want.replicas, 1), cause, why, want.terms, is_idle=is_idle))

    def next_look_at_s(self, present: int, now_s: float) -> float:
        """When the wish may change without a report; infinity if it cannot."""
        if self._idle_since_s is None:
            return inf
        if present > max(self.min_replicas, 1):
            return now_s + _LOOK_EVERY_S
        keep = self._kept()
        until_s = self._kept_since_s + keep.keep_s
        moments = [until_s] if until_s > now_s and until_s < inf else []
        if keep.prewarm_after_s is not None:
            begin_s = self._idle_since_s + keep.prewarm_after_s
            moments += [at_s for at_s in (begin_s, begin_s + keep.prewarm_keep_s) if at_s > now_s]
        return min(moments, default=inf)

    def _want(self, ready: int, starting_ages_s: tuple[float, ...], now_s: float) -> Want:
        return self._policy.decide(
            ScalingView(
                now_s=now_s,
                history=self._history,
                report=self._report,
                service=self._service,
                latency_s=self.latency_s,
                timeout_s=self._settings.effective_timeout_s,
                ready=ready,
                starting=len(starting_ages_s),
                starting_ages_s=starting_ages_s,
                cold_start_s=self.cold_start_s,
                min_replicas=self.min_replicas,
                max_replicas=min(self.max_replicas, self._most),
            )
        )

    def _bounded(self, wish: Wish) -> Wish:
        replicas = min(max(wish.replicas, self.min_replicas), self.max_replicas)
        if replicas == wish.replicas:
            return wish
        bound = f"min_replicas={self.min_replicas}" if replicas > wish.replicas else f"max_replicas={self.max_replicas}"
        return msgspec.structs.replace(wish, replicas=replicas, why=f"{wish.why}; {bound}", is_idle=False)

    def _kept(self) -> KeepAlive:
        if self._keep is None:
            slo = self._settings.slo
            budget = 1.0 - slo.objective if slo else _BUDGET_WITHOUT_OBJECTIVE
            self._keep = self._keepalive.decide(KeepAliveView(self.latency_s, budget, self.cold_start_s))
        return self._keep

    def _is_over(self, now_s: float) -> bool:
        """Whether an idle function need not be kept warm at this instant."""
        if self._idle_since_s is None:
            return False
        keep = self._kept()
        if now_s < self._kept_since_s + keep.keep_s:
            return False
        if keep.prewarm_after_s is None:
            return True
        begin_s = self._idle_since_s + keep.prewarm_after_s
        return not begin_s <= now_s < begin_s + keep.prewarm_keep_s

    def _why_over(self, now_s: float) -> str:
        since_s = now_s - (self._idle_since_s or now_s)
        return f"idle for {since_s:.4g} s; {self._kept().why}"

    def _why_kept(self, now_s: float) -> str:
        keep = self._kept()
        if now_s >= self._kept_since_s + keep.keep_s:
            return f"started ahead of the next request; {keep.why}"
        return f"kept for {keep.keep_s:.4g} s of idleness; {keep.why}"

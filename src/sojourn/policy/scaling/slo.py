"""The default: the fewest replicas that hold the objective, up at once and down with patience."""

from __future__ import annotations

from collections import deque
from math import ceil, isfinite

from sojourn.domain.demand import ServiceTimes
from sojourn.estimate.envelope import Envelope, envelope
from sojourn.estimate.fleet_size import replicas_for, sustainable_per_s
from sojourn.estimate.forecast import Forecast
from sojourn.policy.scaling.port import ScalingView, Want

_DOWN_AFTER_S = 60.0
_DOWN_AFTER_STARTS = 10.0  # times the time a start takes
_DOWN_UTILIZATION = 0.8
_PANIC_FACTOR = 2.0
_PANIC_WINDOW_S = 2.0
_ROUNDING = 1e-6
_TELLABLE_S = 0.05  # no traffic within less says nothing
_FRESH_S = 2.0  # older data is no data


class SLOScalingPolicy:
    """Replicas from what the traffic may need at most and what replicas can carry.

    Up at once: to what the envelope of the arrivals needs by the staggered capacity rule, to what drains the
    backlog that a new replica could still save (none if it is gone by then), or to what a short forecast expects, whichever is most. Down
    only to the most that was wanted for a minute (or ten starts), only while what is left would be used to
    four fifths at most, and never in a panic, when arrivals are twice what the replicas can carry.

    Args:
        forecast: Tells of arrivals to come; it only raises.

    Source:
        ALGORITHMS 4.
    """

    def __init__(self, forecast: Forecast | None = None) -> None:
        self._forecast = forecast or Forecast()
        self._wants: deque[tuple[float, int]] = deque()  # (when, how many), fewer and fewer: a running maximum
        self._service: ServiceTimes | None = None
        self._standing = 0  # the last answer

    def decide(self, view: ScalingView) -> Want:
        """How many replicas the function wants now."""
        want = self._decided(view)
        self._standing = want.replicas
        return want

    def _decided(self, view: ScalingView) -> Want:
        present = view.ready + view.starting
        if present:
            # A replica that died, or that the pool did not give, is missing, not too many.
            present = max(present, min(self._standing, view.max_replicas))
        self._forecast.observe(view.now_s, view.report.arrivals, view.cold_start_s)
        if view.history.age_s(view.now_s) > _FRESH_S:
            self._remember(present, view)
            return Want(max(present, 1), "no fresh data: what is there is kept")
        self._service = view.service or self._service
        service = self._service
        if service is None:
            self._remember(present, view)
            return Want(max(present, 1), "service times are not known yet: one replica shows them")
        if not self._wants:
            self._remember(present, view)  # the minute begins with the first look
        up, seen = self._needed(view, service)
        self._remember(up.replicas, view)
        if up.replicas >= present:
            return up
        return self._down(view, service, up, seen, present)

    def _needed(self, view: ScalingView, service: ServiceTimes) -> tuple[Want, Envelope]:
        seen = envelope(view.history, view.now_s, view.cold_start_s)
        expected_per_s = self._forecast.raise_of(seen.per_s)
        slots, most = view.report.slots, view.max_replicas
        rate_need, size = replicas_for(service, view.latency_s, seen.per_s, most, slots)
        replicas = max(ceil(rate_need - _ROUNDING), 1)
        terms = {"envelope_per_s": seen.per_s, "window_s": seen.window_s, "needed": rate_need, "batch": float(size)}
        why = f"envelope {seen.per_s:.4g}/s over {seen.window_s:.3g} s needs {_tenths(rate_need)} replicas at b={size}"
        if not rate_need:
            lately = f" in {seen.window_s:.3g} s" if seen.window_s >= _TELLABLE_S else ""
            why = f"nothing came{lately}, one replica is enough"
        if expected_per_s > seen.per_s:
            need, size = replicas_for(service, view.latency_s, expected_per_s, most, slots)
            terms |= {"forecast_per_s": expected_per_s}
            if ceil(need - _ROUNDING) > replicas:
                replicas = ceil(need - _ROUNDING)
                why = f"forecast {expected_per_s:.4g}/s needs {_tenths(need)} replicas at b={size}"
        backlog = self._backlog(view, service, seen, size)
        if ceil(backlog - _ROUNDING) > replicas:
            replicas = ceil(backlog - _ROUNDING)
            waiting = view.report.waiting + view.report.late
            terms |= {"waiting": float(waiting), "needed": backlog}
            why = f"{waiting} waiting {'needs' if waiting == 1 else 'need'} {_tenths(backlog)} replicas at b={size}"
        return Want(min(replicas, most), why, terms), seen

    def _backlog(self, view: ScalingView, service: ServiceTimes, seen: Envelope, size: int) -> float:
        """Replicas that also drain what waits, as far as a replica started now comes in time for it."""
        report = view.report
        first_s = service.mean_by_size_s[1]
        if view.ready == 0:
            saveable = report.waiting + report.late  # they wait for a start and give up only after it
        elif isfinite(view.latency_s) and view.cold_start_s + first_s <= view.latency_s:
            saveable = report.waiting
        else:
            saveable = 0
        if not saveable:
            return 0.0
        size = max(size, 1)
        per_item_s = service.mean_by_size_s[size] / size / max(report.slots, 1)
        if _is_gone_by_a_start(view, saveable, seen.per_s, per_item_s):
            return 0.0
        latency_s = view.latency_s if isfinite(view.latency_s) else max(2.0 * service.mean_by_size_s[size], 1.0)
        drain_s = max(latency_s - service.mean_by_size_s[size], latency_s / 4.0)
        return seen.per_s * per_item_s + saveable * per_item_s / drain_s

    def _remember(self, replicas: int, view: ScalingView) -> None:
        wants, now_s = self._wants, view.now_s
        while wants and wants[-1][1] <= replicas:
            wants.pop()
        wants.append((now_s, replicas))
        window_s = max(_DOWN_AFTER_S, _DOWN_AFTER_STARTS * view.cold_start_s)
        while wants[0][0] <= now_s - window_s:
            wants.popleft()

    def _down(self, view: ScalingView, service: ServiceTimes, up: Want, seen: Envelope, present: int) -> Want:
        """Fewer than there are: as far as the last minute and the capacity that would be left allow."""
        recent = self._wants[0][1]
        if recent >= present:
            return Want(present, f"{up.why}, but {recent} were wanted within the last minute", up.terms)
        slots = view.report.slots
        capacity_per_s, _ = sustainable_per_s(service, view.latency_s, view.ready, slots)
        panic_per_s = view.history.arrivals_per_s(view.now_s, _PANIC_WINDOW_S)
        if panic_per_s > _PANIC_FACTOR * capacity_per_s:
            return Want(present, f"panic: {panic_per_s:.4g}/s over {_PANIC_WINDOW_S:g} s", up.terms)
        target = present
        while target - 1 >= max(recent, 1):
            left_per_s, _ = sustainable_per_s(service, view.latency_s, target - 1, slots)
            if seen.per_s > _DOWN_UTILIZATION * left_per_s:
                break
            target -= 1
        if target == present:
            left_per_s, _ = sustainable_per_s(service, view.latency_s, present - 1, slots)
            why = f"{seen.per_s:.4g}/s would be more than {_DOWN_UTILIZATION:g} of the {left_per_s:.4g}/s of one less"
            return Want(present, why, up.terms)
        return Want(target, f"{up.why}, and no more for a minute", up.terms)


def _is_gone_by_a_start(view: ScalingView, waiting: int, arrivals_per_s: float, per_item_s: float) -> bool:
    """Whether what waits is gone before a replica started now is ready: then such a start helps nobody who waits.

    Until then the ready ones work all the time, and each that is starting for as long as it is older than the new one.

    Source:
        ALGORITHMS 4, "Up".
    """
    start_s = view.cold_start_s
    worked_s = view.ready * start_s + sum(min(age_s, start_s) for age_s in view.starting_ages_s)
    return start_s > 0 and waiting + arrivals_per_s * start_s <= worked_s / per_item_s


def _tenths(replicas: float) -> str:
    """Rounded up, so that what needs a little more than three does not read as three."""
    return f"{ceil(10.0 * (replicas - _ROUNDING)) / 10.0:g}"

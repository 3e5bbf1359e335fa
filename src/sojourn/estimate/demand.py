"""Counts of the last minutes, built from the growing counters of demand reports."""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from sojourn.domain.demand import DemandReport

_KEPT_S = 600.0
_THINNED_AFTER_S = 15.0  # older points are kept one per second


class Point(msgspec.Struct, frozen=True, gc=False):
    """The counters of one report and the gauges at that instant."""

    at_s: float
    arrivals: int
    served: int
    misses: int
    batches: int
    busy_s: float
    in_flight: int
    replicas: int


class DemandHistory:
    """What happened to one function in any window of the last ten minutes.

    Reports come every quarter of a second while there is traffic and not at all while there is none; a
    quiet function's counters stand still, so that its windows empty by themselves.
    """

    __slots__ = ("_first_at_s", "_is_quiet", "_points")

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._first_at_s: float | None = None
        self._is_quiet = False

    def add(self, report: DemandReport, now_s: float) -> None:
        """Take a report in."""
        if self._first_at_s is None:
            self._first_at_s = now_s
        in_flight = report.waiting + report.late + report.ongoing
        point = Point(
            now_s, report.arrivals, report.served, report.misses, report.batches, report.busy_s, in_flight,
            report.replicas,
        )  # fmt: skip
        self._is_quiet = report.is_quiet
        self._points.append(point)
        self._thin(now_s)

    @property
    def first_at_s(self) -> float | None:
        """When the first report came."""
        return self._first_at_s

    def age_s(self, now_s: float) -> float:
        """How old the newest data is: 0 for a function known to be quiet, infinite before the first report."""
        if not self._points:
            return float("inf")
        return 0.0 if self._is_quiet else now_s - self._points[-1].at_s

    def arrivals(self, now_s: float, window_s: float) -> float:
        """Arrivals in the last `window_s` seconds; between two reports they are taken to be evenly spread."""
        return self._grown(now_s - window_s, "arrivals")

    def arrivals_per_s(self, now_s: float, window_s: float) -> float:
        """Arrival rate over `window_s`, or over the time since the first report if that is shorter."""
        covered_s = self.covered_s(now_s, window_s)
        return self.arrivals(now_s, window_s) / covered_s if covered_s > 0 else 0.0

    def served(self, now_s: float, window_s: float) -> float:
        """Requests served in the last `window_s` seconds."""
        return self._grown(now_s - window_s, "served")

    def busy_s(self, now_s: float, window_s: float) -> float:
        """Replica time spent on batches that ended in the last `window_s` seconds."""
        return self._grown(now_s - window_s, "busy_s")

    def mean_in_flight(self, now_s: float, window_s: float) -> float:
        """Time average of requests queued or running over `window_s` (since the first report if shorter)."""
        return self._mean(now_s, window_s, "in_flight")

    def mean_replicas(self, now_s: float, window_s: float) -> float:
        """Time average of ready replicas over `window_s`."""
        return self._mean(now_s, window_s, "replicas")

    def covered_s(self, now_s: float, window_s: float) -> float:
        """How much of a window there is data for, in seconds."""
        return 0.0 if self._first_at_s is None else min(window_s, now_s - self._first_at_s)

    def _grown(self, since_s: float, field: str) -> float:
        """How much a counter has grown since an instant, interpolated between the reports around it."""
        points = self._points
        if not points:
            return 0.0
        after = bisect_right(points, since_s, key=lambda point: point.at_s)
        last = float(getattr(points[-1], field))
        if after == len(points):
            return 0.0
        if after == 0:
            return last - float(getattr(points[0], field))
        begin, end = points[after - 1], points[after]
        share = (since_s - begin.at_s) / (end.at_s - begin.at_s)
        low, high = float(getattr(begin, field)), float(getattr(end, field))
        return last - (low + share * (high - low))

    def _mean(self, now_s: float, window_s: float, field: str) -> float:
        covered_s = self.covered_s(now_s, window_s)
        if covered_s <= 0.0:
            return float(getattr(self._points[-1], field)) if self._points else 0.0
        begin_s, end_s, area = now_s - covered_s, now_s, 0.0
        for point in reversed(self._points):
            since_s = max(point.at_s, begin_s)
            area += getattr(point, field) * max(end_s - since_s, 0.0)
            end_s = since_s
            if point.at_s <= begin_s:
                break
        return area / covered_s

    def _thin(self, now_s: float) -> None:
        """Keep all points of the last seconds, one per second of the last minutes, and none older."""
        points = self._points
        while len(points) > 2 and points[1].at_s <= now_s - _KEPT_S:
            del points[0]
        old = bisect_right(points, now_s - _THINNED_AFTER_S, key=lambda point: point.at_s)
        if old >= 3 and int(points[old - 1].at_s) == int(points[old - 2].at_s):
            del points[old - 2]

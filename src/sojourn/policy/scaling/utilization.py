"""Kubernetes' horizontal autoscaler on the share of time the replicas are busy."""

from __future__ import annotations

from collections import deque
from math import ceil

from sojourn.domain.policy import UtilizationScaling
from sojourn.policy.scaling.observation import Period, current, is_asked, unobserved
from sojourn.policy.scaling.port import ScalingView, Want

_UP_PERIOD_S = 15.0
_UP_FACTOR = 2
_UP_STEP = 4


class UtilizationPolicy:
    """`ceil(ready * utilization / target)` once per period, with tolerance, stabilisation and a limit upwards.

    No change while the ratio is within the tolerance of 1. Replicas still starting count as idle when the ratio
    asks for more, and are left out when it asks for fewer. The count goes down only to the largest recommendation of
    the stabilisation window, and up in 15 s by at most doubling or 4, whichever is more. The original cannot leave
    zero by a busy share; here the first request asks for one replica.

    Args:
        spec: The parameters.

    Source:
        Kubernetes docs, "Horizontal Pod Autoscaling", algorithm details and default behavior;
        `pkg/controller/podautoscaler/replica_calculator.go` for tolerance and unready pods.
    """

    def __init__(self, spec: UtilizationScaling) -> None:
        self._spec = spec
        self._period = Period(spec.period_s)
        self._recommended: deque[tuple[float, int]] = deque()  # (instant, replicas) within the down window
        self._added: deque[tuple[float, int]] = deque()  # (instant, replicas) within the up policies' 15 s

    def decide(self, view: ScalingView) -> Want:
        """Replicas for the busy share of the last period."""
        undecided = self._period.standing(view) or unobserved(view)
        if undecided is not None:
            return undecided
        now_s, count = view.now_s, current(view)
        if count == 0:
            first = Want(1, "the first request starts one") if is_asked(view) else Want(0, "nothing is asked for")
            return self._period.decided(first, now_s)
        busy = self._busy_share(view)
        if busy is None:
            return self._period.decided(Want(count, "no replica was ready: as it is"), now_s)
        asked, why = self._asked(view, busy)
        replicas, bounds = self._bounded(max(asked, 1), count, now_s)
        terms = {"busy_share": busy, "asked": float(asked), "current": float(count), "ready": float(view.ready)}
        return self._period.decided(Want(replicas, why + bounds, terms), now_s)

    def _busy_share(self, view: ScalingView) -> float | None:
        """Busy share of the ready replicas' time over the last period, or None if there was no such time."""
        window_s = self._spec.period_s
        offered_s = view.history.mean_replicas(view.now_s, window_s) * view.history.covered_s(view.now_s, window_s)
        if offered_s <= 0.0 or view.ready == 0:
            return None
        return view.history.busy_s(view.now_s, window_s) / (offered_s * view.report.slots)

    def _asked(self, view: ScalingView, busy: float) -> tuple[int, str]:
        """Replicas by the ratio alone, and the sentence that says so."""
        spec, count = self._spec, current(view)
        counted, ratio = view.ready, busy / spec.target
        if view.starting and ratio > 1.0:
            counted, ratio = count, ratio * view.ready / count
            if ratio < 1.0:  # those starting are enough
                return count, f"busy share {busy:.2f} / {spec.target:g}, with {view.starting} starting {ratio:.2f}"
        why = f"busy share {busy:.2f} / {spec.target:g} = {ratio:.2f} of {counted}"
        if abs(ratio - 1.0) <= spec.tolerance:
            return count, f"{why}, within {spec.tolerance:g}"
        return ceil(ratio * counted), why

    def _bounded(self, asked: int, count: int, now_s: float) -> tuple[int, str]:
        """The recommendation after stabilisation and the limit upwards, and how the sentence goes on."""
        recommended, added = self._recommended, self._added
        if not recommended:  # what stands at the first decision was somebody's recommendation
            recommended.append((now_s, count))
        recommended.append((now_s, asked))
        while recommended[0][0] < now_s - self._spec.down_window_s:
            recommended.popleft()
        while added and added[0][0] <= now_s - _UP_PERIOD_S:
            added.popleft()
        if asked < count:
            kept = min(max(replicas for _, replicas in recommended), count)
            return kept, f", {kept} within {self._spec.down_window_s:g} s" if kept > asked else ""
        before = count - sum(replicas for _, replicas in added)
        most = max(_UP_FACTOR * before, before + _UP_STEP, count)
        replicas = min(asked, most)
        if replicas > count:
            added.append((now_s, replicas - count))
        return replicas, f", at most {most} in {_UP_PERIOD_S:g} s" if asked > most else ""

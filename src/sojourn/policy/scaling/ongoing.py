"""Ray Serve's autoscaler: ongoing requests over a target per replica, with a delay in each direction."""

from __future__ import annotations

from math import ceil

from sojourn.domain.policy import OngoingScaling
from sojourn.policy.scaling.observation import current, is_asked, unobserved
from sojourn.policy.scaling.port import ScalingView, Want


class OngoingPolicy:
    """Replicas for the mean number of ongoing requests; a change must be wished for long enough to be made.

    The wish is the average of ongoing requests (running and queued) over `look_back_s`, divided by the target and
    rounded up, within the function's bounds; the smoothing factors are 1. It becomes the target once it has been
    above it for `up_delay_s`, or below it for `down_delay_s`, without a break: a wish that equals the target or
    changes side starts the delay again. With no replica at all the first request asks for one at once.

    Ray counts periods of 0.1 s; here time itself is measured, so that asking more often changes nothing.

    Args:
        spec: The parameters.

    Source:
        Ray Serve, `serve/autoscaling_policy.py` and `AutoscalingConfig` (target 2, look back 30 s, 30 s up, 600 s down).
    """

    def __init__(self, spec: OngoingScaling) -> None:
        self._spec = spec
        self._target: int | None = None
        self._side = 0  # of the wish: above (1), below (-1) or at (0) the target
        self._since_s = 0.0  # since when the wish is on this side

    def decide(self, view: ScalingView) -> Want:
        """The target, moved if the wish has lasted."""
        missing = unobserved(view)
        if missing is not None:
            return missing
        if current(view) == 0:
            return self._from_zero(view)
        if not self._target:  # the first decision, or replicas that others started
            self._target = current(view)
        average = view.history.mean_in_flight(view.now_s, self._spec.look_back_s)
        exact = average / self._spec.target
        wish = min(max(ceil(exact), view.min_replicas, 1), max(view.max_replicas, 1))
        why = f"{self._spec.look_back_s:g}-s average {average:.1f} ongoing / {self._spec.target:g} = {exact:.2f}"
        why += self._consider(wish, view.now_s)
        return Want(self._target, why, {"ongoing": average, "wish": float(wish), "since_s": view.now_s - self._since_s})

    def _from_zero(self, view: ScalingView) -> Want:
        # A target above zero would start again what keep-alive has just stopped.
        self._target = max(self._target or 0, 1) if is_asked(view) else 0
        self._side, self._since_s = 0, view.now_s
        why = "the first request starts one" if self._target else "nothing is asked for"
        return Want(self._target, why, {"ongoing": 0.0, "wish": float(self._target), "since_s": 0.0})

    def _consider(self, wish: int, now_s: float) -> str:
        """Move the target to the wish if it is time; how the sentence goes on."""
        assert self._target is not None
        side = (wish > self._target) - (wish < self._target)
        if side != self._side:
            self._side, self._since_s = side, now_s
        if side == 0:
            return ""
        delay_s = self._spec.up_delay_s if side > 0 else self._spec.down_delay_s
        lasted_s = now_s - self._since_s
        if lasted_s < delay_s:
            return f", for {lasted_s:.1f} of {delay_s:g} s"
        self._target, self._side = wish, 0
        return f", for {lasted_s:.1f} s"

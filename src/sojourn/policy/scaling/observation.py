"""What the baselines share: when they decide, and what they answer while they know nothing."""

from __future__ import annotations

from math import inf

from sojourn.policy.scaling.port import ScalingView, Want

_STALE_AFTER_S = 5.0  # reports come every 0.25 s while there is traffic


class Period:
    """Lets a policy decide once per period, as the originals do, however often it is asked.

    In between the last answer stands. A function with nothing but waiting requests is decided on at once:
    the originals either wake their autoscaler for the first request or cannot start from zero at all.

    Args:
        period_s: Least time between two decisions, in seconds, >= 0.
    """

    __slots__ = ("_next_at_s", "_period_s", "_standing")

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._next_at_s = -inf
        self._standing: Want | None = None

    def standing(self, view: ScalingView) -> Want | None:
        """The answer to repeat, or None if it is time to decide."""
        is_first_request = current(view) == 0 and is_asked(view) and not (self._standing and self._standing.replicas)
        return self._standing if view.now_s < self._next_at_s and not is_first_request else None

    def decided(self, want: Want, now_s: float) -> Want:
        """Remember a decision until the next is due, and hand it back."""
        self._standing = want
        self._next_at_s = now_s + self._period_s
        return want


def current(view: ScalingView) -> int:
    """Replicas that are or will be there: what the originals call the size they have set."""
    return view.ready + view.starting


def is_asked(view: ScalingView) -> bool:
    """Whether any request is queued or running."""
    return view.report.waiting + view.report.late + view.report.ongoing > 0


def unobserved(view: ScalingView) -> Want | None:
    """The answer that changes nothing, while there are no fresh counts; else None. No data is not zero."""
    age_s = view.history.age_s(view.now_s)
    if age_s <= _STALE_AFTER_S:
        return None
    told = "no report yet" if age_s == inf else f"last report {age_s:.1f} s ago"
    return Want(current(view), f"{told}: as it is", {"report_age_s": age_s})

"""The rate of arrivals a function has to be ready for: the upper edge of its recent traffic."""

from __future__ import annotations

from math import sqrt

import msgspec

from sojourn.estimate.demand import DemandHistory

_WINDOWS_S = (1.0, 2.0, 5.0, 10.0)
_SHORT_WINDOW_S = 0.5
_MEAN_WINDOW_S = 10.0
_CHANCE = 2.0  # standard deviations of a Poisson count that may be chance
_SHORT_CHANCE = 3.0
_SHORTEST_REACH_S = 2.0


class Envelope(msgspec.Struct, frozen=True):
    """A rate and the window it was seen in."""

    per_s: float
    window_s: float


def envelope(history: DemandHistory, now_s: float, cold_start_s: float) -> Envelope:
    """The highest rate that is more than chance, over windows up to twice the time a start takes.

    A burst shorter than a start cannot be met by starting; a window's count less two standard deviations
    of a Poisson count is what chance alone would hardly reach. The mean of the last ten seconds is the
    least. A window of half a second, with three standard deviations, sees a step the soonest.

    Args:
        history: Counts of arrivals.
        now_s: The instant of the question.
        cold_start_s: How long a start takes, in seconds, >= 0.

    Source:
        ALGORITHMS 4; the idea of an envelope: D. Crankshaw et al., "InferLine", SoCC'20.
    """
    best = Envelope(history.arrivals_per_s(now_s, _MEAN_WINDOW_S), history.covered_s(now_s, _MEAN_WINDOW_S))
    reach_s = max(2.0 * cold_start_s, _SHORTEST_REACH_S)
    for window_s in (_SHORT_WINDOW_S, *_WINDOWS_S):
        if window_s > reach_s:
            break
        count = history.arrivals(now_s, window_s)
        chance = _SHORT_CHANCE if window_s == _SHORT_WINDOW_S else _CHANCE
        per_s = (count - chance * sqrt(count)) / window_s
        if per_s > best.per_s:
            best = Envelope(per_s, window_s)
    return best

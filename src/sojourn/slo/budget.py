"""The arithmetic of error budgets: what share may be bad, how much of it is left, how fast it goes."""

from __future__ import annotations

import msgspec

from sojourn.domain.objective import SLO
from sojourn.slo.tally import Counts


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The error budget of an objective over its window.

    Args:
        allowed: Bad requests the window allows at its traffic so far, >= 0.
        spent: Bad requests there were.
        remaining_ratio: Share of the budget that is left, <= 1; below 0 the objective is missed.
        exhausted_in_s: When it will be used up if it goes on burning as it does now, in seconds; 0 if it is used
            up, None if it does not burn or would last longer than the window.
    """

    allowed: float
    spent: int
    remaining_ratio: float
    exhausted_in_s: float | None = None


def burn_rate(total: int, good: int, objective: float) -> float | None:
    """How many times faster than allowed the budget burns: bad share over allowed share; None without requests.

    Source:
        Google, The Site Reliability Workbook, chapter 5: at 1 the budget lasts exactly its window.
    """
    return (total - good) / total / (1.0 - objective) if total else None


def budget(counts: Counts, slo: SLO, burning: float | None) -> Budget:
    """What is left of the budget.

    Args:
        counts: Of the objective's whole window.
        slo: The objective.
        burning: The present burn rate (of the last hour of a window of 30 days), or None if unknown.
    """
    allowed = (1.0 - slo.objective) * counts.total
    remaining = 1.0 - counts.bad / allowed if counts.total else 1.0
    if abs(remaining) < 1e-9:  # a budget used up to the last request is used up, whatever the rounding
        remaining = 0.0
    exhausted_in_s: float | None = None
    if remaining <= 0:
        exhausted_in_s = 0.0
    elif burning:
        until_s = remaining * slo.window_s / burning
        exhausted_in_s = until_s if until_s <= slo.window_s * (1 + 1e-9) else None
    return Budget(allowed=allowed, spent=counts.bad, remaining_ratio=remaining, exhausted_in_s=exhausted_in_s)

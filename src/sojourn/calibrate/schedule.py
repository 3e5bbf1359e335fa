"""Which batch to measure next, and when enough is known of each size."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from random import Random
from typing import Final

from sojourn.calibrate.sample import Cell

ROUNDS_MIN: Final = 6  # a size is measured if the budget allows so many rounds of it and of all smaller ones
SAMPLES_MIN: Final = 100  # fewer say little of a p95
ROUNDS_ENOUGH: Final = 10
SAMPLES_MAX: Final = 2000
RELATIVE_ERROR: Final = 0.01


class Schedule:
    """Measures all sizes in turn, in an order drawn anew each round, until each is known well or time is up.

    A machine that slows down meanwhile so slows all sizes alike, instead of looking like a property of those that
    came last. Call `survey` until it gives None, then `next` until it gives None; after each run, `observe`.

    Args:
        cells: What to measure, the cheapest first; at least one.
        budget_s: Time to spend, in seconds, > 0; at least one round is measured whatever it takes.
        rng: Draws the order.
    """

    def __init__(self, cells: Sequence[Cell], budget_s: float, rng: Random) -> None:
        self._to_survey = list(cells)
        self._budget_s = budget_s
        self._rng = rng
        self._surveyed_s: dict[Cell, float] = {}
        self._rounds_s: dict[Cell, list[float]] = {}  # mean time of a model call, by round
        self._round: list[Cell] = []
        self._rounds_begun = 0
        self.spent_s = 0.0
        self.left_out: list[Cell] = []

    @property
    def done_share(self) -> float:
        """How far it has come, in [0, 1]."""
        return min(self.spent_s / self._budget_s, 1.0)

    def survey(self) -> Cell | None:
        """The next size to run once, without counting it: the first call of a size may well take longer.

        Sizes for which the budget would not allow a few rounds are left out, and so are all larger ones.
        """
        if not self._to_survey:
            return None
        cell = self._to_survey[0]
        if self._surveyed_s:
            last, last_s = next(reversed(self._surveyed_s.items()))
            foreseen_s = last_s * cell.size / last.size if cell.concurrency == 1 else self._surveyed_s[Cell(1)]
            if (sum(self._surveyed_s.values()) + foreseen_s) * ROUNDS_MIN > self._budget_s:
                # Larger batches cost more, but several single items at once may still be cheap.
                same_kind = [one for one in self._to_survey if (one.concurrency > 1) == (cell.concurrency > 1)]
                self.left_out += same_kind
                self._to_survey = [one for one in self._to_survey if one not in same_kind]
                return self.survey()
        del self._to_survey[0]
        return cell

    def surveyed(self, cell: Cell, spent_s: float) -> None:
        """It was run once and took `spent_s` seconds in all."""
        self._surveyed_s[cell] = spent_s
        self._rounds_s[cell] = []
        self.spent_s += spent_s

    def next(self) -> Cell | None:
        """The next one to measure; None: enough is known, or time is up."""
        is_late = self.spent_s >= self._budget_s
        if not self._round:
            self._round = [] if is_late and self._rounds_begun else [c for c in self._rounds_s if self._wants(c)]
            self._rng.shuffle(self._round)
            self._rounds_begun += 1
        elif is_late and self._rounds_begun > 1:
            return None
        return self._round.pop() if self._round else None

    def observe(self, cell: Cell, service_s: Sequence[float], spent_s: float) -> None:
        """Its batches took so long in the model call, each, and `spent_s` seconds went by."""
        self._rounds_s[cell].append(sum(service_s) / len(service_s))
        self.spent_s += spent_s

    def _wants(self, cell: Cell) -> bool:
        rounds_s = self._rounds_s[cell]
        samples = len(rounds_s) * cell.concurrency
        if samples >= SAMPLES_MAX:
            return False
        is_known = samples >= SAMPLES_MIN and len(rounds_s) >= ROUNDS_ENOUGH
        return not is_known or relative_error(rounds_s) > RELATIVE_ERROR


def relative_error(values: Sequence[float]) -> float:
    """Standard error of the mean over the mean, of independent values > 0; 0 for a single one."""
    count = len(values)
    if count < 2:
        return 0.0
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return sqrt(variance / count) / mean if mean > 0 else 0.0

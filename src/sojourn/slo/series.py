"""Closed cells of one length, oldest first: sums over any window at the cost of two look-ups."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter

from sojourn.slo.cause import CAUSES
from sojourn.slo.tally import Counts, Tally, unpacked

_TRIM_SHARE = 8  # cells that are too old go when they are more than this part of those kept
_COUNT_MAX = 2**32 - 1  # of a column; more than an hour can bring

_Cell = tuple[int, int, int, tuple[int, ...], bytes]  # number, total, good, the other counts, the packed tally


class Series:
    """Counts of the cells that had any traffic; at most `kept` cells back from the newest.

    A cell has the number `start // length`. Cells come in ascending order; one number may come more than
    once (of two revisions), and then all count. `total` and `good` are kept as running sums, so that
    a window costs no more than a look-up of its ends; the rest is summed when asked for.

    Args:
        cell_s: Length of a cell, in whole seconds.
        kept: How many cells back are kept.
        keeps_packed: Whether the packed tallies are kept, too (for latencies).
    """

    __slots__ = (
        "_columns", "_good", "_good_before", "_numbers", "_packed", "_total", "_total_before", "cell_s", "kept",
    )  # fmt: skip

    def __init__(self, cell_s: int, kept: int, *, keeps_packed: bool = False) -> None:
        self.cell_s = cell_s
        self.kept = kept
        self._numbers = array("I")
        self._total_before = array("Q")  # over the cells before each
        self._good_before = array("Q")
        self._total = 0
        self._good = 0
        self._columns = tuple(array("I") for _ in range(3 + len(CAUSES)))  # those left out, causes
        self._packed: list[bytes] | None = [] if keeps_packed else None

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def oldest(self) -> int | None:
        """Number of the oldest cell; None without cells."""
        return self._numbers[0] if self._numbers else None

    def append(self, number: int, tally: Tally) -> None:
        """Add a closed cell, not older than the last."""
        left_out = (tally.client_faults, tally.cancelled, tally.client_timeouts)
        self._add(number, tally.total, tally.good, (*left_out, *tally.causes))
        if self._packed is not None:
            self._packed.append(tally.pack())
        self._trim(number - self.kept)

    def absorb(self, other: Series) -> None:
        """Take over the cells of another series of the same length; cells of one number count together."""
        cells = list(merge(self._cells(), other._cells(), key=itemgetter(0)))
        for column in (self._numbers, self._total_before, self._good_before, *self._columns):
            del column[:]
        self._packed = None if self._packed is None else []
        self._total = self._good = 0
        for number, total, good, counts, packed in _joined(cells):
            self._add(number, total, good, counts)
            if self._packed is not None:
                self._packed.append(packed)
        if cells:
            self._trim(cells[-1][0] - self.kept)

    def _cells(self) -> Iterator[_Cell]:
        """All cells: number, total, good, the other counts, and the packed tally if it is kept."""
        totals, goods = (*self._total_before, self._total), (*self._good_before, self._good)
        for place, number in enumerate(self._numbers):
            counts = tuple(column[place] for column in self._columns)
            packed = b"" if self._packed is None else self._packed[place]
            yield number, totals[place + 1] - totals[place], goods[place + 1] - goods[place], counts, packed

    def _add(self, number: int, total: int, good: int, counts: Iterable[int]) -> None:
        self._numbers.append(number)
        self._total_before.append(self._total)
        self._good_before.append(self._good)
        self._total += total
        self._good += good
        for column, count in zip(self._columns, counts, strict=True):
            column.append(min(count, _COUNT_MAX))

    def _trim(self, last_unwanted: int) -> None:
        """Forget cells up to a number, once there are enough of them to be worth it."""
        unwanted = bisect_left(self._numbers, last_unwanted + 1) if last_unwanted >= 0 else 0
        if unwanted * _TRIM_SHARE > self.kept:
            for column in (self._numbers, self._total_before, self._good_before, *self._columns):
                del column[:unwanted]
            if self._packed is not None:
                del self._packed[:unwanted]

    def since(self, number: int) -> tuple[int, int]:
        """(total, good) over the cells from `number` on."""
        first = bisect_left(self._numbers, number)
        if first == len(self._numbers):
            return 0, 0
        return self._total - self._total_before[first], self._good - self._good_before[first]

    def counts_since(self, number: int) -> Counts:
        """All counts over the cells from `number` on."""
        total, good = self.since(number)
        first = bisect_left(self._numbers, number)
        client_faults, cancelled, client_timeouts, *causes = (sum(column[first:]) for column in self._columns)
        return Counts(
            total=total,
            good=good,
            client_faults=client_faults,
            cancelled=cancelled,
            client_timeouts=client_timeouts,
            bad_by_cause=tuple(causes),
        )

    def packed_since(self, number: int) -> Iterator[tuple[int, bytes]]:
        """The packed tallies from `number` on, with the numbers of their cells; none if they are not kept."""
        if self._packed is not None:
            first = bisect_left(self._numbers, number)
            yield from zip(self._numbers[first:], self._packed[first:], strict=True)


def _joined(cells: Iterable[_Cell]) -> Iterator[_Cell]:
    """Cells in order, those of one number made into one: however many revisions come and go within it."""
    last: _Cell | None = None
    for cell in cells:
        if last is None:
            last = cell
        elif last[0] == cell[0]:
            counts = tuple(map(sum, zip(last[3], cell[3], strict=True)))
            last = last[0], last[1] + cell[1], last[2] + cell[2], counts, _packed_together(last[4], cell[4])
        else:
            yield last
            last = cell
    if last is not None:
        yield last


def _packed_together(one: bytes, other: bytes) -> bytes:
    if not (one and other):
        return one or other
    tally = unpacked(one)
    tally.add_packed(other)
    return tally.pack()


class OpenCell:
    """A minute or an hour under way, and the closed ones before it."""

    __slots__ = ("changed", "number", "series", "tally")

    def __init__(self, series: Series, number: int) -> None:
        self.series = series
        self.number = number
        self.tally = Tally()
        self.changed = False  # since it was last saved

    def absorb(self, other: OpenCell) -> None:
        """Take over what another one counted; both count as closed."""
        for each in (self, other):
            if not each.tally.is_empty:
                each.series.append(each.number, each.tally)
                each.tally = Tally()
        self.series.absorb(other.series)
        self.number = max(self.number, other.number)

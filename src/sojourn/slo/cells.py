"""What packed tallies say together: quantiles of windows, and longer cells made of shorter ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from sojourn.slo.cause import CAUSES
from sojourn.slo.histogram import LogHistogram
from sojourn.slo.rows import PackedCell
from sojourn.slo.status import HistoryCell, WindowQuantiles
from sojourn.slo.tally import Tally, unpacked


def quantiles_since(cells: Sequence[PackedCell], begins_s: Sequence[float]) -> list[WindowQuantiles]:
    """Quantiles of windows that end now; each begins where the one before it does, or earlier.

    Args:
        cells: Oldest first.
        begins_s: Where each window begins, in seconds since the epoch, descending.
    """
    found, merged, left = [], LogHistogram(), list(cells)
    for begin_s in begins_s:
        while left and left[-1].starts_at_s + left[-1].length_s > begin_s:
            with contextlib.suppress(ValueError):  # a damaged row of the file: the rest is told all the same
                merged.merge(unpacked(left.pop().packed).latency)
        p50, p90, p99, p999 = (merged.quantile(p) for p in (0.5, 0.9, 0.99, 0.999))
        found.append(WindowQuantiles(served=merged.count, p50=p50, p90=p90, p99=p99, p999=p999))
    return found


def merged_cells(cells: Iterable[PackedCell], cell_s: int) -> Iterator[HistoryCell]:
    """Cells of `cell_s` seconds, out of shorter ones in ascending order."""
    number: int | None = None
    tally = Tally()
    for starts_at_s, _, packed in cells:
        if number is not None and starts_at_s // cell_s != number:
            yield _history_cell(number * cell_s, cell_s, tally)
            tally = Tally()
        number = starts_at_s // cell_s
        with contextlib.suppress(ValueError):  # as above
            tally.add_packed(packed)
    if number is not None:
        yield _history_cell(number * cell_s, cell_s, tally)


def _history_cell(starts_at_s: int, cell_s: int, tally: Tally) -> HistoryCell:
    return HistoryCell(
        starts_at_s=starts_at_s,
        duration_s=cell_s,
        arrivals=tally.arrivals,
        total=tally.total,
        good=tally.good,
        replica_s=tally.replica_ms / 1e3,
        bad_by_cause={cause: count for cause, count in zip(CAUSES, tally.causes, strict=True) if count},
        latency=list(tally.latency.cells()),
    )

"""Cells out of packed tallies: what one of them does not tell, the others do."""

from __future__ import annotations

import pytest

from sojourn.slo.cells import merged_cells, quantiles_since
from sojourn.slo.rows import PackedCell
from sojourn.slo.tally import Tally


def packed(total):
    """So many good requests of ten milliseconds."""
    tally = Tally()
    tally.total = tally.good = total
    for _ in range(total):
        tally.latency.observe(0.01)
    return tally.pack()


@pytest.mark.parametrize("damaged", [b"", b"\x02", packed(3)[:-1]])
def test_a_damaged_cell_hides_no_other(damaged):
    """A row of the file that cannot be read: sums and quantiles are those of the rest, and nothing of it is added."""
    cells = [PackedCell(0, 60, packed(2)), PackedCell(60, 60, damaged), PackedCell(120, 60, packed(5))]
    (merged,) = merged_cells(cells, 3600)
    assert (merged.total, sum(count for _, count in merged.latency)) == (7, 7)
    (window,) = quantiles_since(cells, [0.0])
    assert window.p50 == pytest.approx(0.01, rel=0.011)

"""The rolling minute against a plain list of everything that happened."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sojourn.telemetry.window import CELL_S, CELLS, RollingMinute

# Whole steps of 0.5 s with leaps: cells are skipped, revisited and left for long.
STEPS = st.lists(st.sampled_from([0.0, 0.5, 4.5, 10.0, 25.0, 59.5, 60.0, 300.0]), min_size=1, max_size=60)


@given(STEPS, st.sampled_from([0.0, 9.5, 50.0, 61.0, 1000.0]))
@example([10.0] * 8, 0.0)
@example([10.0] * 8, 19.5)
def test_cells_hold_what_happened_in_the_last_six_cells_of_ten_seconds(steps, pause_s):
    """At any later instant the window counts exactly what a list filtered by cell number counts."""
    minute, happened, now_s = RollingMinute(), [], 1000.0
    for step_s in steps:
        now_s += step_s
        minute.current(now_s).arrivals += 1
        happened.append(now_s)
    now_s += pause_s
    first = now_s // CELL_S - (CELLS - 1)
    assert sum(cell.arrivals for cell in minute.cells(now_s)) == sum(at_s // CELL_S >= first for at_s in happened)


@given(STEPS)
def test_since_start_forgets_nothing(steps):
    """What left the window is still in the total, once."""
    minute, now_s = RollingMinute(), 0.0
    for step_s in steps:
        now_s += step_s
        minute.current(now_s).latency.observe(0.1)
    assert minute.since_start().count == len(steps)
    assert minute.since_start().count == len(steps)


def test_covered_time_grows_from_one_cell_to_a_minute():
    """Rates are divided by the time observed: at least a cell, at most the window."""
    minute = RollingMinute()
    minute.current(100.0)
    assert minute.covered_s(100.5) == CELL_S
    assert minute.covered_s(125.0) == 25.0
    assert minute.covered_s(1_000_005.0) == 55.0


def test_an_earlier_instant_counts_into_the_current_cell():
    """A caller whose clock reading is a little old is neither lost nor opens a cell in the past."""
    minute = RollingMinute()
    current = minute.current(20.0)
    assert minute.current(19.9) is current

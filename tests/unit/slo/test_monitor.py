"""The monitor against a plain list of everything that happened, within one run and over many."""

from __future__ import annotations

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sojourn.slo.cause import CAUSES
from sojourn.slo.monitor import FINE_KEPT, FINE_S, HOUR_S, MINUTE_S, MINUTES_KEPT, Monitor
from sojourn.slo.rows import Row
from sojourn.slo.tally import Tally, unpacked

OFFSET_S = 1_800_000_003.7  # monotonic 0 falls into the middle of a cell
# Leaps within a cell, over cells, over minutes, hours and days.
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.4, 9.9, 10.0, 61.0, 700.0, 3601.0, 90_000.0]), st.booleans()),
    min_size=1,
    max_size=40,
)
WINDOWS_S = [10.0, 60.0, 300.0, 3600.0, 6 * 3600.0, 86_400.0, 3 * 86_400.0, 30 * 86_400.0]


def count(monitor, now_s, *, is_good):
    """One request that counts."""
    cell = monitor.current(now_s)
    cell.total += 1
    if is_good:
        cell.good += 1
        cell.latency.observe(0.01)
    else:
        cell.causes[2] += 1


def cell_of(window_s, *, is_first_run=True):
    """Length of the cells a window is made of."""
    if window_s <= FINE_S * FINE_KEPT and is_first_run:
        return FINE_S
    return MINUTE_S if window_s <= 3 * 86_400 else HOUR_S


def expected(happened, now_s, window_s, cell_s):
    """What a list says: everything in cells that end after the window's begin."""
    first = (now_s - window_s + OFFSET_S) // cell_s
    seen = [is_good for at_s, is_good in happened if (at_s + OFFSET_S) // cell_s >= first]
    return len(seen), sum(seen)


@given(STEPS, st.sampled_from([0.0, 15.0, 4000.0]))
@example([(0.0, True), (90_000.0, True)], 0.0)
def test_every_window_counts_what_a_list_counts(steps, pause_s):
    """Whatever the window, its counts are exact up to the cell its begin falls into."""
    monitor, happened, now_s = Monitor("r", OFFSET_S), [], 50.0
    for step_s, is_good in steps:
        now_s += step_s
        count(monitor, now_s, is_good=is_good)
        happened.append((now_s, is_good))
    now_s += pause_s
    for window_s in WINDOWS_S:
        # A window that begins before the process did is made of longer cells, if there are any.
        fine = expected(happened, now_s, window_s, FINE_S)
        longer = expected(happened, now_s, window_s, cell_of(window_s, is_first_run=False))
        reaches_back = now_s - window_s < 50.0
        wanted = longer if reaches_back or window_s > FINE_S * FINE_KEPT else fine
        assert monitor.total_good(now_s, window_s) == wanted
        counts = monitor.counts(now_s, window_s)
        assert (counts.total, counts.good) == wanted
        assert counts.bad_by_cause[2] == counts.bad == sum(counts.bad_by_cause)


class Kept(dict):
    """What a store does with rows: the last one of each cell and revision counts."""

    def save(self, rows):
        """Keep them."""
        for row in rows:
            self[row.cell_s, row.starts_at_s, row.revision] = row

    def rows(self):
        """All of them, as a store reads them back."""
        return sorted(self.values(), key=lambda row: (row.starts_at_s, row.revision))


RUNS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from([0.3, 7.0, 31.0, 3000.0]), st.booleans()), max_size=12),
        st.sampled_from(["r1", "r2"]),
        st.sampled_from([0.5, 20.0, 4000.0]),
    ),
    min_size=1,
    max_size=6,
)


@given(RUNS, st.booleans())
def test_over_restarts_each_request_is_counted_once(runs, saves_twice):
    """Runs of two revisions, ended in order, restarted within a cell, a minute or later: nothing is lost or doubled."""
    kept, happened, now_s = Kept(), [], 50.0
    for steps, revision, pause_s in runs:
        monitor = Monitor(revision, OFFSET_S)
        monitor.load(kept.rows(), now_s)
        assert monitor.total_good(now_s, 30 * 86_400.0) == (len(happened), sum(happened))
        for step_s, is_good in steps:
            now_s += step_s
            count(monitor, now_s, is_good=is_good)
            happened.append(is_good)
            if is_good:
                kept.save(monitor.unsaved())
        monitor.finish(now_s)
        rows = monitor.unsaved()
        kept.save(rows)
        if saves_twice:
            kept.save(rows)
        now_s += pause_s
    for cell_s in (MINUTE_S, HOUR_S):
        tallies = [unpacked(row.packed) for row in kept.values() if row.cell_s == cell_s]
        assert sum(tally.total for tally in tallies) == len(happened)
        assert sum(tally.good for tally in tallies) == sum(happened)
        assert sum(tally.latency.count for tally in tallies) == sum(happened)


def test_a_killed_process_loses_the_cell_under_way_and_no_more():
    """What was saved at the end of the last cell is all there; the next run goes on from it."""
    kept, monitor = Kept(), Monitor("r", 0.0)
    for second in range(25):
        count(monitor, float(second), is_good=True)
        if second % FINE_S == 0:
            kept.save(monitor.unsaved())
    again = Monitor("r", 0.0)
    again.load(kept.rows(), 26.0)
    assert again.total_good(26.0, 3600.0) == (20, 20)


def test_rows_that_could_not_be_saved_come_again():
    """A full disk loses nothing as long as the process lives, and a newer row takes the place of an older one."""
    monitor, kept = Monitor("r", 0.0), Kept()
    for second in range(0, 200, 5):
        count(monitor, float(second), is_good=True)
        if second == 100:
            monitor.put_back(monitor.unsaved())
    kept.save(monitor.unsaved())
    monitor.finish(199.0)
    kept.save(monitor.unsaved())
    assert sum(unpacked(row.packed).total for row in kept.values() if row.cell_s == MINUTE_S) == 40
    assert sum(unpacked(row.packed).total for row in kept.values() if row.cell_s == HOUR_S) == 40


def test_a_row_put_back_takes_the_place_of_none_that_is_newer():
    """The write of a minute hung until the minute had closed with more in it: the later row is the one that stays."""
    monitor, kept = Monitor("r", 0.0), Kept()
    for _ in range(5):
        count(monitor, 1.0, is_good=True)
    monitor.current(11.0)
    handed = monitor.unsaved()
    for second in (15.0, 20.0, 61.0):
        count(monitor, second, is_good=True)
    monitor.current(71.0)
    monitor.put_back(handed)
    kept.save(monitor.unsaved())
    assert {at_s: unpacked(row.packed).total for (cell_s, at_s, _), row in kept.items() if cell_s == MINUTE_S} == {
        0: 7,
        60: 1,
    }
    assert sum(unpacked(row.packed).total for row in kept.values() if row.cell_s == HOUR_S) == 8


def test_rows_in_the_hands_of_the_writer_are_still_shown():
    """Until it says that they are kept, nobody else may have them."""
    monitor = Monitor("r", 0.0)
    count(monitor, 1.0, is_good=True)
    count(monitor, 61.0, is_good=True)
    monitor.current(71.0)
    assert len(monitor.unsaved()) == 3
    assert [row.starts_at_s for row in monitor.open_rows(72.0) if row.cell_s == MINUTE_S] == [0, 60, 60]
    monitor.saved()
    assert [row.starts_at_s for row in monitor.open_rows(72.0) if row.cell_s == MINUTE_S] == [60]


def test_three_days_of_minutes_and_ninety_of_hours_wait_for_a_full_disk():
    """What would be too old to be kept is dropped, and counted; hours do not go because of minutes."""
    monitor = Monitor("r", 0.0)
    for minute in range(MINUTES_KEPT + 100):
        count(monitor, minute * 60.0, is_good=True)
        if minute % 50 == 0:
            monitor.put_back(monitor.unsaved())
    rows = monitor.unsaved()
    hours = [unpacked(row.packed).total for row in rows if row.cell_s == HOUR_S]
    minutes = [row.starts_at_s for row in rows if row.cell_s == MINUTE_S]
    assert sum(hours) == MINUTES_KEPT + 99, "all but the cell under way"
    assert len(minutes) == MINUTES_KEPT + 1, "and the one under way"
    assert min(minutes) == 60 * monitor.dropped_rows > 0


@pytest.mark.parametrize("packed", [b"\x02", b"", b"\x01\x08" + b"\xff" * 9 + b"\x01"])
def test_a_row_that_cannot_be_read_is_left_out_and_never_written_over(packed):
    """The others count, and what this run adds to that minute has a key of its own."""
    before = Monitor("r", 0.0)
    for second in (1.0, 61.0):
        count(before, second, is_good=True)
    before.finish(62.0)
    rows = sorted(before.unsaved(), key=lambda row: row.starts_at_s)
    place = next(place for place, row in enumerate(rows) if row.starts_at_s == 60)
    rows[place] = Row(revision="r", cell_s=MINUTE_S, starts_at_s=60, packed=packed)
    kept = Kept()
    kept.save(rows)
    monitor = Monitor("r", 0.0)
    assert monitor.load(rows, 63.0, "mark") == 1
    assert monitor.total_good(63.0, 86_400.0) == (1, 1)
    assert monitor.total_good(63.0, 10 * 86_400.0) == (2, 2)
    count(monitor, 64.0, is_good=True)
    monitor.finish(65.0)
    kept.save(monitor.unsaved())
    assert kept[MINUTE_S, 60, "r"].packed == packed
    assert sum(unpacked(row.packed).total for (cell_s, _, _), row in kept.items() if cell_s == HOUR_S) == 3
    assert monitor.total_good(66.0, 10 * 86_400.0) == (3, 3)


def test_counts_beyond_all_bounds_are_refused_as_a_whole():
    """Nothing of such a row is added, and no column overflows."""
    tally = Tally()
    tally.total, tally.causes[0] = 1, 2**33
    monitor = Monitor("r", 0.0)
    assert monitor.load([Row(revision="q", cell_s=MINUTE_S, starts_at_s=0, packed=tally.pack())], 100.0) == 0
    assert monitor.total_good(100.0, 86_400.0) == (1, 0)
    tally.causes[0], other = 2**50, Tally()
    with pytest.raises(ValueError, match="more than can be"):
        other.add_packed(tally.pack())
    assert other.is_empty


def test_open_rows_hold_the_cell_under_way_and_change_nothing():
    """Reading in mid-cell sees everything; saving afterwards still does."""
    monitor = Monitor("r", 0.0)
    for second in (1.0, 12.0, 65.0):
        count(monitor, second, is_good=True)
    seen = {row.cell_s: unpacked(row.packed).total for row in monitor.open_rows(66.0) if row.starts_at_s in {0, 60}}
    assert seen[HOUR_S] == 3
    minutes = [unpacked(row.packed).total for row in monitor.open_rows(66.0) if row.cell_s == MINUTE_S]
    assert sum(minutes) == 3
    monitor.finish(66.0)
    assert sum(unpacked(row.packed).total for row in monitor.unsaved() if row.cell_s == MINUTE_S) == 3


def test_a_monitor_never_used_knows_nothing_and_takes_next_to_nothing():
    """Asking does not make it used."""
    monitor = Monitor()
    assert monitor.total_good(5.0, 60.0) == (0, 0)
    assert monitor.recent(5.0) == []
    assert monitor.fine_cells(5.0, 60.0) == []
    assert monitor.open_rows(5.0) == []
    assert monitor.covers_s(5.0) == 0.0
    assert not monitor.is_used


def test_ninety_days_of_constant_traffic_stay_within_two_megabytes():
    """Every cell of all three lengths in use, each with forty cells of latency, and what fell out is gone."""
    monitor = Monitor("r", 0.0)
    latencies = [0.001 * 1.03**step for step in range(40)]

    def fill(now_s):
        cell = monitor.current(now_s)
        for latency_s in latencies:
            cell.latency.observe(latency_s)
        cell.total += 1000
        cell.good += 999
        cell.causes[0] += 1

    for hour in range(100 * 24):
        fill(hour * 3600.0)
    begin_s = 100 * 86_400.0
    for minute in range(4 * 24 * 60):
        fill(begin_s + minute * 60.0)
    begin_s += 4 * 86_400.0
    for cell in range(7 * 360):
        fill(begin_s + cell * 10.0)
    monitor.unsaved()
    monitor.saved()
    assert size_of(monitor) <= 1_500_000
    now_s = begin_s + 7 * 3600.0
    assert monitor.total_good(now_s, 3600.0)[0] == pytest.approx(360_000, rel=0.01)


def size_of(thing, seen=None):
    """Bytes of an object and all that hangs on it."""
    seen = seen if seen is not None else set()
    if id(thing) in seen or isinstance(thing, type):
        return 0
    seen.add(id(thing))
    size = sys.getsizeof(thing)
    if isinstance(thing, dict):
        return size + sum(size_of(one, seen) for pair in thing.items() for one in pair)
    if isinstance(thing, list | tuple | set) or type(thing).__name__ == "deque":
        return size + sum(size_of(one, seen) for one in thing)
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    return size + sum(size_of(getattr(thing, name), seen) for name in names if hasattr(thing, name))


def test_recent_is_the_last_minute():
    """Six cells of ten seconds, the current one included; rates are divided by what they stand for."""
    monitor = Monitor("r", 0.0)
    for second in range(100):
        count(monitor, float(second), is_good=True)
    assert sum(cell.total for cell in monitor.recent(99.0)) == 60
    assert monitor.recent_s(99.5) == pytest.approx(59.5)
    assert monitor.recent(1000.0) == [monitor.current(1000.0)]
    assert monitor.current(999.9) is monitor.current(1000.0), "an older reading of the clock opens no cell in the past"


def test_causes_have_one_place_each():
    """The packed form counts on their order."""
    assert len(CAUSES) == len(set(CAUSES)) == 8

"""The counts of a function over all its revisions: each request once, whichever revision served it, gone or not."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from desk import Desk

from sojourn.runtime.lineage import KEYS_MAX, Lineage, found
from sojourn.slo.cause import Cause
from sojourn.slo.monitor import HOUR_S, MINUTE_S, Monitor
from sojourn.slo.tally import unpacked

OFFSET_S = 1_795_500_000.0


def service(revision):
    """A revision whose requests are counted by hand."""
    made = Desk(0).service
    made.revision = revision
    made.meter.monitor = Monitor(revision, OFFSET_S)
    return made


def serve(one, now_s, good, bad=0):
    """So many requests at this instant."""
    for _ in range(good):
        one.meter.served(0.01, 0.0, now_s)
    for _ in range(bad):
        one.meter.served(0.5, 0.0, now_s, Cause.COLD_START)


def counted(rows, cell_s=HOUR_S):
    """Requests that rows hold, the last of each key being what is kept."""
    kept = {(row.revision, row.starts_at_s): row.packed for row in rows if row.cell_s == cell_s}
    return sum(unpacked(packed).total for packed in kept.values())


@given(
    st.lists(
        st.tuples(st.sampled_from(["serve", "enter", "leave", "save", "fail"]), st.integers(0, 3), st.integers(1, 900)),
        max_size=40,
    )
)
def test_each_request_counts_once_whatever_comes_and_goes(story):
    """In the windows of memory and in the rows that were kept, though saving fails now and then."""
    now_s, sent, kept = 100.0, 0, {}
    lineage = Lineage(service("r0"))
    for action, pick, then_s in story:
        now_s += then_s
        running = list(lineage.running.values())
        if action == "serve" and running:
            serve(running[pick % len(running)], now_s, 3, 1)
            sent += 4
        elif action == "enter" and f"r{pick}" not in lineage.running:
            lineage.enter(service(f"r{pick}"), f"{now_s:.3f}")
        elif action == "leave" and running:
            lineage.leave(running[pick % len(running)], now_s)
            lineage.leave(running[pick % len(running)], now_s)  # nothing more
        elif action in {"save", "fail"}:
            rows = lineage.unsaved()
            if action == "fail":
                lineage.put_back(rows)
            else:
                kept |= {(row.revision, row.cell_s, row.starts_at_s): row for row in rows}
                lineage.saved()
        total, good = lineage.total_good(now_s, 30 * 24 * 3600.0)
        assert (total, total - good) == (sent, sent // 4)
        counts = lineage.counts(now_s, 30 * 24 * 3600.0)
        assert (counts.total, counts.good, sum(counts.bad_by_cause)) == (total, good, total - good)
    lineage.finish(now_s)
    kept |= {(row.revision, row.cell_s, row.starts_at_s): row for row in lineage.unsaved()}
    assert counted(kept.values()) == counted(kept.values(), MINUTE_S) == sent
    again = Lineage()
    again.enter(service("r9"), "later")
    assert again.recall(sorted(kept.values(), key=lambda row: row.starts_at_s), now_s + 10.0) == 0
    assert again.total_good(now_s + 10.0, 30 * 24 * 3600.0)[0] == sent


def test_short_windows_go_on_over_a_change_of_revisions():
    """Ten seconds here and there: what the old one counted stays where it was."""
    lineage = Lineage(service("a"))
    old = lineage.live
    for second in range(600):
        serve(old, 1000.0 + second, 1)
    lineage.enter(new := service("b"), "m")
    for second in range(600, 1200):
        serve(new if second % 2 else old, 1000.0 + second, 1)
    lineage.leave(old, 2200.0)
    total, _ = lineage.total_good(2200.0, 300.0)
    assert 300 <= total <= 310
    assert lineage.total_good(2200.0, 3600.0) == (1200, 1200)
    cells = lineage.fine_cells(2200.0, 3600.0)
    assert sum(unpacked(cell.packed).total for cell in cells) == 1200
    assert [cell.starts_at_s for cell in cells] == sorted(cell.starts_at_s for cell in cells)


def test_a_revision_that_comes_back_overwrites_no_row_of_its_own():
    """Its rows have a mark of their own, since what it had counted within the hour is a row already."""
    lineage = Lineage(service("a"))
    serve(lineage.live, 100.0, 5)
    lineage.leave(lineage.live, 120.0)
    first = lineage.unsaved()
    lineage.saved()
    lineage.enter(again := service("a"), "later")
    serve(again, 130.0, 2)
    lineage.finish(140.0)
    assert counted([*first, *lineage.unsaved()]) == 7
    lineage.saved()
    assert not lineage.is_over
    serve(again, 145.0, 1)
    lineage.leave(again, 150.0)
    assert not lineage.is_over
    lineage.unsaved()
    lineage.saved()
    assert lineage.is_over


def test_a_revision_is_found_by_name_or_by_key():
    """The name means the live one; a key that does not run means nothing."""
    lineages = {"f": Lineage(service("a"))}
    lineages["f"].enter(new := service("b"), "m")
    assert found(lineages, "f") is lineages["f"].live
    assert found(lineages, "f@b") is new
    assert [found(lineages, called) for called in ("g", "f@c", "g@a", "f@")] == [None] * 4


def test_what_is_kept_of_many_revisions_of_one_minute_is_what_is_kept_of_one():
    """A hundred that come, count and go: their counts are one cell, and nothing else is left of them."""
    lineage = Lineage(service("r0"))
    for number in range(1, 101):
        lineage.enter(new := service(f"r{number}"), f"{number}.000")
        serve(new, 1000.0 + number / 50, 3, 1)
        lineage.leave(new, 1000.0 + number / 50)
        lineage.unsaved()
        lineage.saved()
    assert lineage.total_good(1003.0, 60.0) == (400, 300)
    assert sum(unpacked(cell.packed).total for cell in lineage.fine_cells(1003.0, 60.0)) == 400
    past = lineage._past
    assert [len(past._fine), *(len(longer.series) for longer in past._open)] == [1, 1, 1]
    assert len(lineage._keys) == 100
    lineage.is_known = True
    lineage.enter(service("last"), "last")
    assert not lineage._keys


def test_revisions_that_come_while_the_history_cannot_be_read_are_bounded_too():
    """After a thousand of them what earlier servers counted is given up."""
    lineage = Lineage(service("r0"))
    for number in range(KEYS_MAX + 1):
        lineage.enter(new := service("r1"), f"{number}")
        lineage.leave(new, 1000.0)
    assert (lineage.is_known, len(lineage._keys)) == (True, 0)

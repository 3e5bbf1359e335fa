"""What is told of an objective's counts: gaps between servers, and time that replicas were there."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from desk import on_a_loop
from place import WALL_S, Place

from sojourn.domain.objective import SLO
from sojourn.runtime.slo_view import GAPS_TOLD_MAX, _known_s, gaps_between
from sojourn.slo.monitor import FINE_S
from sojourn.telemetry.history import FILE_NAME, History, Run

MONTHLY = SLO(0.1, 0.999)


@on_a_loop
async def test_replica_time_counts_before_the_first_request():
    """A replica that waits to be called is used, too."""
    place = await Place(slo=MONTHLY).open()
    place.replicas, place.replicas_from_s = 1, place.now_s
    await place.run(600)
    place.serve(good=1)
    cells = (await place.insight.slo_history("f", 900.0)).cells
    assert sum(cell.replica_s for cell in cells) == pytest.approx(600.0, abs=0.1)
    assert max(cell.replica_s for cell in cells) <= FINE_S * 2
    await place.watch.close()


def run_of(begin_s, end_s, *, is_ended=False):
    """A run, in seconds after a beginning."""
    return Run(WALL_S + begin_s, WALL_S + end_s, is_ended)


def test_gaps_that_touch_are_one():
    """A server that is restarted again and again before it saved anything was away all the time."""
    runs = [
        run_of(0, 100),
        *(run_of(110 + 15 * number, 110 + 15 * number) for number in range(1000)),
        run_of(20_000, 20_001),
    ]
    (gap,) = gaps_between(runs, WALL_S)
    assert gap.duration_s == pytest.approx(19_900)


def test_a_run_of_another_clock_makes_no_gap_of_negative_length():
    """Three days back and forth again: what the first run covers is no gap of the second."""
    runs = [run_of(-300_000, -290_000), run_of(-299_000, -295_000), run_of(-280_000, 0, is_ended=True), run_of(0.5, 9)]
    gaps = gaps_between(runs, WALL_S - 400_000)
    assert [gap.duration_s for gap in gaps] == [10_000]


@on_a_loop
async def test_of_very_many_gaps_the_last_are_told(tmp_path):
    """And how many there were before them; the answer stays small."""
    history = History(tmp_path / FILE_NAME, WALL_S - 100_000)
    history.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.executemany(
            "INSERT INTO runs (started_at_s, saved_until_s, is_ended) VALUES (?, ?, 0)",
            [(WALL_S - 90_000 + 60 * number, WALL_S - 90_000 + 60 * number + 30) for number in range(1000)],
        )
    connection.close()
    place = await Place(tmp_path, slo=MONTHLY).open()
    place.serve(good=1)
    status = await place.status()
    assert (len(status.gaps), status.gaps_left_out) == (GAPS_TOLD_MAX, 1001 - GAPS_TOLD_MAX)
    assert (await place.insight.slo_history("f", None)).gaps_left_out >= 0
    await place.watch.close()


def test_what_is_known_of_a_function_is_not_shortened_by_times_before_it():
    """Twelve hours between two servers do not count against a function that was first counted thirty seconds ago."""
    ends_s = WALL_S + 50_000.0
    runs = [Run(WALL_S, WALL_S + 100.0, True), Run(ends_s - 60.0, ends_s, False)]
    assert _known_s(runs, WALL_S - 1000.0, ends_s, 30.0) == pytest.approx(30.0)
    assert _known_s(runs, WALL_S - 1000.0, ends_s, 80_000.0) == pytest.approx(160.0)

"""The file that outlives the server: what is saved comes back once, and what is wrong with it costs history only."""

from __future__ import annotations

import sqlite3

import pytest

from sojourn.slo.alert import AlertState
from sojourn.slo.monitor import HOUR_S, MINUTE_S, Row
from sojourn.slo.tally import Tally, unpacked
from sojourn.telemetry.history import FILE_NAME, VERSION, History, HistoryError, KeptAlert, KeptObjective

NOW_S = 1_795_500_000.0
DAY_S = 86_400.0


def row(starts_at_s, total, cell_s=MINUTE_S, revision="r"):
    """A minute or an hour with so many good requests."""
    tally = Tally()
    tally.total = tally.good = total
    return Row(revision=revision, cell_s=cell_s, starts_at_s=int(starts_at_s), packed=tally.pack())


def totals(history, cell_s=MINUTE_S, since_s=0.0):
    """(begin, requests) of the rows that are kept."""
    return [(one.starts_at_s, unpacked(one.packed).total) for one in history.rows("f", cell_s, since_s)]


def reopened(history, wall_s=NOW_S + 60):
    """The same file in the next server."""
    history.close()
    return History(history.path, wall_s)


@pytest.fixture
def history(tmp_path):
    """A new file."""
    made = History(tmp_path / FILE_NAME, NOW_S)
    yield made
    made.close()


def test_rows_come_back_as_they_were_saved_last(history):
    """A row takes the place of the one before it; saving twice changes nothing; revisions are apart."""
    history.save({"f": [row(NOW_S, 3)], "g": [row(NOW_S, 9)]}, NOW_S + 10)
    history.save({"f": [row(NOW_S, 5), row(NOW_S, 2, revision="old")]}, NOW_S + 20)
    history.save({"f": [row(NOW_S, 5)]}, NOW_S + 20)
    again = reopened(history)
    assert sorted(totals(again)) == [(NOW_S, 2), (NOW_S, 5)]
    assert sorted(again.functions()) == ["f", "g"]
    again.close()


def test_rows_since_an_instant_include_the_one_it_falls_into(history):
    """The begin of a window lies within a cell."""
    history.save({"f": [row(NOW_S + 60 * number, 1) for number in range(5)]}, NOW_S)
    assert len(totals(history, since_s=NOW_S + 130)) == 3


def test_runs_tell_who_ended_in_order(history):
    """The last one is this one; a killed one is known by not having ended."""
    history.save({}, NOW_S + 30)
    second = reopened(history, NOW_S + 100)
    second.save({}, NOW_S + 150, is_ended=True)
    third = reopened(second, NOW_S + 200)
    assert [(run.saved_until_s - NOW_S, run.is_ended) for run in third.runs()] == [
        (30, False),
        (150, True),
        (200, False),
    ]
    third.close()


def test_alerts_that_are_not_inactive_are_remembered(history):
    """Only the last saved ones."""
    history.save({}, NOW_S, [KeptAlert("f", "page-fast", AlertState.PENDING, NOW_S)])
    kept = [KeptAlert("f", "page-slow", AlertState.FIRING, NOW_S + 5)]
    history.save({}, NOW_S, kept)
    again = reopened(history)
    assert again.alerts() == kept
    again.close()


def test_a_clock_set_back_by_a_day_goes_on_from_the_latest(history):
    """No cell lies in the future of its own server, no run ends before it begins."""
    history.save({"f": [row(NOW_S + 600, 1)]}, NOW_S + 660)
    again = reopened(history, NOW_S - DAY_S)
    assert again.starts_at_s == NOW_S + 660
    assert again.set_back_s == pytest.approx(DAY_S + 660)
    assert totals(again) == [(NOW_S + 600, 1)]
    again.close()


def test_a_clock_that_was_years_ahead_costs_what_was_counted_then(history):
    """A server that ran in the year 2036 must not keep all others there."""
    history.save({"f": [row(NOW_S, 1), row(NOW_S + 3650 * DAY_S, 7)]}, NOW_S + 3650 * DAY_S)
    again = reopened(history, NOW_S + 100)
    assert again.starts_at_s == NOW_S + 100
    assert totals(again) == [(NOW_S, 1)]
    again.close()


def test_old_rows_are_forgotten(history):
    """Minutes after three days, hours after ninety."""
    history.save({"f": [row(NOW_S, 1), row(NOW_S, 1, HOUR_S)]}, NOW_S)
    history.prune(NOW_S + 3 * DAY_S + 60)
    assert (totals(history), len(totals(history, HOUR_S))) == ([], 1)
    history.prune(NOW_S + 91 * DAY_S)
    assert totals(history, HOUR_S) == []


@pytest.mark.parametrize("content", [b"\x00" * 4096, b"SQLite format 3\x00" + b"\xff" * 8000, b"rubbish"])
def test_a_damaged_file_is_set_aside(tmp_path, content):
    """What cannot be read is kept for whoever wants to look; a new file takes its place."""
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    history = History(path, NOW_S)
    assert history.set_aside is not None
    assert history.set_aside.read_bytes() == content
    history.save({"f": [row(NOW_S, 1)]}, NOW_S)
    assert totals(history) == [(NOW_S, 1)]
    history.close()


def test_a_file_of_a_later_version_is_left_alone(history):
    """An older program says so instead of guessing."""
    history.close()
    with sqlite3.connect(history.path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(HistoryError, match=f"version {VERSION + 1}"):
        History(history.path, NOW_S)


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    """A directory where the file should be, or no directory at all."""
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(HistoryError):
        History(tmp_path / FILE_NAME, NOW_S)
    with pytest.raises(HistoryError):
        History(tmp_path / "nowhere" / FILE_NAME, NOW_S)


def test_a_full_disk_writes_all_or_nothing(history):
    """What fits is not written without the rest; later there is room again."""
    history.save({"f": [row(NOW_S, 1)]}, NOW_S)
    (pages,) = history._connection.execute("PRAGMA page_count").fetchone()
    history._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [row(NOW_S + 60 * number, 2) for number in range(2000)]
    with pytest.raises(HistoryError, match="full"):
        history.save({"f": many}, NOW_S + 10)
    assert totals(history) == [(NOW_S, 1)]
    history._connection.execute("PRAGMA max_page_count = 1000000")
    history.save({"f": many}, NOW_S + 20)
    assert len(totals(history)) == 2000


def test_a_file_somebody_holds_is_an_error_after_a_while(history, monkeypatch):
    """The writer does not wait for ever."""
    history._connection.execute("PRAGMA busy_timeout = 20")
    holder = sqlite3.connect(history.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(HistoryError, match="locked"):
        history.save({}, NOW_S)
    holder.execute("ROLLBACK")
    holder.close()
    history.save({}, NOW_S)


def test_a_file_of_the_first_version_is_brought_up_to_date(history):
    """What was counted stays; objectives are kept from now on."""
    history.save({"f": [row(NOW_S, 3)]}, NOW_S + 10)
    history.close()
    with sqlite3.connect(history.path) as connection:
        connection.execute("DROP TABLE objectives")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    again = History(history.path, NOW_S + 60)
    assert totals(again) == [(NOW_S, 3)]
    assert again.objectives() == []
    again.save({}, NOW_S + 70, (), [KeptObjective("f", NOW_S + 60, "99% < 100ms")])
    once_more = reopened(again, NOW_S + 80)
    assert once_more.objectives() == [KeptObjective("f", NOW_S + 60, "99% < 100ms")]
    once_more.close()


def test_objectives_are_forgotten_once_no_count_of_their_time_is_left(history):
    """The one in force stays however old it is."""
    kept = [KeptObjective("f", NOW_S - 200 * DAY_S + day * DAY_S, f"9{day % 10}% < 1s") for day in (0, 50, 150)]
    history.save({}, NOW_S, (), [*kept, KeptObjective("g", 1.0, "")])
    history.prune(NOW_S)
    assert history.objectives() == [KeptObjective("g", 1.0, ""), *kept[1:]]

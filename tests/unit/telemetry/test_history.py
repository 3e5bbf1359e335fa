"""The file that outlives the server: what is saved comes back once, and what is wrong with it costs history only."""

from __future__ import annotations

import sqlite3

import pytest

from sojourn.slo.alert import AlertState
from sojourn.slo.monitor import HOUR_S, MINUTE_S
from sojourn.slo.rows import Row
from sojourn.slo.tally import Tally, unpacked
from sojourn.telemetry.history import FILE_NAME, RUNS_KEPT, History, HistoryError, KeptAlert, KeptObjective
from sojourn.telemetry.history_file import VERSION

NOW_S = 1_795_500_000.0
DAY_S = 86_400.0


def row(starts_at_s, total, cell_s=MINUTE_S, revision="r"):
    """A minute or an hour with so many good requests."""
    tally = Tally()
    tally.total = tally.good = total
    return Row(revision=revision, cell_s=cell_s, starts_at_s=int(starts_at_s), packed=tally.pack())


def totals(history, cell_s=MINUTE_S, since_s=0.0, until_s=NOW_S + 10 * DAY_S):
    """(begin, requests) of the rows that are kept and do not lie far ahead."""
    return [(one.starts_at_s, unpacked(one.packed).total) for one in history.rows("f", cell_s, since_s, until_s)]


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
    """A killed one is known by not having ended; the one that asks is not told."""
    history.save({}, NOW_S + 30)
    second = reopened(history, NOW_S + 100)
    second.save({}, NOW_S + 150, is_ended=True)
    third = reopened(second, NOW_S + 200)
    assert [(run.saved_until_s - NOW_S, run.is_ended) for run in third.runs()] == [
        (30, False),
        (150, True),
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


def test_what_a_clock_that_was_years_ahead_labelled_is_left_out(history):
    """A server that ran in the year 2036 must not keep all others there; what it counted stays in the file."""
    history.save({"f": [row(NOW_S, 1), row(NOW_S + 3650 * DAY_S, 7)]}, NOW_S + 3650 * DAY_S)
    again = reopened(history, NOW_S + 100)
    assert again.starts_at_s == NOW_S + 100
    assert totals(again, until_s=again.starts_at_s) == [(NOW_S, 1)]
    again.prune(NOW_S + 200)
    assert len(totals(again, until_s=NOW_S + 4000 * DAY_S)) == 2
    again.close()


@pytest.mark.parametrize("wall_s", [1000.0, NOW_S - 3 * DAY_S, NOW_S + 3650 * DAY_S])
def test_a_clock_that_is_wrong_deletes_nothing(history, wall_s):
    """A machine that boots in 1970, three days back or ten years ahead; the next time its clock is right all is there."""
    hours = [row(NOW_S // HOUR_S * HOUR_S - HOUR_S * number, 5, HOUR_S) for number in range(100)]
    history.save({"f": [*hours, row(NOW_S, 5)]}, NOW_S + 10, [KeptAlert("f", "page-fast", AlertState.FIRING, NOW_S)])
    wrong = reopened(history, wall_s)
    wrong.save({"f": [row(wrong.starts_at_s // 60 * 60 + 60, 1)]}, wrong.starts_at_s + 100)
    wrong.prune(wrong.starts_at_s + 100)
    right = reopened(wrong, NOW_S + 200)
    assert len(totals(right, HOUR_S, until_s=NOW_S + 200)) == 100
    assert (int(NOW_S), 5) in totals(right, until_s=NOW_S + 200)
    assert right.starts_at_s - NOW_S == pytest.approx(200.0)
    assert [run.started_at_s <= right.starts_at_s >= run.saved_until_s for run in right.runs()]
    right.close()


def test_a_clock_that_was_never_set_goes_on_where_the_last_server_ended(history):
    """In 1970 everything kept lies in the future; it is the clock that is not believed."""
    history.save({"f": [row(NOW_S, 5)]}, NOW_S + 10)
    wrong = reopened(history, 1000.0)
    assert wrong.starts_at_s == NOW_S + 10
    assert totals(wrong, until_s=wrong.starts_at_s) == [(NOW_S, 5)]
    wrong.close()


def test_old_rows_are_forgotten(history):
    """Minutes after three days, hours after ninety."""
    history.save({"f": [row(NOW_S, 1), row(NOW_S, 1, HOUR_S)]}, NOW_S)
    history.prune(NOW_S + 3 * DAY_S + 60)
    assert (totals(history), len(totals(history, HOUR_S))) == ([], 1)
    history.prune(NOW_S + 91 * DAY_S)
    assert totals(history, HOUR_S) == []


def test_of_very_many_runs_the_last_are_remembered(history):
    """A server that is restarted every few seconds for months."""
    with history._writing() as connection:
        connection.executemany(
            "INSERT INTO runs (started_at_s, saved_until_s, is_ended) VALUES (?, ?, 0)",
            [(NOW_S + number, NOW_S + number) for number in range(RUNS_KEPT + 500)],
        )
    again = reopened(history, NOW_S + 20_000)
    again.prune(NOW_S + 20_000)
    assert len(again.runs()) == RUNS_KEPT - 1
    again.close()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE foo (a)", "PRAGMA user_version = 1"],
        ["CREATE TABLE foo (a)", "PRAGMA user_version = -1"],
        ["CREATE TABLE foo (a)"],
        ["CREATE TABLE runs (a)"],
        ["PRAGMA user_version = 1"],
        [f"PRAGMA user_version = {VERSION}"],
    ],
)
def test_a_database_of_something_else_is_set_aside(tmp_path, statements):
    """Whatever version it claims to be."""
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    with pytest.raises(HistoryError):
        History(tmp_path / FILE_NAME, NOW_S, is_writable=False)
    history = History(tmp_path / FILE_NAME, NOW_S)
    assert history.set_aside is not None
    history.save({"f": [row(NOW_S, 1)]}, NOW_S)
    assert totals(history) == [(NOW_S, 1)]
    history.close()


@pytest.mark.parametrize("table", ["cells", "runs", "alerts", "objectives"])
def test_a_history_that_lacks_a_table_is_set_aside(history, table):
    """And one set aside in the same second takes the place of none."""
    for _ in range(2):
        history.close()
        with sqlite3.connect(history.path) as connection:
            connection.execute(f"DROP TABLE {table}")
        connection.close()
        history = History(history.path, NOW_S)
        assert history.set_aside is not None
    assert len(list(history.path.parent.glob("*.damaged-*"))) == 2
    history.close()


def test_fields_of_another_type_are_left_out_and_counted(history):
    """SQLite keeps what it is given; nobody falls over what somebody else wrote."""
    history.save(
        {"f": [row(NOW_S, 1), row(NOW_S + 60, 2)]}, NOW_S, [KeptAlert("f", "page-fast", AlertState.FIRING, NOW_S)]
    )
    history.runs()
    for statement in (
        "UPDATE cells SET packed = 'text' WHERE starts_at_s = 1795500000",
        "UPDATE alerts SET since_s = 'x'",
        "INSERT INTO runs (started_at_s, saved_until_s, is_ended) VALUES (5.0, 9e999, 0)",
        "INSERT INTO objectives VALUES ('f', 'x', 'y')",
        "INSERT INTO cells VALUES (x'00', 'r', 60, 60, x'00')",
    ):
        history._connection.execute(statement)
    again = reopened(history)
    assert totals(again) == [(NOW_S + 60, 2)]
    assert (again.alerts(), again.objectives(), again.functions()) == ([], [], ["f"])
    assert [run.started_at_s for run in again.runs()] == [NOW_S]
    assert again.unreadable == 3
    again.close()


def test_a_copy_for_reading_takes_no_writes(history):
    """It says why, and changes nothing of the file."""
    history.save({"f": [row(NOW_S, 1)]}, NOW_S)
    copy = History(history.path, NOW_S + 10, is_writable=False)
    assert totals(copy) == [(NOW_S, 1)]
    with pytest.raises(HistoryError, match="cannot be written"):
        copy.save({"f": [row(NOW_S, 9)]}, NOW_S)
    copy.close()
    assert totals(history) == [(NOW_S, 1)]


def test_a_file_that_is_gone_or_another_is_an_error(history):
    """Writes to what no name leads to would be kept by nobody."""
    history.path.rename(history.path.with_name("other"))
    with pytest.raises(HistoryError, match="removed") as caught:
        history.save({}, NOW_S)
    assert caught.value.is_lost
    History(history.path, NOW_S).close()
    with pytest.raises(HistoryError, match="another file"):
        history.save({}, NOW_S)


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


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("is_writable", [True, False])
def test_a_file_of_an_earlier_version_is_brought_up_to_date(tmp_path, version, is_writable):
    """What was counted stays, alerts too; objectives are kept from the second on, ends of alerts from the third."""
    path = of_version(tmp_path / FILE_NAME, version)
    again = History(path, NOW_S + 60, is_writable=is_writable)
    assert totals(again) == [(NOW_S, 3)]
    assert again.alerts() == [KeptAlert("f", "page-fast", AlertState.FIRING, NOW_S)]
    assert again.objectives() == ([] if version == 1 else [KeptObjective("f", NOW_S, "99% < 1s")])
    if not is_writable:
        again.close()
        return
    kept = [KeptAlert("f", "page-fast", AlertState.FIRING, NOW_S, NOW_S + 65)]
    again.save({}, NOW_S + 70, kept, [KeptObjective("f", NOW_S + 60, "99% < 100ms")])
    once_more = reopened(again, NOW_S + 80)
    assert once_more.alerts() == kept
    assert once_more.objectives()[-1] == KeptObjective("f", NOW_S + 60, "99% < 100ms")
    once_more.close()


def of_version(path, version):
    """A file as an earlier version of the program left it."""
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            CREATE TABLE cells (function TEXT NOT NULL, revision TEXT NOT NULL, cell_s INTEGER NOT NULL,
                starts_at_s INTEGER NOT NULL, packed BLOB NOT NULL,
                PRIMARY KEY (function, cell_s, starts_at_s, revision)) WITHOUT ROWID;
            CREATE TABLE runs (run_id INTEGER PRIMARY KEY, started_at_s REAL NOT NULL, saved_until_s REAL NOT NULL,
                is_ended INTEGER NOT NULL);
            CREATE TABLE alerts (function TEXT NOT NULL, rule TEXT NOT NULL, state TEXT NOT NULL,
                since_s REAL NOT NULL, PRIMARY KEY (function, rule)) WITHOUT ROWID;
            """
        )
        one = row(NOW_S, 3)
        connection.execute("INSERT INTO cells VALUES ('f', 'r', 60, ?, ?)", (one.starts_at_s, one.packed))
        connection.execute("INSERT INTO runs VALUES (1, ?, ?, 1)", (NOW_S, NOW_S + 10))
        connection.execute("INSERT INTO alerts VALUES ('f', 'page-fast', 'firing', ?)", (NOW_S,))
        if version == 2:
            connection.execute(
                "CREATE TABLE objectives (function TEXT NOT NULL, since_s REAL NOT NULL, objective TEXT, "
                "PRIMARY KEY (function, since_s)) WITHOUT ROWID"
            )
            connection.execute("INSERT INTO objectives VALUES ('f', ?, '99% < 1s')", (NOW_S,))
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    return path


def test_objectives_are_forgotten_once_no_count_of_their_time_is_left(history):
    """The one in force stays however old it is."""
    kept = [KeptObjective("f", NOW_S - 200 * DAY_S + day * DAY_S, f"9{day % 10}% < 1s") for day in (0, 50, 150)]
    history.save({}, NOW_S, (), [*kept, KeptObjective("g", 1.0, "")])
    history.prune(NOW_S)
    assert history.objectives() == [KeptObjective("g", 1.0, ""), *kept[1:]]

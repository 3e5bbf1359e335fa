"""Keeping counts from one server to the next when the file, the disk or the clock is not as it should be."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from desk import Desk, on_a_loop
from place import WALL_S, Place

from sojourn.domain.objective import SLO
from sojourn.runtime.lineage import Lineage
from sojourn.slo.alert import AlertState
from sojourn.slo.monitor import HOUR_S, Monitor
from sojourn.slo.status import HistoryState
from sojourn.slo.tally import unpacked
from sojourn.telemetry import history_file
from sojourn.telemetry.history import FILE_NAME, History, KeptAlert

MONTHLY = SLO(0.1, 0.999)


class TwoPlaces(Place):
    """With a second function, g, beside f."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        other = Desk(slo=MONTHLY, now_s=self.now_s)
        other.meter.monitor = Monitor("r", self.offset_s)
        self.lineages["g"] = Lineage(other.service)

    def serve_both(self, count):
        """So many good requests of each."""
        for lineage in self.lineages.values():
            for _ in range(count):
                lineage.live.meter.served(0.01, 0.0, self.now_s)


def change(directory, statement, *values):
    """Somebody writes into the file of a server that does not run."""
    with sqlite3.connect(directory / FILE_NAME) as connection:
        connection.execute(statement, values)
    connection.close()


def on_disk(directory, function="f", cell_s=HOUR_S):
    """All requests the file holds of a function, those of unreadable rows left out."""
    with sqlite3.connect(directory / FILE_NAME) as connection:
        found = connection.execute("SELECT packed FROM cells WHERE function = ? AND cell_s = ?", (function, cell_s))
        packed = [one for (one,) in found if len(one) > 1]
    connection.close()
    return sum(unpacked(one).total for one in packed)


async def saved(place):
    """What is being written is."""
    if place.watch.keeper.saving is not None:
        await place.watch.keeper.saving


async def kept(directory, seconds=60, made=Place, **traffic):
    """A server that ran for a while and ended in order."""
    place = await made(directory, slo=MONTHLY).open()
    await place.run(seconds, **traffic)
    await place.watch.close()


FIRST = "WHERE function = 'f' AND cell_s = ?1 AND starts_at_s = (SELECT MIN(starts_at_s) FROM cells WHERE cell_s = ?1)"


@pytest.mark.parametrize("statement", ["UPDATE cells SET packed = x'02' ", "UPDATE cells SET packed = 'text' "])
@pytest.mark.parametrize("cell_s", [60, 3600])
@on_a_loop
async def test_a_row_that_cannot_be_read_costs_itself_and_nothing_else(tmp_path, statement, cell_s):
    """The other function and the alerts are whole, nothing is written over it, and no later write says all is well."""
    place = await TwoPlaces(tmp_path, slo=MONTHLY).open()
    for _ in range(61):
        place.serve_both(10)
        await place.run(1, refused=1)
    firing = place.watch.alerts.firing("f")
    assert "page-fast" in firing
    await place.watch.close()
    change(tmp_path, statement + FIRST, cell_s)
    again = await TwoPlaces(tmp_path, slo=MONTHLY, wall_s=WALL_S + 70).open()
    assert again.watch.alerts.firing("f") == firing
    assert (await again.insight.slo("g")).total == 610
    again.serve_both(7)
    await again.run(21)
    status = await again.status()
    assert status.history.state is HistoryState.FAILING
    assert "1 of its rows cannot be read" in status.history.why
    assert again.told("history.recovered") == []
    (alert,) = [one for one in status.alerts if one.rule == "history-lost"]
    assert alert.state is AlertState.FIRING
    await again.watch.close()
    assert on_disk(tmp_path, "g") == 617
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        ((left,),) = connection.execute("SELECT COUNT(*) FROM cells WHERE packed IN (x'02', 'text')")
    connection.close()
    assert left == 1, "it is still there for whoever can read it"
    assert on_disk(tmp_path, "f", 60 if cell_s == 3600 else 3600) == 61 * 11 + 7, "of the other length all are there"
    third = await TwoPlaces(tmp_path, slo=MONTHLY, wall_s=WALL_S + 200).open()
    assert (await third.insight.slo("g")).total == 617
    await third.watch.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cells SET starts_at_s = 'zz' WHERE cell_s = 60",
        "UPDATE cells SET starts_at_s = 60 * 4294967296 + 60 WHERE cell_s = 60",
        "UPDATE alerts SET since_s = 'x'",
        "UPDATE alerts SET state = 'x'",
        "UPDATE alerts SET clear_since_s = 'x'",
        "UPDATE runs SET saved_until_s = 'abc'",
        "UPDATE runs SET saved_until_s = 9e999",
        "UPDATE objectives SET objective = x'00'",
    ],
)
@on_a_loop
async def test_a_field_of_another_type_stops_no_server(tmp_path, statement):
    """Whatever stands in the file, the server starts, and what can be read is there."""
    place = await Place(tmp_path, slo=MONTHLY).open()
    await place.run(30, good=10, refused=2)
    await place.watch.close()
    change(tmp_path, statement)
    again = await Place(tmp_path, slo=MONTHLY, wall_s=WALL_S + 40).open()
    assert (await again.status()).total == 360, "the hours hold them all"
    assert await again.insight.slo_history("f", 86_400.0) is not None
    await again.run(12, good=1)
    await again.watch.close()


@on_a_loop
async def test_a_file_that_cannot_be_written_at_the_start_is_read_and_opened_later(tmp_path, monkeypatch):
    """Its counts are known at once; what is counted meanwhile is written as soon as it can be."""
    monkeypatch.setattr(history_file, "_PATIENCE_S", 0.01)
    await kept(tmp_path, good=10)
    holder = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    place = await Place(tmp_path, slo=MONTHLY, wall_s=WALL_S + 70).open()
    assert len(place.told("history.failing")) == 1
    status = await place.status()
    assert (status.history.state, status.total) == (HistoryState.FAILING, 600)
    await place.run(25, good=1)
    history = await place.insight.slo_history("f", 86_400.0)
    assert history.total_before + sum(cell.total for cell in history.cells) == 625
    assert place.told("history.recovered") == []
    holder.execute("ROLLBACK")
    holder.close()
    await place.run(11, good=1)
    assert len(place.told("history.recovered")) == 1
    assert (await place.status()).history.state is HistoryState.KEPT
    await place.watch.close()
    again = await Place(tmp_path, slo=MONTHLY, wall_s=WALL_S + 200).open()
    status = await again.status()
    assert status.total == 636
    assert len(status.gaps) == 2
    assert all(gap.was_planned for gap in status.gaps)
    await again.watch.close()


@on_a_loop
async def test_a_place_that_is_not_there_at_the_start_is_looked_for_until_it_is(tmp_path):
    """Such as a volume that is mounted late; what was on it was not read, and that is said for as long as this lasts."""
    volume = tmp_path / "volume"
    volume.mkdir()
    await kept(volume, good=1)
    volume.rename(tmp_path / "elsewhere")
    place = await Place(volume, slo=MONTHLY, wall_s=WALL_S + 70).open()
    assert (await place.status()).history.state is HistoryState.FAILING
    await place.run(15, good=1)
    (tmp_path / "elsewhere").rename(volume)
    await place.run(15, good=1)
    status = await place.status()
    assert "could not be read when this one started" in status.history.why
    await place.watch.close()
    again = await Place(volume, slo=MONTHLY, wall_s=WALL_S + 200).open()
    status = await again.status()
    assert (status.total, status.history.state) == (90, HistoryState.KEPT)
    await again.watch.close()


@pytest.mark.parametrize("is_replaced", [False, True])
@on_a_loop
async def test_a_file_that_is_removed_under_a_server_is_noticed_and_made_anew(tmp_path, is_replaced):
    """Writes to what no name leads to keep nothing; the hour under way is whole in the new file."""
    place = await Place(tmp_path, slo=MONTHLY).open()
    await place.run(25, good=1)
    for path in tmp_path.iterdir():
        path.unlink()
    if is_replaced:
        History(tmp_path / FILE_NAME, WALL_S).close()
    await place.run(10, good=1)
    status = await place.status()
    assert (status.history.state, status.total) == (HistoryState.FAILING, 35)
    await place.run(20, good=1)
    status = await place.status()
    assert status.history.state is HistoryState.FAILING
    assert "lost" in status.history.why
    await place.watch.close()
    assert on_disk(tmp_path) == 55


@on_a_loop
async def test_a_file_that_is_destroyed_under_a_server_is_set_aside(tmp_path):
    """Counts go on in a new one, and the questions of users are answered all the while."""
    place = await Place(tmp_path, slo=MONTHLY).open()
    await place.run(25, good=1)
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xff" * path.stat().st_size)
    await place.run(35, good=1)
    status = await place.status()
    assert (status.history.state, status.total, status.gaps) == (HistoryState.FAILING, 60, [])
    assert len((await place.insight.slo_history("f", 3600.0 * 5)).cells) > 0
    await place.watch.close()
    assert on_disk(tmp_path) == 60
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


@on_a_loop
async def test_a_disk_that_hangs_holds_up_no_answer_and_is_told(tmp_path, monkeypatch):
    """A write that takes more than half a minute is a failure; rows in its hands are still shown, and none is lost."""
    monkeypatch.setattr("sojourn.runtime.history_keeper.READ_S_MAX", 0.05)
    place = await Place(tmp_path, slo=MONTHLY).open()
    history, hangs = place.watch.keeper._history, threading.Event()
    write = history.save

    def save(*args, **options):
        assert hangs.wait(20)
        write(*args, **options)

    history.save = save
    for _ in range(75):
        place.now_s += 1.0
        place.serve(good=1)
        place.watch._look()
        await asyncio.sleep(0)
    status = await asyncio.wait_for(place.status(), 5)
    assert (status.history.state, status.total) == (HistoryState.FAILING, 75)
    assert "more than 30 s" in status.history.why
    told = await asyncio.wait_for(place.insight.slo_history("f", 86_400.0), 5)
    assert told.total_before + sum(cell.total for cell in told.cells) == 75
    hangs.set()
    await saved(place)
    assert (await place.status()).history.state is HistoryState.KEPT
    await place.watch.close()
    assert on_disk(tmp_path) == on_disk(tmp_path, cell_s=60) == 75


@on_a_loop
async def test_what_waits_for_a_full_disk_is_shown_in_any_window(tmp_path, monkeypatch):
    """Seven hours without a write: every request is in a cell."""
    monkeypatch.setattr(history_file, "_PATIENCE_S", 0.001)
    place = await Place(tmp_path, slo=MONTHLY).open()
    holder = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    place.history._connection.execute("PRAGMA busy_timeout = 1")
    for _ in range(7 * 60):
        place.now_s += 60.0
        place.serve(good=3)
        place.watch._look()
        await saved(place)
    history = await place.insight.slo_history("f", 7 * 3600.0)
    assert sum(cell.total for cell in history.cells) == 7 * 60 * 3
    holder.execute("ROLLBACK")
    holder.close()
    await place.watch.close()
    assert on_disk(tmp_path, cell_s=60) == 7 * 60 * 3


@on_a_loop
async def test_without_a_file_nothing_waits_to_be_written():
    """A server that keeps its history in memory has no use for packed minutes."""
    place = await Place(slo=MONTHLY).open()
    await place.run(200, good=1)
    assert [len(waiting) for waiting in place.meter.monitor._waiting.values()] == [0, 0]


@on_a_loop
async def test_a_start_that_failed_forgets_no_alert(tmp_path):
    """Closed before it had loaded anything; what fired goes on firing, and is not raised twice."""
    alert = KeptAlert("f", "page-fast", AlertState.FIRING, WALL_S)
    history = History(tmp_path / FILE_NAME, WALL_S)
    history.save({}, WALL_S + 10, [alert], is_ended=True)
    history.close()
    await Place(tmp_path, slo=MONTHLY, wall_s=WALL_S + 20).watch.close()
    again = await Place(tmp_path, slo=MONTHLY, wall_s=WALL_S + 30).open()
    assert again.watch.alerts.firing("f") == ["page-fast"]
    await again.watch.close()


@on_a_loop
async def test_a_firing_alert_ends_though_the_server_restarts_more_often_than_it_takes(tmp_path):
    """Since when it is clear is kept: six hours of it may be those of several servers."""
    history = History(tmp_path / FILE_NAME, WALL_S)
    history.save({}, WALL_S + 1, [KeptAlert("f", "ticket-slow", AlertState.FIRING, WALL_S)], is_ended=True)
    history.close()
    wall_s = WALL_S + 2
    for _ in range(4):
        place = await Place(tmp_path, slo=MONTHLY, wall_s=wall_s).open()
        assert place.watch.alerts.firing("f") == ["ticket-slow"]
        for _ in range(10):
            place.now_s += 600.0
            place.watch._look()
            await saved(place)
        await place.watch.close()
        wall_s += 6000.0
    assert place.watch.alerts.firing("f") == [], "though nothing was called"
    assert len(place.told("slo.alert_resolved")) == 1


@on_a_loop
async def test_an_outage_in_which_nothing_ends_pages_within_a_minute():
    """No replica starts: requests wait for a minute, and each is bad after a tenth of a second."""
    place = await Place(slo=MONTHLY, replicas=0).open()
    service, began_s = place.desk.service, place.now_s
    while "page-fast" not in place.watch.alerts.firing("f"):
        place.now_s += 1.0
        place.desk.now_s = place.now_s
        assert place.now_s - began_s < 5
        for _ in range(100):
            place.desk.submit()
        place.watch._look()
    assert place.meter.slo_events == 0, "none has ended"
    assert service.dispatcher.overdue(place.now_s + 0.05) == service.dispatcher.in_flight - 100
    assert service.dispatcher.overdue(place.now_s + 0.2) == service.dispatcher.in_flight
    status = await place.status()
    assert status.total == 0, "they are counted when they end, once"
    await place.watch.close()


@on_a_loop
async def test_without_an_objective_nothing_is_overdue():
    """However long it waits."""
    place = await Place(slo=None, replicas=0).open()
    place.desk.submit()
    assert place.desk.service.dispatcher.overdue(place.now_s + 1000) == 0
    await place.watch.close()


@on_a_loop
async def test_looks_come_right_after_the_end_of_a_cell():
    """So that a server that is killed loses the cell under way and no second more."""
    place = await Place(wall_s=WALL_S + 3.3).open()
    waits_s = place.watch._timer.when() - asyncio.get_running_loop().time()
    assert waits_s == pytest.approx(0.7, abs=0.2)
    await place.watch.close()

"""The watch over objectives, with real functions, a real history and a clock set by hand."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from desk import on_a_loop
from place import WALL_S, Place

from sojourn.domain.objective import SLO
from sojourn.domain.request import Outcome
from sojourn.slo.alert import AlertState
from sojourn.slo.status import HistoryState
from sojourn.telemetry.history import FILE_NAME
from sojourn.telemetry.log import utc_text


@on_a_loop
async def test_an_outage_is_told_once_and_its_end_once():
    """Pending, firing, resolved, each an event with its figures; in the row of the function while it fires."""
    place = await Place().open()
    await place.run(60, good=10)
    await place.run(15, refused=10)
    assert "page-fast" in place.watch.alerts.firing("f")
    await place.run(110, good=10)
    assert "page-fast" not in place.watch.alerts.firing("f")
    for state in ("pending", "firing", "resolved"):
        (told,) = [one for one in place.told(f"slo.alert_{state}") if one.fields["rule"] == "page-fast"]
        assert told.function == "f"
    (page,) = [one for one in place.told("slo.alert_firing") if one.fields["rule"] == "page-fast"]
    assert (page.level, page.fields["severity"]) == ("error", "page")
    assert page.fields["long_burn"] >= 14.4
    await place.watch.close()


@on_a_loop
async def test_a_restart_counts_nothing_twice_and_raises_no_page_again(tmp_path):
    """Ended in the middle of a cell and of an outage: the next server goes on."""
    place = await Place(tmp_path).open()
    await place.run(33, good=10, refused=2)
    assert "page-fast" in place.watch.alerts.firing("f")
    await place.watch.close()
    again = await Place(tmp_path, wall_s=WALL_S + 40).open()
    status = await again.status()
    assert (status.total, status.good) == (33 * 12, 330)
    assert again.watch.alerts.firing("f") == place.watch.alerts.firing("f")
    await again.run(3, good=10, refused=2)
    assert [one.fields["rule"] for one in again.told("slo.alert_firing") if one.fields["rule"] == "page-fast"] == []
    assert (await again.status()).total == 36 * 12
    (gap,) = status.gaps
    assert gap.was_planned
    await again.watch.close()


@on_a_loop
async def test_a_killed_server_leaves_a_gap_and_what_it_saved(tmp_path):
    """Everything up to the last full cell."""
    place = await Place(tmp_path).open()
    await place.run(25, good=1)
    place.history.close()  # killed: nobody tells the watch
    again = await Place(tmp_path, wall_s=WALL_S + 25.2).open()
    status = await again.status()
    assert status.total == 19  # that of the twentieth second is in the third cell
    (gap,) = status.gaps
    assert not gap.was_planned
    assert gap.duration_s == pytest.approx(5.2, abs=1.1)
    await again.watch.close()
    place.watch.keeper._writer.shutdown()


@on_a_loop
async def test_a_history_that_cannot_be_written_is_an_alert_and_loses_nothing(tmp_path):
    """Told once; shown while it lasts; when it can be written again, all of it is."""
    place = await Place(tmp_path).open()
    place.history._connection.execute("PRAGMA busy_timeout = 5")
    holder = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    await place.run(95, good=1)
    assert len(place.told("history.failing")) == 1
    status = await place.status()
    assert (status.history.state, status.total) == (HistoryState.FAILING, 95)
    (alert,) = [one for one in status.alerts if one.rule == "history-lost"]
    assert alert.state is AlertState.FIRING
    holder.execute("ROLLBACK")
    holder.close()
    await place.run(12, good=1)
    assert len(place.told("history.recovered")) == 1
    assert (await place.status()).history.state is HistoryState.KEPT
    await place.watch.close()
    again = await Place(tmp_path, wall_s=WALL_S + 200).open()
    assert (await again.status()).total == 107
    await again.watch.close()


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
@on_a_loop
async def test_a_clock_that_jumps_by_a_day_between_servers_alarms_nobody(tmp_path, jump_s):
    """Set back, the next server goes on right behind the last; set forward, there is a gap of a day."""
    place = await Place(tmp_path).open()
    await place.run(40, good=10)
    await place.watch.close()
    again = await Place(tmp_path, wall_s=WALL_S + 50 + jump_s).open()
    await again.run(40, good=10)
    status = await again.status()
    assert [alert.state for alert in status.alerts] == [AlertState.INACTIVE] * 4
    assert all(gap.duration_s >= 0 for gap in status.gaps)
    assert status.total == (800 if jump_s < 0 else 400)
    assert bool(again.told("history.clock_set_back")) is (jump_s < 0)
    await again.watch.close()


@on_a_loop
async def test_status_tells_causes_windows_and_what_is_left_out():
    """62 of 100 bad requests waited for a cold start."""
    place = await Place(slo=SLO(0.1, 0.99)).open()
    place.serve(good=900, late=62, refused=38)
    place.meter.ended(Outcome.FAILED, place.now_s, None)
    place.meter.ended(Outcome.CANCELLED, place.now_s, None)
    for _ in range(2):
        place.meter.ended(Outcome.EXPIRED, place.now_s, None)
    status = await place.status()
    assert [cause.sentence for cause in status.causes] == [
        "62 % of bad requests waited for a cold start",
        "38 % of bad requests were refused because they could not be served in time",
    ]
    assert (status.total, status.good) == (1000, 900)
    assert (status.client_faults, status.cancelled, status.client_timeouts) == (1, 1, 2)
    place.now_s += 7200.0
    place.serve(good=1)
    place.now_s += 20.0
    assert (await place.status()).client_timeouts == 2, "also when its hour is closed"
    assert [window.name for window in status.windows] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"]
    assert [window.burn_rate for window in status.windows] == [pytest.approx(10.0)] * 8
    assert status.windows[0].latency_s.p50 == pytest.approx(0.01, rel=0.011)
    assert status.windows[-1].latency_s is None
    assert status.budget.remaining_ratio == pytest.approx(-9.0)
    assert status.is_met is False
    assert status.history.state is HistoryState.OFF


@on_a_loop
async def test_nothing_is_said_where_nothing_is_known():
    """No requests: neither met nor missed, and asking makes no monitor used."""
    place = await Place().open()
    await place.run(12)
    status = await place.status()
    assert (status.is_met, status.total, status.known_s) == (None, 0, 0.0)
    assert (status.budget.remaining_ratio, status.causes, status.gaps) == (1.0, [], [])
    assert (await place.insight.slo_history("f", None)).cells == []
    assert not place.meter.monitor.is_used
    assert await place.insight.slo("g") is None
    assert await place.insight.slo_history("g", None) is None


@on_a_loop
async def test_without_an_objective_there_is_neither_budget_nor_alert():
    """Latency is told all the same."""
    desk_less = Place(slo=None)
    place = await desk_less.open()
    place.serve(good=5)
    status = await place.status()
    assert (status.objective, status.budget, status.alerts, status.is_met) == (None, None, [], None)
    assert status.windows[0].latency_s.p99 == pytest.approx(0.01, rel=0.011)


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("minutes", [3, 200])
@on_a_loop
async def test_cells_of_the_history_add_up(tmp_path, keeps, minutes):
    """Whether they come from memory or from the file: every request is in one cell, and replica time too."""
    place = await Place(tmp_path if keeps else None, slo=SLO(0.1)).open()
    place.replicas, place.replicas_from_s = 2, place.now_s
    for _ in range(minutes):
        place.now_s += 60.0
        place.serve(good=7, late=1)
        place.watch._look()
        if place.watch.keeper.saving is not None:
            await place.watch.keeper.saving
    history = await place.insight.slo_history("f", None)
    assert sum(cell.total for cell in history.cells) + history.total_before == 8 * minutes
    assert sum(cell.good for cell in history.cells) + history.good_before == 7 * minutes
    assert sum(count for cell in history.cells for _, count in cell.latency) >= 8 * min(minutes, 59)
    assert len(history.cells) <= 360
    assert all(cell.starts_at_s % history.cell_s == 0 for cell in history.cells[1:])
    replica_s = sum(cell.replica_s for cell in history.cells)
    assert replica_s == pytest.approx(120.0 * minutes, rel=0.02)
    await place.watch.close()
    await asyncio.sleep(0)


@on_a_loop
async def test_the_last_hour_is_whole_after_a_restart_and_its_budget_ends_at_the_headline(tmp_path):
    """Restarted in mid-window: cells of before and after, nothing twice, and what the cells lack came before them."""
    place = await Place(tmp_path, slo=SLO(0.1, 0.99)).open()
    await place.run(100, good=10)
    await place.watch.close()
    again = await Place(tmp_path, slo=SLO(0.1, 0.99), wall_s=WALL_S + 103).open()
    idle = await again.insight.slo_history("f", 3600.0)
    assert (sum(cell.total for cell in idle.cells), idle.total_before) == (1000, 0)  # with no request since
    await again.run(15, good=1, late=1)
    for window_s in (None, 3600.0, 86_400.0, 60.0):
        history, status = await again.insight.slo_history("f", window_s), await again.status()
        total = history.total_before + sum(cell.total for cell in history.cells)
        good = history.good_before + sum(cell.good for cell in history.cells)
        assert (total, good) == (status.total, status.good) == (1030, 1015), window_s
        assert sum(count for cell in history.cells for _, count in cell.latency) == sum(
            cell.total for cell in history.cells
        )
    await again.watch.close()


@on_a_loop
async def test_quantiles_stand_beside_the_requests_they_are_of(tmp_path):
    """A window that reaches back over a restart has the latencies of both runs."""
    place = await Place(tmp_path, slo=SLO(0.1, 0.99)).open()
    await place.run(70, good=10)
    await place.watch.close()
    again = await Place(tmp_path, slo=SLO(0.1, 0.99), wall_s=WALL_S + 75).open()
    assert (await again.status()).windows[2].latency_s.p50 == pytest.approx(0.01, rel=0.011)
    await again.run(70, late=4)
    windows = {window.name: window for window in (await again.status()).windows}
    assert (windows["1h"].total, windows["6h"].total) == (980, 980)
    for name in ("5m", "1h", "6h"):
        assert windows[name].latency_s.p50 == pytest.approx(0.01, rel=0.011)
        assert windows[name].latency_s.p99 == pytest.approx(0.5, rel=0.011)
    await again.watch.close()


@on_a_loop
async def test_replica_time_lies_in_the_cells_in_which_it_passed():
    """One replica from the second second on until the 34th: no cell has more than passed in it, none after it any."""
    place = await Place(slo=SLO(0.1)).open()
    place.replicas, place.replicas_from_s, place.replicas_until_s = 1, place.now_s + 2, place.now_s + 34
    await place.run(60, good=3)
    cells = (await place.insight.slo_history("f", 600.0)).cells
    assert [round(cell.replica_s, 3) for cell in cells] == [8.0, 10.0, 10.0, 4.0, 0.0, 0.0, 0.0][: len(cells)]
    await place.watch.close()


@on_a_loop
async def test_an_objective_that_changed_is_told_with_what_it_was_before(tmp_path):
    """Counts stay those of their time; a change of the share alone is told as one that judges no request otherwise."""
    place = await Place(tmp_path, slo=SLO(0.1, 0.99)).open()
    await place.run(12, good=10)
    assert (await place.status()).former_objectives == []
    await place.watch.close()
    stricter = await Place(tmp_path, slo=SLO(0.1, 0.999), wall_s=WALL_S + 20).open()
    (target,) = (await stricter.status()).former_objectives
    assert (target.text, target.judges_alike, target.ends_at) == ("99% < 100ms", True, utc_text(WALL_S + 20))
    await stricter.watch.close()
    faster = await Place(tmp_path, slo=SLO(0.0003, 0.999), wall_s=WALL_S + 40).open()
    former = (await faster.status()).former_objectives
    assert [(one.text, one.judges_alike) for one in former] == [("99% < 100ms", False), ("99.9% < 100ms", False)]
    assert former[0].ends_at == former[1].begins_at
    assert (former[0].begins_at, former[1].ends_at) == (utc_text(WALL_S), utc_text(WALL_S + 40))
    await faster.watch.close()
    same = await Place(tmp_path, slo=SLO(0.0003, 0.999), wall_s=WALL_S + 60).open()
    assert (await same.status()).former_objectives == former
    await same.watch.close()
    later = await Place(tmp_path, slo=SLO(0.0003, 0.999), wall_s=WALL_S + 31 * 86_400).open()
    assert (await later.status()).former_objectives == []
    await later.watch.close()


@on_a_loop
async def test_counts_of_a_version_that_kept_no_objectives_are_said_to_be_such(tmp_path):
    """Nobody knows what they were judged against."""
    place = await Place(tmp_path, slo=SLO(0.1, 0.99)).open()
    await place.run(12, good=10)
    await place.watch.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("DELETE FROM objectives")
    connection.close()
    again = await Place(tmp_path, slo=SLO(0.1, 0.99), wall_s=WALL_S + 20).open()
    assert [one.text for one in (await again.status()).former_objectives] == [None]
    await again.watch.close()


@on_a_loop
async def test_what_is_known_begins_with_the_first_server_and_leaves_gaps_out(tmp_path):
    """Not with the minute or the hour in which it began, and not with the last server."""
    place = await Place(tmp_path).open()
    await place.run(33, good=10)
    assert (await place.status()).known_s == pytest.approx(32.0, abs=1.1)
    await place.watch.close()
    again = await Place(tmp_path, wall_s=WALL_S + 53).open()
    assert (await again.status()).known_s == pytest.approx(33.0, abs=1.1)
    await again.run(10, good=1)
    assert (await again.status()).known_s == pytest.approx(43.0, abs=1.1)
    await again.watch.close()


@pytest.mark.parametrize("keeps", [False, True])
@on_a_loop
async def test_the_first_and_the_last_cell_tell_the_seconds_they_cover(tmp_path, keeps):
    """From the begin of the server until now: so that ten requests a second are ten, and one replica is one."""
    place = await Place(tmp_path if keeps else None, slo=SLO(0.1), wall_s=WALL_S + 3636.5).open()
    place.replicas, place.replicas_from_s = 1, place.now_s
    for _ in range(2):
        for _ in range(4325 if keeps else 15):
            place.now_s += 1.0
            place.meter.monitor.current(place.now_s).arrivals += 10
        place.watch._look()
        if place.watch.keeper.saving is not None:
            await place.watch.keeper.saving
    history = await place.insight.slo_history("f", None)
    first, *between, last = history.cells
    assert first.starts_at_s == pytest.approx(WALL_S + 3636.5)
    assert first.starts_at_s + first.duration_s == between[0].starts_at_s
    assert last.starts_at_s + last.duration_s == pytest.approx(history.ends_at_s)
    assert last.duration_s < history.cell_s == between[0].duration_s
    assert history.begins_at_s == pytest.approx(first.starts_at_s)
    for cell in (first, last):
        assert cell.arrivals / cell.duration_s == pytest.approx(10.0, rel=0.3)
    assert last.replica_s / last.duration_s == pytest.approx(1.0, abs=0.01)
    await place.watch.close()


@on_a_loop
async def test_a_plot_begins_with_the_first_server_and_not_with_its_minute(tmp_path):
    """Also after a restart, when of its first minute only the sum is known."""
    place = await Place(tmp_path, wall_s=WALL_S + 25).open()
    await place.run(90, good=1)
    await place.watch.close()
    again = await Place(tmp_path, wall_s=WALL_S + 120).open()
    await again.run(10, good=1)
    history = await again.insight.slo_history("f", None)
    assert history.begins_at_s == history.cells[0].starts_at_s == WALL_S + 25
    await again.watch.close()


@on_a_loop
async def test_after_a_restart_short_windows_say_that_they_reach_back_further(tmp_path):
    """Only those that begin before this server did, and after something was counted: else nothing too much is in them."""
    place = await Place(tmp_path).open()
    await place.run(130, good=1)
    assert {window.grain_s for window in (await place.status()).windows} == {10}
    await place.watch.close()
    again = await Place(tmp_path, wall_s=WALL_S + 135).open()
    await again.run(40, good=1)
    assert [(one.name, one.grain_s) for one in (await again.status()).windows] == [
        ("30s", 10), ("1m", 60), ("2m", 60), ("6m", 10), ("1h", 10),
    ]  # fmt: skip
    await again.run(90, good=1)
    assert {window.grain_s for window in (await again.status()).windows} == {10}
    await again.watch.close()


@on_a_loop
async def test_alerts_are_told_with_the_figures_of_the_table():
    """Also when they were last looked at before the latest requests came."""
    place = await Place(slo=SLO(0.1, 0.99)).open()
    await place.run(20, good=10, refused=10)
    place.serve(good=1000)
    status = await place.status()
    windows = {window.window_s: window.burn_rate for window in status.windows}
    for alert in status.alerts:
        assert (alert.long_burn, alert.short_burn) == (windows[alert.long_s], windows[alert.short_s])
    await place.watch.close()


@on_a_loop
async def test_what_has_not_ended_and_is_overdue_is_in_the_alerts_figures_and_told():
    """So that nobody wonders why they differ."""
    place = await Place(slo=SLO(0.1, 0.99)).open()
    place.desk.now_s = place.now_s
    place.desk.submit()
    place.now_s += 0.5
    status = await place.status()
    assert (status.overdue, status.total, status.alerts[0].long_burn) == (1, 0, pytest.approx(100.0))
    await place.watch.close()


@on_a_loop
async def test_an_alert_says_when_it_ends_and_under_which_objective_it_began(tmp_path):
    """It fires on for its quiet time although its condition has ceased to hold, over a change of the objective, too."""
    place = await Place(tmp_path, slo=SLO(0.1, 0.999, 3600.0)).open()
    await place.run(33, good=10, refused=2)
    page = (await place.status()).alerts[0]
    assert (page.state, page.clear_since, page.is_of_former_objective) == (AlertState.FIRING, None, False)
    await place.watch.close()
    again = await Place(tmp_path, slo=SLO(0.1, 0.5, 3600.0), wall_s=WALL_S + 40).open()
    await again.run(2, good=10)
    page = (await again.status()).alerts[0]
    assert (page.state, page.is_of_former_objective) == (AlertState.FIRING, True)
    assert (page.clear_since, page.resolved_at) == (utc_text(WALL_S + 41), utc_text(WALL_S + 101))
    await again.watch.close()

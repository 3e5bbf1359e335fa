"""Whether the objective was held, asked of real servers: counted once over all that can happen, and told in full."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import Server, wait_until

APP = '''
"""Sleeps as long as the item says; a negative one fails; kills its replica on request."""
import os, signal, time
import sojourn

@sojourn.function(slo="99% < 250ms", max_batch_size=8, timeout_s=30, min_replicas=1)
def naps(items: list[float]) -> list[float]:
    if any(item < 0 for item in items):
        raise ValueError("negative")
    if any(item == 99 for item in items):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(max(items))
    return items
'''
HOURLY = APP.replace('"99% < 250ms"', '"99% < 250ms over 1h"')
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


def kept_in(directory):
    """Options that keep the history of a directory."""
    return ("--state-dir", str(directory / "kept"))


def slo(server, name="naps"):
    """What the server says of the objective."""
    return server.ask(f"/api/v1/functions/{name}/slo").body


def causes(status):
    """Bad requests by cause."""
    return {cause["cause"]: cause["requests"] for cause in status["causes"]}


def phases_of(server_timing):
    """Phases of a Server-Timing header in seconds; what has no duration is left out."""
    return {name: float(text) / 1e3 for name, text in re.findall(r"(\w+);dur=([0-9.]+)", server_timing)}


def test_each_request_is_counted_once_over_drains_kills_and_restarts(tmp_path):
    """What clients were told adds up to what the history holds after a replica's death, a drain and two restarts."""
    told, lock = [], threading.Lock()

    def call(server, item):
        status = server.call("naps", item).status
        with lock:
            told.append(status)

    for round_ in range(3):
        with Server(tmp_path, APP, *kept_in(tmp_path)) as server, ThreadPoolExecutor(12) as callers:
            assert slo(server)["total"] == len([status for status in told if status != 422])
            calls = [callers.submit(call, server, item) for item in [0.0] * 40 + [-1.0] * 3 + [0.3] + ["no number"] * 2]
            if round_ == 1:
                calls.append(callers.submit(call, server, 99))
            for one in calls:
                one.result()
            status = slo(server)
            assert status["client_faults"] == told.count(422)
            if round_ == 2:  # requests in flight when the server is told to end are counted, too
                calls = [callers.submit(call, server, 0.2) for _ in range(6)]
                wait_until(lambda: server.function("naps")["recent"]["batch_size_mean"], "a batch to be under way")
                server.process.send_signal(signal.SIGTERM)
                for one in calls:
                    one.exception()
                server.process.wait(30)
    database = sqlite3.connect(tmp_path / "kept" / "history.db")
    runs = database.execute("SELECT is_ended FROM runs ORDER BY run_id").fetchall()
    assert runs == [(1,), (1,), (1,)]
    database.close()
    with Server(tmp_path, APP, *kept_in(tmp_path)) as server:
        status = slo(server)
        assert status["total"] == len(told) - told.count(422)
        assert status["total"] - status["good"] == sum(causes(status).values())
        assert causes(status)["function_error"] >= told.count(500)
        assert [gap["was_planned"] for gap in status["gaps"]] in ([True] * 3, [True] * 2, [True], [])
        assert status["history"]["state"] == "kept"


def test_a_killed_server_loses_ten_seconds_at_most_and_says_so(tmp_path):
    """What was saved is there, the rest is a gap that was not planned, and the budget is that of what is known."""
    with Server(tmp_path, APP, *kept_in(tmp_path)) as server:
        for _ in range(5):
            assert server.call("naps", 0.0).status == 200
        database = sqlite3.connect(tmp_path / "kept" / "history.db")
        wait_until(
            lambda: database.execute("SELECT COUNT(*) FROM cells").fetchone() != (0,), "the cell to be saved", 15
        )
        (saved_until_s,) = database.execute("SELECT saved_until_s FROM runs").fetchone()
        database.close()
        before = slo(server)
        server.stopped_by_test = True
        server.process.kill()
        server.process.wait()
        assert time.time() - saved_until_s < 11
    with Server(tmp_path, APP, *kept_in(tmp_path)) as server:
        status = slo(server)
        assert (status["total"], status["good"]) == (before["total"], before["good"])
        assert status["budget"]["remaining_ratio"] == 1.0
        assert [gap["was_planned"] for gap in status["gaps"]] == [False]


def test_phases_add_up_and_requests_can_be_looked_up(tmp_path):
    """Server-Timing, the kept request and the client's clock tell one story; the trace goes in and out."""
    with Server(tmp_path, APP) as server:
        began_s = time.monotonic()
        answer = server.call("naps", 0.4, traceparent=TRACEPARENT, x_request_id="slow-one")
        took_s = time.monotonic() - began_s
        phases = phases_of(answer.headers["server-timing"])
        trace = server.ask("/api/v1/requests/slow-one").body
        assert sum(phases.values()) == pytest.approx(trace["latency_s"], rel=0.01)
        assert 0.4 <= trace["latency_s"] <= took_s
        kept = {phase["name"]: phase["duration_s"] for phase in trace["phases"]}
        assert sum(kept.values()) - kept["write"] == pytest.approx(trace["latency_s"], rel=1e-6)
        assert kept["service"] == pytest.approx(phases["service"], abs=1e-5)
        assert (trace["kind"], trace["cause"], trace["within_slo"]) == ("slow", "service_time", False)
        assert answer.headers["traceparent"].startswith(f"00-{TRACE_ID}-{trace['span_id']}-")
        assert (trace["trace_id"], trace["parent_span_id"]) == (TRACE_ID, "b7ad6b7169203331")
        assert server.call("naps", -1, traceparent=TRACEPARENT).headers["traceparent"].startswith(f"00-{TRACE_ID}-")
        (failed,) = server.ask("/api/v1/requests?kind=failed").body["requests"]
        assert (failed["code"], failed["cause"]) == ("function_raised", "function_error")
        assert server.ask("/api/v1/requests/never-seen").status == 404
        metrics = server.ask("/metrics").body.decode()
        assert 'sojourn_slo_bad_total{cause="service_time"' in metrics


def test_a_cold_start_is_blamed_for_what_waited_for_it(tmp_path):
    """From zero: the request waited for its replica, which the trace tells with the scaling that was under way."""
    slow_load = """
import time
import sojourn

@sojourn.function(name="naps", slo="99% < 250ms", timeout_s=30, keepalive=sojourn.FixedKeepAlive(idle_s=0.2))
class Naps:
    def __init__(self) -> None:
        time.sleep(0.5)
    def __call__(self, items: list[float]) -> list[float]:
        return items
"""
    with Server(tmp_path, slow_load) as server:
        server.wait_replicas("naps", 0)
        assert server.call("naps", 1.0, x_request_id="cold").status == 200
        trace = server.ask("/api/v1/requests/cold").body
        kept = {phase["name"]: phase["duration_s"] for phase in trace["phases"]}
        assert kept["cold_wait"] > 0.5
        assert trace["cause"] == "cold_start"
        assert {"function.scaled", "replica.starting", "replica.ready"} <= {event["event"] for event in trace["events"]}
        status = slo(server)
        assert causes(status) == {"cold_start": 1}
        assert status["causes"][0]["sentence"] == "100 % of bad requests waited for a cold start"


def test_an_outage_pages_and_the_page_is_in_every_place(tmp_path):
    """All requests fail: an event, the API, the function's row and the metrics say so within seconds (window of an hour)."""
    with Server(tmp_path, HOURLY) as server, ThreadPoolExecutor(4) as callers:
        list(callers.map(lambda _: server.call("naps", -1.0).status, range(120)))
        fired = server.wait_log("slo.alert_firing", rule="page-fast")
        assert (fired["severity"], fired["function"]) == ("page", "naps")
        status = slo(server)
        assert {alert["state"] for alert in status["alerts"] if alert["rule"] == "page-fast"} == {"firing"}
        assert status["is_met"] is False
        assert status["budget"]["exhausted_in_s"] == 0.0
        row = server.function("naps")
        assert "page-fast" in row["alerts_firing"]
        assert row["budget_remaining"] < 0
        page = server.ask("/metrics").body.decode()
        assert re.search(r'sojourn_slo_alert_firing\{[^}]*rule="page-fast"[^}]*\} 1.0', page)
        assert re.search(r"sojourn_error_budget_remaining_ratio\{[^}]*\} -", page)


@pytest.mark.slow  # it waits for two cells of ten seconds; tests/unit/runtime/test_slo_watch.py tells the same story faster
def test_a_history_that_cannot_be_written_stops_nothing_and_is_an_alert(tmp_path):
    """Somebody holds the file: requests are served, the loss is told and shown; once it is free, nothing was lost."""
    with Server(tmp_path, APP, *kept_in(tmp_path)) as server:
        path = tmp_path / "kept" / "history.db"
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            assert server.call("naps", 0.0).status == 200
        server.wait_log("history.failing")
        status = slo(server)
        assert status["history"]["state"] == "failing"
        assert "history-lost" in {alert["rule"] for alert in status["alerts"] if alert["state"] == "firing"}
        assert server.call("naps", 0.0).status == 200
        holder.execute("ROLLBACK")
        holder.close()
        server.wait_log("history.recovered")
        assert slo(server)["history"]["state"] == "kept"
    with Server(tmp_path, APP, *kept_in(tmp_path)) as server:
        assert slo(server)["total"] == 4


def test_a_damaged_history_is_set_aside_and_serving_starts(tmp_path):
    """A file of rubbish costs history, not the server; it is kept for whoever wants to look."""
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o700)
    (kept / "history.db").write_bytes(os.urandom(8192))
    with Server(tmp_path, APP, *kept_in(tmp_path)) as server:
        (told,) = server.logged("history.damaged", level="error")
        assert Path(told["kept_as"]).stat().st_size == 8192
        assert server.call("naps", 0.0).status == 200
        assert slo(server)["history"]["state"] == "kept"

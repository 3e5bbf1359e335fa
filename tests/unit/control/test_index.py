"""The page for people: everything in it is escaped."""

from __future__ import annotations

from sojourn.control.index import index_page
from sojourn.slo.cause import Cause
from sojourn.telemetry.meter import FunctionMeter
from sojourn.telemetry.status import FunctionSnapshot, function_status


def test_an_empty_server_says_so():
    """No table without rows."""
    assert "No function is deployed." in index_page([], "1.0")


def test_names_cannot_bring_markup():
    """Even a name that no rule would admit cannot break out of the page or of a link."""
    meter = FunctionMeter('<b>"/../x', "<i>", (0.1,))
    snapshot = FunctionSnapshot(meter=meter.snapshot())
    status = function_status(snapshot, meter.recent(0.0), meter.latency_since_start(), "<u>")
    page = index_page([status], "<s>")
    for markup in ("<b>", "<i>", "<u>", "<s>", '"/../x"'):
        assert markup not in page
    assert "%2F" in page


def test_an_objective_that_cannot_be_met_stands_beside_it():
    """The page says it where the objective is read."""
    meter = FunctionMeter("slow", "r1", (0.1,))
    snapshot = FunctionSnapshot(meter=meter.snapshot())
    status = function_status(
        snapshot, meter.recent(0.0), meter.latency_since_start(), "99% < 5ms", "one item <takes> 21 ms"
    )
    assert "99% &lt; 5ms (cannot be met: one item &lt;takes&gt; 21 ms)" in index_page([status], "1.0")


def test_a_share_short_of_everything_is_not_rounded_up():
    """One miss in a hundred thousand is a miss."""
    meter = FunctionMeter("digits", "r1", (0.1,))
    for number in range(100_000):
        meter.served(0.01, 0.0, 1.0, None if number > 0 else Cause.QUEUEING)
    status = function_status(
        FunctionSnapshot(meter=meter.snapshot()), meter.recent(1.0), meter.latency_since_start(), "99% < 5ms"
    )
    assert "99.999 %" in index_page([status], "1.0")

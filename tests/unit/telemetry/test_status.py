"""Status structs: what the runtime builds is what the API encodes."""

from __future__ import annotations

import msgspec

from sojourn.domain.request import Outcome
from sojourn.slo.cause import Cause
from sojourn.telemetry.meter import FunctionMeter
from sojourn.telemetry.status import FunctionSnapshot, function_detail, function_status


def status_of(meter, slo="99% < 100ms"):
    """The row of a function with these meters."""
    snapshot = FunctionSnapshot(meter=meter.snapshot(), queue_depth=4)
    return function_status(snapshot, meter.recent(1.0), meter.latency_since_start(), slo)


def test_attainment_is_good_over_counted_and_unknown_without_traffic():
    """A share of nothing is null, not 0 and not 1."""
    meter = FunctionMeter("digits", "r1", (0.1,))
    assert status_of(meter).within_slo is None
    for within in (True, True, True, False):
        meter.served(0.05, 0.0, 100.0, None if within else Cause.QUEUEING)
    meter.ended(Outcome.FAILED, 100.0, None)
    assert status_of(meter).within_slo == 0.75


def test_detail_repeats_the_row_and_encodes():
    """A detail is the row plus what only it shows; all of it is JSON."""
    status = status_of(FunctionMeter("digits", "r1", (0.1,)), slo=None)
    detail = function_detail(
        status, settings={"cpus": 1.0}, input_schema={}, output_schema={}, output=["hi"], start_failure="no model"
    )
    row, full = (msgspec.json.decode(msgspec.json.encode(one)) for one in (status, detail))
    assert row.items() <= full.items()
    more = {"settings", "input_schema", "output_schema", "output", "start_failure", "replica_details"}
    assert set(full) - set(row) == more | {"target", "working_directory", "log_path"}

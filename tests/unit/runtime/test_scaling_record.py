"""What is kept and told of limits and decisions."""

from __future__ import annotations

import pytest

from sojourn.domain.function import FunctionSettings
from sojourn.domain.scaling import ReplicaLimits, ScalingDecision
from sojourn.errors import ConfigurationError, UnknownFunctionError
from sojourn.runtime.scaling_record import ScalingRecords
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.log import EventLog


@pytest.fixture
def events():
    """Where they are told."""
    return PlatformEvents(EventLog(log_level="error"))


@pytest.fixture
def records(events):
    """Of one function, f."""
    records = ScalingRecords(events)
    records.deployed(FunctionSettings(name="f", min_replicas=1, max_replicas=4))
    return records


def test_limits_begin_with_the_settings_and_follow_the_operator(records, events):
    """Each change is an event with both limits as they are then."""
    assert records["f"].limits == ReplicaLimits(min_replicas=1, max_replicas=4)
    records.limit("f", records.changed("f", 2, None))
    assert records.floors() == {"f": 2}
    assert records["f"].limits == ReplicaLimits(min_replicas=2, max_replicas=4)
    (event,) = events.ring.latest(9).events
    assert (event.event, event.function, event.fields) == (
        "function.limits",
        "f",
        {"min_replicas": 2, "max_replicas": 4},
    )


@pytest.mark.parametrize(
    ("function", "error"), [("g", UnknownFunctionError), ("f", ConfigurationError), ("", UnknownFunctionError)]
)
def test_what_is_refused_leaves_no_trace(records, events, function, error):
    """Neither a limit nor an event; an unknown name is told with the known ones."""
    with pytest.raises(error, match=r"deployed: f|lies above"):
        records.changed(function, 5, None)
    assert records["f"].limits == ReplicaLimits(min_replicas=1, max_replicas=4)
    assert events.ring.latest(9).events == []


def test_the_last_decision_is_kept_with_its_time_and_all_are_counted(records, events):
    """The event has the same instant, and the figures for programs."""
    for after, cause in ((2, "policy"), (3, "policy"), (1, "keep_alive")):
        decision = ScalingDecision(
            function="f", before=1, after=after, cause=cause, why="so", terms={"rate_per_s": float(after)}
        )
        records.decided(decision)
    record, told = records["f"], events.ring.latest(9).events
    assert (record.last.at, record.last.after, record.last.cause) == (told[-1].at, 1, "keep_alive")
    assert {cause: count for cause, count in record.decisions.items() if count} == {"policy": 2, "keep_alive": 1}
    assert [event.fields["terms"]["rate_per_s"] for event in told] == [2.0, 3.0, 1.0]

"""What is kept and told of limits and decisions."""

from __future__ import annotations

import pytest

from sojourn.domain.function import FunctionSettings
from sojourn.domain.scaling import ReplicaLimits, ScalingDecision
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
    records.limit("f", records["f"].limits.changed(2, None))
    assert records["f"].limits == ReplicaLimits(min_replicas=2, max_replicas=4)
    (event,) = events.ring.latest(9).events
    assert (event.event, event.function, event.fields) == (
        "function.limits",
        "f",
        {"min_replicas": 2, "max_replicas": 4},
    )


def test_the_last_decision_is_kept_with_its_time_and_all_are_counted(records, events):
    """The event has the same instant, and the figures for programs."""
    for after, cause in ((2, "policy"), (3, "policy"), (1, "keep_alive")):
        decision = ScalingDecision(
            function="f", before=1, after=after, cause=cause, why="so", terms={"rate_per_s": float(after)}
        )
        records.decided("f", decision)
    record, told = records["f"], events.ring.latest(9).events
    assert (record.last.at, record.last.after, record.last.cause) == (told[-1].at, 1, "keep_alive")
    assert {cause: count for cause, count in record.decisions.items() if count} == {"policy": 2, "keep_alive": 1}
    assert [event.fields["terms"]["rate_per_s"] for event in told] == [2.0, 3.0, 1.0]


def test_revisions_have_limits_of_their_own_and_count_their_decisions_together(records):
    """A counter of the function goes on when one of its revisions goes, and ends with the last."""
    records.deployed(FunctionSettings(name="f", min_replicas=2), "f@b")
    for key in ("f", "f@b"):
        records.decided(key, ScalingDecision(function="f", before=1, after=2, cause="policy", why="so"))
    assert (records["f"].limits.min_replicas, records["f@b"].limits.min_replicas) == (1, 2)
    assert records["f@b"].decisions["policy"] == 2
    records.gone("f")
    assert records["f@b"].decisions["policy"] == 2
    records.gone("f@b")
    records.deployed(FunctionSettings(name="f"))
    assert records["f"].decisions["policy"] == 0

"""The meters of a function: each event is counted once, in the right place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.request import Outcome
from sojourn.domain.rollout import ArmCounts
from sojourn.slo.cause import Cause
from sojourn.telemetry.edges import BATCH_SIZE_EDGES, common_edges_s
from sojourn.telemetry.meter import COLD_START_PHASES, FunctionMeter

EDGES_S = common_edges_s([0.1])
SERVED = st.tuples(st.floats(0, 100), st.floats(0, 100), st.sampled_from([None, *Cause]))
ENDED = st.tuples(
    st.sampled_from([one for one in Outcome if one is not Outcome.SERVED]), st.sampled_from([None, *Cause])
)


def new_meter():
    """Meters of one function, untouched."""
    return FunctionMeter("digits", "abc", EDGES_S)


@given(st.lists(SERVED, max_size=30), st.lists(ENDED, max_size=30), st.booleans())
def test_counters_agree_with_a_plain_recount(served, ended, has_objective):
    """Requests by outcome, SLO events, causes and both histograms match what loops over the lists find."""
    meter = FunctionMeter("digits", "abc", EDGES_S, has_objective=has_objective)
    for latency_s, wait_s, cause in served:
        meter.served(latency_s, wait_s, 5.0, cause)
    for outcome, cause in ended:
        meter.ended(outcome, 5.0, cause)
    snapshot = meter.snapshot()
    counted = {one.value: sum(outcome is one for outcome, _ in ended) for one in Outcome}
    assert snapshot.requests == counted | {"served": len(served)}
    failed = [cause for _, cause in ended if cause is not None]
    late = [cause for *_, cause in served if cause is not None] if has_objective else []
    cold = (late + failed).count(Cause.COLD_START)
    assert meter.arm_counts() == ArmCounts(
        total=len(served) + len(failed) - cold,
        bad=len(late) + len(failed) - cold,
        errors=(late + failed).count(Cause.FUNCTION_ERROR),
        rejected=sum(end == (outcome, None) for end in ended for outcome in (Outcome.FAILED, Outcome.SHED)),
    )
    bad = [cause for *_, cause in (*served, *ended) if cause is not None] if has_objective else []
    good = sum(cause is None for *_, cause in served) if has_objective else 0
    assert snapshot.bad_by_cause == {cause.value: bad.count(cause) for cause in Cause}
    assert (snapshot.slo_good, snapshot.slo_events) == (good, good + len(bad))
    for histogram, place in ((snapshot.duration_s, 0), (snapshot.queue_wait_s, 1)):
        values = [end[place] for end in served]
        assert histogram.sum == pytest.approx(sum(values))
        for index, edge in enumerate(EDGES_S):
            assert sum(histogram.counts[: index + 1]) == sum(value <= edge for value in values)
        assert histogram.count == len(values)


@given(
    st.lists(st.tuples(st.sampled_from([*EDGES_S, 0.0, 99.0]) | st.floats(0, 100), st.floats(0, 100)), min_size=1),
    st.booleans(),
)
def test_many_served_at_once_are_counted_as_one_by_one(served, has_objective):
    """Counters, histograms and windows are the same, whichever way requests that were in time are counted."""
    meters = [FunctionMeter("digits", "abc", EDGES_S, has_objective=has_objective) for _ in range(2)]
    meters[0].served_in_time([latency_s for latency_s, _ in served], [wait_s for _, wait_s in served], 5.0)
    for latency_s, wait_s in served:
        meters[1].served(latency_s, wait_s, 5.0)
    at_once, one_by_one = (meter.snapshot() for meter in meters)
    assert at_once.duration_s.counts == one_by_one.duration_s.counts
    assert at_once.queue_wait_s.counts == one_by_one.queue_wait_s.counts
    assert at_once.duration_s.sum == pytest.approx(one_by_one.duration_s.sum)
    assert at_once.queue_wait_s.sum == pytest.approx(one_by_one.queue_wait_s.sum)
    assert (at_once.requests, at_once.slo_good, at_once.slo_events) == (
        one_by_one.requests,
        one_by_one.slo_good,
        one_by_one.slo_events,
    )
    assert meters[0].monitor.cell.pack() == meters[1].monitor.cell.pack()


@given(st.lists(ENDED, max_size=30))
def test_what_does_not_count_is_counted_by_itself(ended):
    """Client faults, early cancels and timeouts of the client's own are left out of the objective, not lost."""
    meter = new_meter()
    for outcome, cause in ended:
        meter.ended(outcome, 5.0, cause)
    counts = meter.monitor.counts(6.0, 60.0)
    left_out = [outcome for outcome, cause in ended if cause is None]
    assert counts.cancelled == left_out.count(Outcome.CANCELLED)
    assert counts.client_timeouts == left_out.count(Outcome.EXPIRED)
    assert counts.client_faults == len(left_out) - counts.cancelled - counts.client_timeouts
    assert counts.total == len(ended) - len(left_out)


def test_latency_equal_to_the_objective_is_in_its_bucket():
    """Edges are inclusive, as Prometheus' `le` says."""
    meter = new_meter()
    meter.served(0.1, 0.0, 5.0)
    assert meter.snapshot().duration_s.counts[EDGES_S.index(0.1)] == 1


def test_batches_are_counted_by_size_and_service_time():
    """A batch of 8 falls on the edge 8, one of 9 above it."""
    meter = new_meter()
    meter.batch_done(8, 0.02, 5.0)
    meter.batch_done(9, 0.04, 5.0)
    snapshot = meter.snapshot()
    assert snapshot.batch_size.counts[BATCH_SIZE_EDGES.index(8)] == 1
    assert snapshot.batch_size.counts[BATCH_SIZE_EDGES.index(16)] == 1
    assert snapshot.batch_size.sum == 17
    assert snapshot.service_time_s.sum == pytest.approx(0.06)


def test_cold_starts_are_counted_once_and_timed_by_phase():
    """One replica that became ready is one cold start with five times; what is left of the total is the spawn."""
    meter = new_meter()
    meter.cold_start(2.0, import_s=1.0, load_s=0.5, warmup_s=0.25)
    snapshot = meter.snapshot()
    assert snapshot.cold_starts == 1
    assert [snapshot.cold_start_s[phase].sum for phase in COLD_START_PHASES] == [0.25, 1.0, 0.5, 0.25, 2.0]


def test_snapshot_does_not_change_afterwards():
    """A scrape rendered in a thread sees one instant."""
    meter = new_meter()
    before = meter.snapshot()
    meter.arrived(5.0)
    meter.served(0.1, 0.1, 5.0)
    meter.ended(Outcome.SHED, 5.0, Cause.REFUSED)
    meter.batch_done(1, 0.1, 5.0)
    meter.cold_start(1.0)
    assert before == new_meter().snapshot()


def test_recent_forgets_after_a_minute_and_since_start_does_not():
    """p99 of the last minute follows the traffic; the one since start keeps everything."""
    meter = new_meter()
    for _ in range(100):
        meter.arrived(1000.0)
        meter.served(0.5, 0.0, 1000.0, Cause.QUEUEING)
    recent = meter.recent(1009.0)
    assert recent.arrival_rate_per_s == 10.0
    assert recent.within_slo == 0.0
    assert recent.latency_s.p99 == pytest.approx(0.5, rel=0.011)
    later = meter.recent(1075.0)
    assert (later.arrival_rate_per_s, later.within_slo, later.latency_s.p50) == (0.0, None, None)
    assert meter.latency_since_start().p50 == pytest.approx(0.5, rel=0.011)


def test_mean_batch_of_the_last_minute():
    """Items over calls; unknown while there was no call, and again a minute later."""
    meter = new_meter()
    assert meter.recent(1000.0).batch_size_mean is None
    for size in (2, 3, 7):
        meter.batch_done(size, 0.02, 1000.0)
    assert meter.recent(1009.0).batch_size_mean == 4.0
    assert meter.recent(1075.0).batch_size_mean is None

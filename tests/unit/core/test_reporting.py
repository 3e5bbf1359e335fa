"""What a dispatcher reports of its demand, and when."""

from __future__ import annotations

import pytest

from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.event import BatchCompleted, ReplicaLeased, ReplicaRevoked, RequestArrived, Tick
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.policy.batching.catalogue import batching_policy


@pytest.fixture
def dispatcher() -> Dispatcher:
    settings = FunctionSettings(name="f", slo=SLO(0.1), max_batch_size=4, timeout_s=20.0)
    return Dispatcher(settings, batching_policy(settings.batching))


def test_the_first_arrival_is_reported_at_once_and_a_cold_queue_every_tenth_of_a_second(dispatcher):
    """From zero the controller must not wait for a period to learn that somebody waits."""
    assert dispatcher.reporter.is_quiet
    dispatcher.step(RequestArrived(1), 5.0)
    assert dispatcher.reporter.due_at_s == 5.0
    report = dispatcher.reporter.report(5.0)
    assert (report.arrivals, report.waiting, report.ongoing, report.replicas) == (1, 1, 0, 0)
    assert dispatcher.reporter.due_at_s == pytest.approx(5.1)


def test_with_a_replica_a_report_comes_every_quarter_of_a_second(dispatcher):
    """Further arrivals do not bring it forward: reports cost the same at any rate."""
    dispatcher.step(ReplicaLeased(1, 1), 0.0)
    dispatcher.step(RequestArrived(1), 1.0)
    dispatcher.reporter.report(1.0)
    dispatcher.step(RequestArrived(2), 1.1)
    assert dispatcher.reporter.due_at_s == pytest.approx(1.25)


def test_ten_seconds_after_its_last_work_a_function_says_so_once_and_is_silent(dispatcher):
    """An idle function costs nothing; its next arrival is told at once again."""
    dispatcher.step(ReplicaLeased(1), 0.0)
    dispatcher.step(RequestArrived(1), 1.0)
    dispatcher.reporter.report(1.0)
    dispatcher.step(BatchCompleted(1, 1), 1.01)
    told = []
    while not dispatcher.reporter.is_quiet:
        due_at_s = dispatcher.reporter.due_at_s
        told.append((due_at_s, dispatcher.reporter.report(due_at_s).is_quiet))
    assert [is_quiet for _, is_quiet in told] == [False] * (len(told) - 1) + [True]
    assert 11.0 <= told[-1][0] <= 11.5
    dispatcher.step(RequestArrived(2), 50.0)
    assert dispatcher.reporter.due_at_s == 50.0


def test_a_slow_batch_keeps_the_function_from_being_quiet(dispatcher):
    """Work under way is work, however long it takes."""
    dispatcher.step(ReplicaLeased(1), 0.0)
    dispatcher.step(RequestArrived(1), 1.0)
    for at_s in (1.0, 8.0, 15.0):
        report = dispatcher.reporter.report(at_s)
        assert (report.ongoing, report.is_quiet) == (1, False)


def test_requests_are_counted_where_they_are(dispatcher):
    """One runs, two wait in time, and past their deadline they are late."""
    dispatcher.step(ReplicaLeased(1, 1), 0.0)
    for request_id in (1, 2, 3):
        dispatcher.step(RequestArrived(request_id), 1.0)
    report = dispatcher.reporter.report(1.0)
    assert (report.arrivals, report.ongoing, report.waiting, report.late) == (3, 1, 2, 0)
    dispatcher.step(Tick(), 1.2)
    report = dispatcher.reporter.report(1.25)
    assert (report.arrivals, report.ongoing, report.waiting, report.late) == (3, 1, 0, 2)


def test_counters_grow_and_times_are_told_when_they_change(dispatcher):
    """Batches, busy time, served and misses are sums; service times come with a new version only."""
    dispatcher.step(ReplicaLeased(1, 2), 0.0)
    now_s = 1.0
    for number in range(1, 31):
        dispatcher.step(RequestArrived(number), now_s)
        now_s += 0.02
        dispatcher.step(BatchCompleted(1, number), now_s)
    report = dispatcher.reporter.report(now_s)
    assert (report.batches, report.served, report.misses, report.slots) == (30, 30, 0, 2)
    assert report.busy_s == pytest.approx(0.6)
    assert report.service is not None
    assert report.service.mean_by_size_s[1] == pytest.approx(0.02, rel=0.05)
    assert dispatcher.reporter.report(now_s + 0.25).service is None


def test_a_replica_that_was_taken_back_is_not_counted(dispatcher):
    """It takes no new work, whatever it still runs."""
    dispatcher.step(ReplicaLeased(1), 0.0)
    dispatcher.step(ReplicaLeased(2), 0.0)
    dispatcher.step(RequestArrived(1), 1.0)
    dispatcher.step(ReplicaRevoked(1), 1.01)
    assert dispatcher.reporter.report(1.02).replicas == 1

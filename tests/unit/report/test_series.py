"""Sums by interval of time."""

from itertools import pairwise
from random import Random

import pytest

from sojourn.domain.request import Outcome
from sojourn.report.series import INTERVALS_MAX, RunSeries, batches_by_size, intervals_of


def run(rows, duration_s):
    """A series of (arrival, latency, outcome, batch) rows."""
    columns = list(zip(*rows, strict=True)) or [[], [], [], []]
    return RunSeries(
        arrival_at_s=columns[0],
        latency_s=columns[1],
        outcome=columns[2],
        batch_size=columns[3],
        duration_s=duration_s,
    )


@pytest.mark.parametrize("duration_s", [0.01, 0.1, 7, 40, 3600, 1e6])
def test_intervals_cover_the_run_and_count_every_request_once(duration_s):
    """They are few, adjoin one another, end with the run, and their counts add up."""
    rng = Random(4)
    arrivals_s = sorted(rng.random() * duration_s for _ in range(300))
    intervals = intervals_of(run([(at_s, 0.1, Outcome.SERVED, 1) for at_s in arrivals_s], duration_s), None)
    assert len(intervals) <= INTERVALS_MAX
    assert intervals[0].start_s == 0
    assert intervals[-1].end_s == duration_s
    assert all(left.end_s == pytest.approx(right.start_s) for left, right in pairwise(intervals))
    assert sum(interval.arrivals for interval in intervals) == 300


def test_an_interval_says_what_happened_in_it():
    """Good ones are within the objective; quantiles cover the served only; the mean is over batches."""
    rows = [
        (0.0, 0.01, Outcome.SERVED, 3),
        (0.001, 0.02, Outcome.SERVED, 3),
        (0.002, 0.5, Outcome.SERVED, 3),
        (0.003, 0.001, Outcome.SHED, 0),
        (0.004, 0.03, Outcome.SERVED, 1),
    ]
    first = intervals_of(run(rows, 0.8), 0.05)[0]
    assert (first.arrivals, first.good) == (5, 3)
    assert (first.latency_s_p50, first.latency_s_p99) == (0.02, 0.5)
    assert first.batch_size_mean == pytest.approx(2)


def test_a_request_at_the_very_end_is_in_the_last_interval():
    """Rounding does not push it out."""
    rows = [(number / 5, 0.1, Outcome.SERVED, 1) for number in range(201)]
    intervals = intervals_of(run(rows, 40.0), None)
    assert len(intervals) > 1
    assert sum(interval.arrivals for interval in intervals) == 201


def test_batches_are_counted_not_requests():
    """Sixteen requests told 8 were two batches; unknown sizes are none."""
    rows = [(0.0, 0.1, Outcome.SERVED, size) for size in [8] * 16 + [1, 0]]
    assert batches_by_size(run(rows, 1.0)) == {1: 1, 8: 2}

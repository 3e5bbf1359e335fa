"""Error budgets and burn rates against the worked examples of the literature."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.objective import DAY_S, SLO
from sojourn.slo.budget import budget, burn_rate
from sojourn.slo.tally import Counts

THREE_NINES = SLO(latency_s=0.1, objective=0.999)


@pytest.mark.parametrize(
    ("bad_per_mille", "burn", "lasts_s"),
    [
        (1, 1, 30 * DAY_S),
        (2, 2, 15 * DAY_S),
        (10, 10, 3 * DAY_S),
        (1000, 1000, 43.2 * 60),
    ],
)
def test_burn_rates_and_times_to_exhaustion_of_the_workbook(bad_per_mille, burn, lasts_s):
    """The Site Reliability Workbook, chapter 5, table 5-4: a 99.9 % objective over 30 days."""
    rate = burn_rate(1000, 1000 - bad_per_mille, 0.999)
    assert rate == pytest.approx(burn)
    assert budget(Counts(total=1000, good=1000), THREE_NINES, rate).exhausted_in_s == pytest.approx(lasts_s)


@pytest.mark.parametrize(("share", "hours", "burn"), [(0.02, 1, 14.4), (0.05, 6, 6.0), (0.1, 72, 1.0)])
def test_budget_consumed_by_the_recommended_alerts(share, hours, burn):
    """The same, table 5-8: burning at this rate for so many hours uses that share of a month's budget."""
    per_hour = 1000
    bad = burn * 0.001 * per_hour * hours
    month = Counts(total=per_hour * 720, good=round(per_hour * 720 - bad))
    assert budget(month, THREE_NINES, None).remaining_ratio == pytest.approx(1 - share, rel=0.01)


def test_without_requests_the_budget_is_whole_and_nothing_burns():
    """No data is no failure, and no promise either."""
    whole = budget(Counts(), THREE_NINES, burn_rate(0, 0, 0.999))
    assert (whole.remaining_ratio, whole.spent, whole.exhausted_in_s) == (1.0, 0, None)


def test_a_budget_used_up_to_the_last_request_is_used_up():
    """Ten bad of ten thousand at 99.9 %: nothing left, not a rounding error of it."""
    used = budget(Counts(total=10_000, good=9_990), THREE_NINES, 1.0)
    assert (used.remaining_ratio, used.exhausted_in_s) == (0.0, 0.0)


def test_what_outlasts_the_window_does_not_run_out():
    """Burning slower than allowed never uses the budget up within its window."""
    assert budget(Counts(total=1000, good=1000), THREE_NINES, 0.5).exhausted_in_s is None


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0.5, 0.99999))
def test_the_budget_is_held_exactly_as_long_as_the_objective_is(total, bad, objective):
    """Remaining below zero and attainment below the objective are the same statement, up to rounding."""
    bad = min(bad, total)
    counts = Counts(total=total, good=total - bad)
    left = budget(counts, SLO(latency_s=0.1, objective=objective), None)
    assert left.spent == bad
    if total and abs(bad - left.allowed) > 1e-6 * left.allowed:
        assert (left.remaining_ratio >= 0) == (counts.attainment >= objective)

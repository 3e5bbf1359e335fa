"""Burn-rate alerts in virtual time: outages, slow burns, recoveries, little traffic, restarts."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.objective import DAY_S, DEFAULT_WINDOW_S, WINDOW_S_MAX, WINDOW_S_MIN
from sojourn.slo.alert import BAD_MIN, EVENTS_MIN, AlertState, BurnAlert, Severity, burn_rules
from sojourn.slo.monitor import Monitor
from sojourn.telemetry.slo_rules import prometheus_duration

HOUR_S = 3600.0


class Story:
    """A function in virtual time: traffic, and all its alerts looked at each second."""

    def __init__(self, objective=0.999, window_s=DEFAULT_WINDOW_S, monitor=None, now_s=0.0):
        self.now_s = now_s
        self.monitor = monitor or Monitor("r", 0.0)
        self.alerts = {rule.name: BurnAlert(rule, objective) for rule in burn_rules(window_s)}
        self.changes = []

    def run(self, seconds, per_s=100.0, bad_share=0.0, step_s=1.0):
        """Serve so much traffic for so long; the bad share is met exactly over time."""
        sent = bad = 0
        for step in range(1, int(seconds / step_s) + 1):
            self.now_s += step_s
            cell = self.monitor.current(self.now_s)
            add = int(step * step_s * per_s) - sent
            add_bad = int((sent + add) * bad_share + 1e-9) - bad
            sent, bad = sent + add, bad + add_bad
            cell.total += add
            cell.good += add - add_bad
            cell.causes[0] += add_bad
            for name, alert in self.alerts.items():
                state = alert.step(lambda window_s: self.monitor.total_good(self.now_s, window_s), self.now_s)
                if state is not None:
                    self.changes.append((self.now_s, name, state))

    def fired(self, name):
        """When an alert came to fire, each time."""
        return [at_s for at_s, rule, state in self.changes if (rule, state) == (name, AlertState.FIRING)]

    def resolved(self, name):
        """When it was resolved, each time."""
        return [at_s for at_s, rule, state in self.changes if (rule, state) == (name, AlertState.RESOLVED)]


def test_a_full_outage_pages_within_a_minute_at_three_nines():
    """52 s until 14.4 times the allowed rate is reached over an hour, two more to be sure; and it is said once."""
    story = Story()
    story.run(HOUR_S)
    story.run(120, bad_share=1.0)
    (at_s,) = story.fired("page-fast")
    assert at_s - HOUR_S <= 60
    assert at_s - HOUR_S >= 50, "an alert that early would be another formula"


def test_a_full_outage_at_two_nines_takes_ten_times_as_long():
    """14.4 % of an hour: 8.6 minutes."""
    story = Story(objective=0.99)
    story.run(HOUR_S)
    story.run(12 * 60, bad_share=1.0)
    (at_s,) = story.fired("page-fast")
    assert (at_s - HOUR_S) / 60 == pytest.approx(8.64, abs=0.25)


def test_a_page_ends_soon_after_the_outage():
    """The short window forgets within five minutes, and five more make sure that it stays quiet."""
    story = Story()
    story.run(HOUR_S)
    story.run(90, bad_share=1.0)
    story.run(20 * 60)
    (at_s,) = story.resolved("page-fast")
    assert 5 * 60 < at_s - HOUR_S - 90 <= 10 * 60 + 15


def test_an_outage_that_comes_and_goes_is_one_page():
    """Ten seconds of every minute: the alert neither flaps nor ends while it lasts."""
    story = Story()
    story.run(HOUR_S)
    for _ in range(30):
        story.run(50)
        story.run(10, bad_share=1.0)
    assert len(story.fired("page-fast")) == 1
    assert not story.resolved("page-fast")
    assert story.alerts["page-fast"].state is AlertState.FIRING


def test_a_slow_burn_is_a_ticket_and_no_page():
    """Twice the allowed rate for days: the slow ticket alone, after the three days hold enough of it."""
    story = Story(objective=0.99)
    story.run(3 * DAY_S, per_s=1.0, step_s=30.0)
    story.run(3 * DAY_S, per_s=1.0, bad_share=0.02, step_s=30.0)
    assert {name for _, name, state in story.changes if state is AlertState.FIRING} == {"ticket-slow"}
    assert story.alerts["ticket-slow"].rule.severity is Severity.TICKET


def test_traffic_within_the_objective_never_alerts():
    """Burning at nine tenths of the allowed rate is what the budget is for."""
    story = Story(objective=0.99)
    story.run(2 * DAY_S, per_s=10.0, bad_share=0.009, step_s=10.0)
    assert story.changes == []


@pytest.mark.parametrize(("requests", "fires"), [(EVENTS_MIN - 1, False), (EVENTS_MIN, True)])
def test_little_traffic_is_no_trend(requests, fires):
    """All bad, but too few of them to say anything."""
    story = Story()
    story.run(requests, per_s=1.0, bad_share=1.0)
    story.run(60, per_s=0.0)
    assert bool(story.fired("page-fast")) is fires


def test_a_few_bad_among_many_are_no_trend():
    """Nine bad of a hundred are nine times what three nines allow, ten times ten: still too few to wake anyone."""
    story = Story()
    story.run(110, per_s=1.0, bad_share=(BAD_MIN - 1) / 110)
    story.run(60, per_s=0.0)
    assert story.changes == []


def test_a_moment_of_it_is_pending_and_goes_away():
    """A condition that holds for one look only does not fire."""
    rule = burn_rules(DEFAULT_WINDOW_S)[0]
    alert = BurnAlert(rule, 0.999)
    assert alert.step(lambda _: (1000, 0), 10.0) is AlertState.PENDING
    assert alert.step(lambda _: (1000, 1000), 11.0) is AlertState.INACTIVE
    assert alert.step(lambda _: (1000, 0), 12.0) is AlertState.PENDING
    assert alert.step(lambda _: (1000, 0), 12.0 + rule.pending_s) is AlertState.FIRING


def test_both_windows_must_burn():
    """An old outage still in the long window, or a blip in the short one, is not enough."""
    rule = burn_rules(DEFAULT_WINDOW_S)[0]
    for short_bad, long_bad in ((0, 500), (500, 0)):
        alert = BurnAlert(rule, 0.999)
        counts = {rule.short_s: (1000, 1000 - short_bad), rule.long_s: (1000, 1000 - long_bad)}
        assert alert.step(counts.__getitem__, 10.0) is None


@pytest.mark.parametrize(("window_s", "longest_s"), [(DEFAULT_WINDOW_S, 3 * DAY_S), (7 * DAY_S, 0.7 * DAY_S)])
def test_windows_scale_with_that_of_the_objective(window_s, longest_s):
    """What is a tenth of the budget of a month is a tenth of that of a week, in a shorter time."""
    rules = burn_rules(window_s)
    assert rules[-1].long_s == pytest.approx(longest_s)
    assert [rule.factor for rule in rules] == [14.4, 6.0, 3.0, 1.0]


def test_windows_of_a_short_objective_hold_several_cells():
    """A demonstration over an hour has windows of half a minute and more, and so has one over ten seconds."""
    assert {rule.short_s for rule in burn_rules(3600.0)} == {30.0}
    assert {rule.long_s for rule in burn_rules(3600.0)} == {60.0, 120.0, 360.0}
    assert {(rule.long_s, rule.short_s) for rule in burn_rules(WINDOW_S_MIN)} == {(60.0, 30.0)}


@given(st.floats(WINDOW_S_MIN, WINDOW_S_MAX))
def test_windows_are_whole_seconds_and_their_names_differ(window_s):
    """Two that round to one name would be two series of the same labels."""
    rules = burn_rules(window_s)
    windows_s = {length_s for rule in rules for length_s in (rule.long_s, rule.short_s)}
    assert all(length_s == int(length_s) for length_s in windows_s)
    assert len({prometheus_duration(length_s) for length_s in windows_s}) == len(windows_s)
    assert all(rule.long_s >= rule.short_s for rule in rules)


def test_a_full_outage_of_an_objective_over_ninety_days_pages_within_a_minute():
    """The windows of the fastest page do not grow beyond those of thirty days."""
    story = Story(window_s=90 * DAY_S)
    story.run(2 * HOUR_S, step_s=10.0)
    story.run(60, bad_share=1.0)
    assert len(story.fired("page-fast")) == 1
    assert burn_rules(90 * DAY_S)[1].long_s == 18 * HOUR_S


@pytest.mark.parametrize(
    ("objective", "window_s", "bad", "hours"),
    [(0.999, DEFAULT_WINDOW_S, 0.0144, 8), (0.99, HOUR_S, 0.144, 2), (0.99, 600.0, 0.144, 2)],
)
def test_a_rate_at_the_threshold_is_one_alert(objective, window_s, bad, hours):
    """Ten requests a second, each bad by chance, at exactly the rate that pages: said once or twice, not each minute."""
    chance = Random(1)
    story = Story(objective, window_s)
    for _ in range(hours * 360):
        story.run(10, per_s=10.0, bad_share=sum(chance.random() < bad for _ in range(100)) / 100, step_s=10.0)
    assert 1 <= len(story.fired("page-fast")) <= 2


def test_a_restart_in_mid_outage_goes_on_with_what_was_kept():
    """The page that fires is not raised again, and its budget is the one before the restart."""
    story = Story()
    story.run(HOUR_S)
    story.run(90, bad_share=1.0)
    story.monitor.finish(story.now_s)
    rows = sorted(story.monitor.unsaved(), key=lambda row: row.starts_at_s)
    again = Monitor("r", 0.0)
    again.load(rows, story.now_s + 5)
    after = Story(monitor=again, now_s=story.now_s + 5)
    assert again.total_good(after.now_s, 30 * DAY_S) == story.monitor.total_good(story.now_s, 30 * DAY_S)
    fired = story.alerts["page-fast"]
    after.alerts["page-fast"] = BurnAlert(fired.rule, 0.999, fired.state, fired.since_s)
    after.run(120, bad_share=1.0)
    assert after.fired("page-fast") == []
    assert after.alerts["page-fast"].state is AlertState.FIRING


def test_a_firing_alert_must_stay_clear_for_all_of_its_short_window():
    """A condition that comes back within it begins the wait anew."""
    rule = burn_rules(DEFAULT_WINDOW_S)[0]
    alert = BurnAlert(rule, 0.999, AlertState.FIRING, 0.0)
    for at_s, bad in ((10.0, 0), (200.0, 1000), (210.0, 0), (10.0 + rule.resolve_s, 0)):
        assert alert.step(lambda _, bad=bad: (1000, 1000 - bad), at_s) is None
    assert alert.step(lambda _: (1000, 1000), 210.0 + rule.resolve_s) is AlertState.RESOLVED

"""The default policy: up at once, down with patience, and every answer with its reason."""

from __future__ import annotations

from math import inf

import pytest

from sojourn.domain.demand import DemandReport, ServiceTimes
from sojourn.estimate.demand import DemandHistory
from sojourn.policy.scaling.port import ScalingView
from sojourn.policy.scaling.slo import SLOScalingPolicy

EVERY_S = 0.25
MEAN_S = (0.0, *(0.010 + 0.005 * size for size in range(1, 9)))  # a replica does 8 in 50 ms: 160/s
SERVICE = ServiceTimes(1, MEAN_S, MEAN_S, 8, 1000)
SLOW = ServiceTimes(1, (0.0, 0.3), (0.0, 0.3), 1, 1000)
ONE_PER_S = 0.95 * 160  # what the policy trusts a single replica with


class Traffic:
    """Reports to a policy that is obeyed at once; `present` may be changed by hand."""

    def __init__(self, *, present=1, latency_s=0.2, service=SERVICE, max_replicas=100, cold_start_s=1.0, obeys=True):
        self.policy = SLOScalingPolicy()
        self.history = DemandHistory()
        self.now_s, self.arrivals = 0.0, 0.0
        self.present, self.starting, self.obeys = present, 0, obeys
        self.ages_s = ()
        self.latency_s, self.service = latency_s, service
        self.max_replicas, self.cold_start_s = max_replicas, cold_start_s

    def pass_by(self, seconds, per_s, **gauges):
        """Even arrivals for a while; the answers."""
        wants = []
        for _ in range(round(seconds / EVERY_S)):
            self.now_s += EVERY_S
            self.arrivals += per_s * EVERY_S
            report = DemandReport(function="f", arrivals=round(self.arrivals), **gauges)
            self.history.add(report, self.now_s)
            wants.append(self.ask(report))
        return wants

    def ask(self, report, after_s=0.0):
        want = self.policy.decide(
            ScalingView(
                now_s=self.now_s + after_s,
                history=self.history,
                report=report,
                service=self.service,
                latency_s=self.latency_s,
                timeout_s=2.0,
                ready=self.present,
                starting=self.starting,
                starting_ages_s=self.ages_s,
                cold_start_s=self.cold_start_s,
                min_replicas=0,
                max_replicas=self.max_replicas,
            )
        )
        if self.obeys:
            self.present, self.starting = want.replicas, 0
        return want


def counts(wants):
    return [want.replicas for want in wants]


def test_steady_traffic_needs_what_the_capacity_rule_says():
    """400/s where one replica is trusted with 152/s, two with 309, three with 466: 2.6 replicas, three."""
    want = Traffic(present=3).pass_by(20, 400)[-1]
    assert want.replicas == 3
    assert want.why == "envelope 400/s over 10 s needs 2.6 replicas at b=8"
    assert want.terms["needed"] == pytest.approx(2 + (400 - 308.8) / (465.6 - 308.8), abs=0.02)
    assert want.terms["batch"] == 8


def test_a_step_is_answered_by_the_first_reports_that_show_it():
    """From 50 to 700/s: the half-second window asks for four within half a second, all of five within two."""
    traffic = Traffic()
    assert counts(traffic.pass_by(30, 50))[-1] == 1
    rise = counts(traffic.pass_by(3, 700))
    assert rise[1] >= 4
    assert rise[7] == 5
    assert rise == sorted(rise)


def test_fewer_only_after_a_minute_and_then_to_what_was_wanted_in_it():
    """A lull of 50 s changes nothing; after 60 s the five go to the one that is needed."""
    traffic = Traffic()
    traffic.pass_by(20, 700)
    assert set(counts(traffic.pass_by(55, 100))) == {5}
    assert "were wanted within the last minute" in traffic.pass_by(EVERY_S, 100)[-1].why
    down = traffic.pass_by(20, 100)
    assert counts(down)[-1] == 1
    assert any(want.why.endswith("and no more for a minute") for want in down)


def test_with_slow_starts_the_wait_is_ten_of_them():
    """A start of 20 s is not thrown away before 200 s."""
    traffic = Traffic(cold_start_s=20.0)
    traffic.pass_by(40, 700)
    assert min(counts(traffic.pass_by(190, 100))) >= 5
    assert counts(traffic.pass_by(60, 100))[-1] == 1


def test_a_rise_within_the_minute_begins_it_anew():
    """A moment at the old height every 40 s keeps what is there."""
    traffic = Traffic()
    traffic.pass_by(20, 700)
    for _ in range(4):
        assert min(counts(traffic.pass_by(40, 100))) == 5
        traffic.pass_by(5, 700)


def test_never_to_more_than_four_fifths_of_what_is_left():
    """140/s would fit one replica (152/s), but at more than 0.8 of it: two stay for ever; 115/s fits."""
    traffic = Traffic(present=2)
    stays = traffic.pass_by(200, 140)
    assert set(counts(stays)) == {2}
    assert stays[-1].why == "140/s would be more than 0.8 of the 152/s of one less"
    assert counts(traffic.pass_by(90, 115))[-1] == 1


def test_never_in_a_panic():
    """Two replicas are three times overrun and the ceiling is one: what is there is kept, and why is told."""
    traffic = Traffic(present=2, max_replicas=1, obeys=False)
    kept = traffic.pass_by(100, 1000)
    assert set(counts(kept)) <= {1, 2}
    assert counts(kept)[-1] == 2
    assert kept[-1].why.startswith("panic: 1000/s over 2 s")


def test_a_backlog_that_a_start_can_still_save_is_drained_within_the_objective():
    """200 wait, S = 5 s, a batch takes 50 ms: 200 / 160 / 4.95 = 0.25 of a replica besides the traffic."""
    traffic = Traffic(latency_s=5.0)
    calm = traffic.pass_by(20, 100)[-1]
    assert calm.replicas == 1
    want = traffic.pass_by(EVERY_S, 100, waiting=1600)[-1]
    assert want.terms["needed"] == pytest.approx(100 / 160 + 1600 / 160 / 4.95, rel=0.01)
    assert (want.replicas, want.why) == (3, "1600 waiting need 2.7 replicas at b=8")


def test_a_backlog_that_no_start_can_save_starts_nothing():
    """A start of 1 s comes too late for requests due in 0.2 s; late ones are no reason at all."""
    assert Traffic(latency_s=0.2).pass_by(20, 100, waiting=500)[-1].replicas == 1
    assert Traffic(latency_s=5.0).pass_by(20, 100, late=500)[-1].replicas == 1


def test_from_zero_the_number_comes_from_the_queue():
    """All who wait, late or not, wait for a start: 240 / 160 / 0.15 is ten replicas, not one."""
    traffic = Traffic(present=0)
    want = traffic.pass_by(EVERY_S, 0, waiting=140, late=100)[-1]
    assert (want.replicas, want.why) == (10, "240 waiting need 10 replicas at b=8")


def test_what_is_starting_is_not_started_again():
    """With ten on their way the answer to the same queue stays ten."""
    traffic = Traffic(present=0, obeys=False)
    traffic.starting = 10
    assert traffic.pass_by(1, 0, waiting=240)[-1].replicas == 10


@pytest.mark.parametrize(("age_s", "replicas"), [(0.5, 21), (3.2, 1), (4.9, 1)])
def test_a_start_that_would_come_after_the_backlog_is_gone_is_skipped(age_s, replicas):
    """500 wait, starts take 5 s: the one under way does them in 3.2 s. If it is ready that long before another, it is enough."""
    traffic = Traffic(present=0, cold_start_s=5.0, obeys=False)
    traffic.starting, traffic.ages_s = 1, (age_s,)
    assert traffic.pass_by(0.25, 0, waiting=500)[-1].replicas == replicas


def test_from_zero_a_lone_request_starts_one():
    """The least there is."""
    assert Traffic(present=0).pass_by(EVERY_S, 4, waiting=1)[-1].replicas == 1


def test_no_data_is_not_zero():
    """Reports stop for ten minutes: what is there stays, whatever the counters say."""
    traffic = Traffic()
    traffic.pass_by(20, 700)
    report = DemandReport(function="f", arrivals=round(traffic.arrivals))
    for after_s in (2.5, 70.0, 600.0):
        want = traffic.ask(report, after_s)
        assert (want.replicas, want.why) == (5, "no fresh data: what is there is kept")


def test_without_any_report_what_is_there_is_kept():
    """Three stay three; of none one is made, for somebody asks."""
    for present, wanted in ((3, 3), (0, 1)):
        want = Traffic(present=present).ask(DemandReport(function="f"))
        assert (want.replicas, want.why) == (wanted, "no fresh data: what is there is kept")


def test_after_a_gap_in_the_reports_the_minute_begins_anew():
    """What happened meanwhile is not known: the first fresh report lets nothing go."""
    traffic = Traffic()
    traffic.pass_by(20, 700)
    traffic.ask(DemandReport(function="f"), 69.0)
    traffic.now_s += 70.0
    assert set(counts(traffic.pass_by(50, 50))) == {5}
    assert counts(traffic.pass_by(30, 50))[-1] == 1


def test_the_first_look_lets_nothing_go():
    """Three are there and nothing comes: they stay for the first minute."""
    traffic = Traffic(present=3)
    assert set(counts(traffic.pass_by(59, 1))) == {3}
    assert counts(traffic.pass_by(10, 1))[-1] == 1


def test_while_service_times_are_unknown_what_is_there_shows_them():
    """No guess is made from the rate alone; once known they are remembered."""
    traffic = Traffic(service=None)
    assert set(counts(traffic.pass_by(10, 700))) == {1}
    traffic.service = SERVICE
    assert counts(traffic.pass_by(2, 700))[-1] == 5
    traffic.service = None
    assert counts(traffic.pass_by(2, 700))[-1] == 5


def test_without_an_objective_replicas_are_used_to_85_percent():
    """Full batches, 136/s each: 400/s are 2.95."""
    want = Traffic(latency_s=inf).pass_by(20, 400)[-1]
    assert want.terms["needed"] == pytest.approx(400 / 136, rel=0.01)
    assert want.replicas >= 3


def test_without_an_objective_a_backlog_from_zero_is_drained_in_about_a_second():
    """240 / 160 / 0.95."""
    want = Traffic(present=0, latency_s=inf).pass_by(EVERY_S, 0, waiting=240)[-1]
    assert want.replicas == 2


@pytest.mark.parametrize("gauges", [{}, {"waiting": 100_000}])
def test_the_ceiling_holds_for_traffic_and_queue(gauges):
    """Three are allowed, however much comes."""
    assert set(counts(Traffic(max_replicas=3, present=0).pass_by(20, 5000, **gauges))) <= {0, 1, 2, 3}
    assert Traffic(max_replicas=3).pass_by(20, 5000, **gauges)[-1].replicas == 3


def test_a_replica_that_dies_is_missed_not_saved():
    """Five were wanted within the minute and one is gone: five are wanted still."""
    traffic = Traffic()
    traffic.pass_by(20, 700)
    traffic.pass_by(5, 100)
    traffic.present = 4
    assert counts(traffic.pass_by(EVERY_S, 100)) == [5]


def test_after_a_pause_at_zero_old_wishes_do_not_count():
    """Five before, nothing since keep-alive took the last: a lone request starts one."""
    traffic = Traffic()
    traffic.pass_by(20, 700)
    traffic.pass_by(15, 0)
    traffic.present = 0
    assert counts(traffic.pass_by(EVERY_S, 4, waiting=1)) == [1]


def test_the_same_reports_give_the_same_answers():
    """Two policies of their own, answer by answer."""

    def answers():
        traffic = Traffic()
        return [want for per_s in (50, 700, 20, 0, 300) for want in traffic.pass_by(30, per_s)]

    assert answers() == answers()


def test_a_first_look_at_nothing_is_told_without_its_length():
    """A history of no length says nothing of how long nothing came; one of ten seconds does."""
    traffic = Traffic()
    traffic.history.add(DemandReport(function="f"), 0.0)
    assert traffic.ask(DemandReport(function="f")).why == "nothing came, one replica is enough"
    assert traffic.pass_by(10, 0)[-1].why.startswith("nothing came in ")


def test_one_that_waits_is_told_as_one():
    """In the singular."""
    want = Traffic(present=0, service=SLOW, latency_s=0.2).pass_by(EVERY_S, 0, waiting=1)[-1]
    assert want.why.startswith("1 waiting needs ")

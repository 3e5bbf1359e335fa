"""Sums of a run: exact quantiles, lateness, attainment, validity."""

import math

import msgspec
import pytest

from sojourn.domain.objective import parse_slo
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.record import RequestLog, Trouble
from sojourn.loadgen.result import share_late, summarize
from sojourn.loadgen.target import Target


def run_of(rows):
    """A run whose log holds (intended, sent, answered, status) rows, times in seconds."""
    run = LoadRun(Target("127.0.0.1", 1, "/"), [], [b""])
    for intended_s, sent_s, ended_s, status in rows:
        index = run.log.begin(intended_s)
        run.log.send(index, sent_s)
        if status:
            run.log.answer(index, ended_s, status, b"")
        else:
            run.log.give_up(index, ended_s, Trouble.TIMEOUT, "silence")
    return run


def test_latency_counts_from_the_intended_instant():
    """A request due at 1.0, sent at 1.5 and answered at 2.0 took a second, and was half a second late."""
    log = run_of([(1.0, 1.5, 2.0, 200)]).log
    assert log.latency_s[0] == 1.0
    assert log.lateness_s[0] == 0.5


def test_attainment_counts_all_sent_and_goodput_only_good_ones():
    """Served in time, served late, shed and lost: one of four is good; quantiles cover the two served."""
    run = run_of([(0, 0, 0.05, 200), (0, 0, 0.3, 200), (0, 0, 0.01, 429), (0, 0, 10, None)])
    result = summarize(run, duration_s=2, slo=parse_slo("50% < 100ms"))
    assert result.within_slo == 0.25
    assert result.goodput_per_s == 0.5
    assert result.objective_met is False
    assert (result.latency_s.p50, result.latency_s.max) == (0.05, 0.3)
    assert result.outcomes == {"served": 2, "failed": 1, "shed": 1, "expired": 0, "cancelled": 0}
    assert result.failures.timeouts == 1
    assert summarize(run, duration_s=2).within_slo is None


def test_the_json_keys_are_the_shared_ones():
    """What scripts read: the names of the design, null where nothing is known."""
    result = msgspec.to_builtins(summarize(run_of([]), duration_s=2))
    assert {"sent", "outcomes", "within_slo", "goodput_per_s", "latency_s", "rate_per_s", "duration_s"} <= set(result)
    assert set(result["latency_s"]) == {"p50", "p90", "p99", "p999", "max"}
    assert set(result["lateness_s"]) == {"p50", "p99", "max"}
    assert (result["void"], result["void_reason"]) == (False, "")


@pytest.mark.parametrize(
    ("late", "slow", "slo", "verdict"),
    [
        (1, 0, None, "counts"),
        (2, 0, None, "void"),
        (5, 0, "99% < 100ms", "met"),  # lateness counts against the server, and still it was met
        (6, 0, "99% < 100ms", "void"),  # but this is no longer the load that was asked for
        (2, 2, "97% < 12ms", "void"),  # 4 % took 14 ms, half of them because they left late
        (2, 9, "99% < 12ms", "missed"),  # missed whatever the generator did
        (9, 9, "99% < 12ms", "void"),
    ],
)
def test_late_sends_make_a_run_void_where_they_may_have_decided_it(late, slow, slo, verdict):
    """Of a hundred sends one may be more than 5 ms late; more may be where the verdict is the same without them."""
    rows = [(1, 1 + (0.006 if number < late else 0.0), 1.01, 200) for number in range(100 - slow)]
    rows = [(1, sent_s, sent_s + 0.008, 200) for _, sent_s, _, _ in rows] + [(1, 1, 1.014, 200)] * slow
    result = summarize(run_of(rows), duration_s=1, slo=parse_slo(slo) if slo else None)
    assert result.late_share == late / 100
    assert result.void is (verdict == "void")
    assert result.objective_met is {"met": True, "missed": False}.get(verdict)
    assert ("5 ms late" in result.void_reason) is result.void


def test_how_much_lateness_is_borne_can_be_said():
    """On a machine known to be busy a larger share may be late; a single late send never matters."""
    rows = [(1, 1.006 if number < 4 else 1, 1.01, 200) for number in range(40)]
    assert summarize(run_of(rows), duration_s=1).void
    assert not summarize(run_of(rows), duration_s=1, late_share_max=0.1).void
    assert not summarize(run_of(rows[3:]), duration_s=1).void


def test_an_empty_log_is_not_late():
    """No division by zero."""
    assert share_late(RequestLog()) == 0


@pytest.mark.parametrize(
    ("timing", "batch", "queue_s", "service_s"),
    [
        (b'queue;dur=1.5, service;dur=2e1, batch;desc="16"', 16, 0.0015, 0.02),
        (b"batch;desc=4,queue;dur=0", 4, 0, None),
        (b'queue;dur=., prequeue;dur=7, batch;desc="x"', 0, None, None),
        (b'batch;desc="99999999"', 65_535, None, None),
    ],
)
def test_server_timing_is_read_leniently(timing, batch, queue_s, service_s):
    """Whatever a server sends there, the run goes on; what cannot be read stays unknown."""
    log = RequestLog()
    log.answer(log.begin(0), 1, 200, timing)
    assert log.batch_size[0] == batch
    for value, expected in ((log.queue_wait_s[0], queue_s), (log.service_time_s[0], service_s)):
        assert math.isnan(value) if expected is None else value == pytest.approx(expected)

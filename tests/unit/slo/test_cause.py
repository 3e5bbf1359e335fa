"""Each bad request has one cause, and it is the one that decided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.action import Finish
from sojourn.domain.request import BLAME_OF_FAULT, OUTCOME_OF_FAULT, Blame, Fault, Outcome
from sojourn.slo.cause import CAUSE_OF_FAULT, CAUSES, WORDS_OF_CAUSE, Cause, RunTimes, cause_of_finish

PARTS_S = st.floats(0, 10)


def late(cold_s=0.0, queue_s=0.0, retry_s=0.0, run_s=0.0, losses=0, loss_s=0.0, **times):
    """A request served after these delays, promised within a second; of the cold wait `loss_s` followed a loss."""
    waited_s = cold_s + queue_s + retry_s
    finish = Finish(
        1, Outcome.SERVED, None, 0, waited_s, waited_s + run_s, cold_s, retry_s, losses=losses, loss_wait_s=loss_s
    )
    return finish, RunTimes(**{"latency_s": waited_s + run_s, "objective_s": 1.0, "model_s": run_s, **times})


@pytest.mark.parametrize(
    ("story", "cause"),
    [
        (late(cold_s=0.8, queue_s=0.3, run_s=0.05, expected_s=0.05), Cause.COLD_START),
        (late(cold_s=0.3, queue_s=0.8, run_s=0.05, expected_s=0.05), Cause.QUEUEING),
        (late(queue_s=0.15, run_s=0.9, expected_s=0.05), Cause.SERVICE_TIME),
        (late(queue_s=0.15, run_s=0.9, expected_s=0.88), Cause.QUEUEING),
        (late(retry_s=1.5, queue_s=0.1, losses=1), Cause.REPLICA_LOSS),
        (late(retry_s=1.5, queue_s=0.1), Cause.FUNCTION_ERROR),
        (late(cold_s=1.5, retry_s=0.01, losses=1, loss_s=1.5), Cause.REPLICA_LOSS),
        (late(cold_s=1.5, loss_s=1.5), Cause.REPLICA_LOSS),
        (late(cold_s=2.0, loss_s=0.5), Cause.COLD_START),
        (late(queue_s=9.0, run_s=1.2, expected_s=1.2), Cause.SERVICE_TIME),  # late without any wait
        (late(queue_s=9.0, run_s=1.2, expected_s=0.1), Cause.SERVICE_TIME),
        (late(queue_s=9.0, expected_s=1.2, model_s=None), Cause.SERVICE_TIME),  # it never ran: it would have been
        (late(queue_s=9.0, run_s=0.9, expected_s=1.2), Cause.QUEUEING),  # its run was quicker than believed
        (late(run_s=1.2, model_s=0.01), Cause.OVERHEAD),
        (late(run_s=2.2, model_s=1.05), Cause.SERVICE_TIME),  # the model alone is past the objective
        (late(run_s=1.2, model_s=0.7), Cause.SERVICE_TIME),  # most of it is the model's
        (late(queue_s=0.3, run_s=0.8, expected_s=0.1, model_s=0.05), Cause.OVERHEAD),
        (late(run_s=1.2, model_s=None), Cause.SERVICE_TIME),
    ],
)
def test_the_delay_that_decided_is_the_cause(story, cause):
    """Of a run only what went beyond the expected is a delay, unless the run alone takes longer than was promised."""
    assert cause_of_finish(*story) is cause


@given(PARTS_S, PARTS_S, PARTS_S, PARTS_S, PARTS_S, st.floats(0, 1), st.integers(0, 2), st.floats(0, 1))
def test_without_its_cause_a_request_would_have_been_good_wherever_one_cause_decides(
    cold_s, queue_s, retry_s, run_s, expected_s, model_share, losses, loss_share
):
    """If taking one delay away meets the objective, then taking away the one that is named does."""
    latency_s = cold_s + queue_s + retry_s + run_s
    objective_s = latency_s * 0.7
    model_s = run_s * model_share
    finish, times = late(
        cold_s, queue_s, retry_s, run_s, losses, cold_s * loss_share,
        expected_s=expected_s, objective_s=objective_s, model_s=model_s,
    )  # fmt: skip
    cause = cause_of_finish(finish, times)
    delay_s = dict.fromkeys(Cause, 0.0)
    delay_s[Cause.COLD_START] = cold_s - cold_s * loss_share
    delay_s[Cause.QUEUEING] = queue_s
    delay_s[Cause.REPLICA_LOSS] = cold_s * loss_share + (retry_s if losses else 0.0)
    delay_s[Cause.FUNCTION_ERROR] = 0.0 if losses else retry_s
    of_run = cause if cause in {Cause.SERVICE_TIME, Cause.OVERHEAD} else Cause.SERVICE_TIME
    delay_s[of_run] = max(run_s - expected_s, 0.0)
    decisive = [one for one, each_s in delay_s.items() if each_s > 0 and latency_s - each_s <= objective_s * (1 - 1e-9)]
    if decisive and run_s <= objective_s:
        assert latency_s - delay_s[cause] <= objective_s * (1 + 1e-9)
    if run_s > objective_s:
        assert cause in {Cause.SERVICE_TIME, Cause.OVERHEAD}
    if cause is Cause.OVERHEAD:
        assert model_s <= objective_s


def test_failures_and_refusals_have_their_cause_by_their_fault_whatever_they_waited():
    """Time decides only over those that were late, given up or left."""
    for fault, cause in CAUSE_OF_FAULT.items():
        finish = Finish(1, OUTCOME_OF_FAULT[fault], fault, -1, 5.0, 5.0, 5.0)
        assert cause_of_finish(finish, RunTimes(5.0, 1.0)) is cause
    for fault in (Fault.TIMEOUT, Fault.CLIENT_GONE):
        assert cause_of_finish(Finish(1, OUTCOME_OF_FAULT[fault], fault, -1, 5.0, 5.0, 5.0), RunTimes(5.0, 1.0)) is (
            Cause.COLD_START
        )


def test_causes_keep_their_places():
    """Packed counts name them by place: a new one comes last."""
    assert [cause.value for cause in CAUSES] == [
        "cold_start", "queueing", "service_time", "refused", "unavailable", "function_error", "replica_loss", "overhead",
    ]  # fmt: skip


def test_every_fault_that_counts_has_a_cause_or_is_a_matter_of_time():
    """No outcome falls through the table, and no client's fault is in it."""
    timed = {Fault.TIMEOUT, Fault.CLIENT_GONE}
    for fault in Fault:
        assert (fault in CAUSE_OF_FAULT) == (BLAME_OF_FAULT[fault] is not Blame.CLIENT and fault not in timed)


def test_every_cause_has_words():
    """`slo show` can say each of them."""
    assert set(WORDS_OF_CAUSE) == set(Cause)

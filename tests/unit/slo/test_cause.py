"""Each bad request has one cause, and it is the one that decided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.request import BLAME_OF_FAULT, Blame, Fault
from sojourn.slo.cause import CAUSE_OF_FAULT, WORDS_OF_CAUSE, Cause, Delays, cause_of_delay

PARTS_S = st.floats(0, 10)


@pytest.mark.parametrize(
    ("delays", "cause"),
    [
        (Delays(cold_wait_s=0.8, queue_s=0.1, service_s=0.05, expected_s=0.05), Cause.COLD_START),
        (Delays(cold_wait_s=0.1, queue_s=0.8, service_s=0.05, expected_s=0.05), Cause.QUEUEING),
        (Delays(queue_s=0.05, service_s=0.9, expected_s=0.05), Cause.SERVICE_TIME),
        (Delays(queue_s=0.05, service_s=0.9, expected_s=0.88), Cause.QUEUEING),
        (Delays(retry_s=0.5, queue_s=0.1, losses=1), Cause.REPLICA_LOSS),
        (Delays(retry_s=0.5, queue_s=0.1), Cause.FUNCTION_ERROR),
        (Delays(service_s=0.2, expected_s=0.2), Cause.SERVICE_TIME),
        (Delays(service_s=0.1, expected_s=0.2), Cause.SERVICE_TIME),
    ],
)
def test_the_largest_delay_is_the_cause(delays, cause):
    """Of the model call only what went beyond the expected counts; without any delay the function itself is too slow."""
    assert cause_of_delay(delays) is cause


@given(PARTS_S, PARTS_S, PARTS_S, PARTS_S, PARTS_S, st.integers(0, 2))
def test_without_its_cause_a_request_would_have_been_good_wherever_one_cause_decides(
    cold_s, queue_s, retry_s, service_s, expected_s, losses
):
    """If taking one delay away meets the objective, then taking away the one that is named does."""
    delays = Delays(cold_s, queue_s, retry_s, service_s, expected_s, losses)
    retried = Cause.REPLICA_LOSS if losses else Cause.FUNCTION_ERROR
    excess = {
        Cause.COLD_START: cold_s,
        Cause.QUEUEING: queue_s,
        retried: retry_s,
        Cause.SERVICE_TIME: max(service_s - expected_s, 0.0),
    }
    latency_s = cold_s + queue_s + retry_s + service_s
    objective_s = latency_s * 0.7
    decisive = [cause for cause, delay_s in excess.items() if latency_s - delay_s <= objective_s and delay_s > 0]
    if decisive:
        assert cause_of_delay(delays) in decisive


def test_every_fault_that_counts_has_a_cause_or_is_a_matter_of_time():
    """No outcome falls through the table, and no client's fault is in it."""
    timed = {Fault.TIMEOUT, Fault.CLIENT_GONE}
    for fault in Fault:
        assert (fault in CAUSE_OF_FAULT) == (BLAME_OF_FAULT[fault] is not Blame.CLIENT and fault not in timed)


def test_every_cause_has_words():
    """`slo show` can say each of them."""
    assert set(WORDS_OF_CAUSE) == set(Cause)

"""When a call is tried again: the arithmetic of waits, deadlines and the budget, on a scripted clock."""

import threading
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.client.retry import Again, Attempts, GiveUp, RetryBudget, RetryPolicy
from sojourn.errors import (
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    ExpiredError,
    FunctionRaisedError,
    ItemFailedError,
    OverloadedError,
    ReplicaLostError,
    ServerError,
    UnavailableError,
    UnusableAnswerError,
)


class Scripted:
    """Chance that says what it is told to."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


def attempts(policy=None, *, chance=0.5, within_s=60.0, is_reading=False, budget=None) -> Attempts:
    policy = policy or RetryPolicy()
    budget = budget or RetryBudget(policy.budget_share, policy.budget_burst)
    return Attempts(policy, budget, Scripted(chance), deadline_at_s=within_s, is_reading=is_reading)


def waits_of(tried: Attempts, error, now_s: float = 0.0) -> list[float]:
    """All waits until it gives up, without time passing."""
    waits = []
    while True:
        tried.began()
        decision = tried.after(error, now_s)
        if isinstance(decision, GiveUp):
            return waits
        waits.append(decision.wait_s)


def test_waits_double_up_to_their_ceiling():
    """The n-th wait is drawn from [0, backoff_s x 2^(n-1)], and never from more than backoff_s_max."""
    policy = RetryPolicy(attempts_max=7, backoff_s=0.1, backoff_s_max=1.0)
    assert waits_of(attempts(policy, chance=0.5), OverloadedError("full")) == pytest.approx(
        [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]
    )
    assert waits_of(attempts(policy, chance=0.0), OverloadedError("full")) == [0.0] * 6


def test_retry_after_is_waited_for_and_jitter_comes_on_top():
    """Clients that were all told "in 2 s" do not come back at the same instant, and none comes earlier."""
    tried = attempts(chance=0.5)
    tried.began()
    assert tried.after(OverloadedError("full", retry_after_s=2.0), 0.0) == Again(2.05)


def test_nobody_waits_for_an_attempt_that_would_begin_after_the_deadline():
    """The refusal is told at once, with the reason that no retry fits, and the budget is not touched."""
    budget = RetryBudget(0.1, 10)
    tried = attempts(within_s=10.0, budget=budget)
    tried.began()
    decision = tried.after(OverloadedError("full", retry_after_s=2.0), 8.0)
    assert isinstance(decision, GiveUp)
    assert "after its time" in decision.why
    assert budget.left == 10
    assert isinstance(tried.after(OverloadedError("full", retry_after_s=2.0), 7.9), Again)


@pytest.mark.parametrize(
    "error",
    [
        ReplicaLostError("502"),
        ExpiredError("504"),
        FunctionRaisedError("500"),
        ItemFailedError("503 of the function's own", status=503, retry_after_s=1.0),
        UnusableAnswerError("a proxy's 503", status=503),
        ServerError("500"),
        ConnectionLostError("it may have run"),
    ],
)
def test_what_may_have_run_or_would_fail_again_is_sent_once(error):
    """502 and 504, failures of the function and connections lost after sending are not tried again."""
    assert waits_of(attempts(), error) == []
    assert error.attempts == 1


def test_a_request_that_only_reads_is_sent_again_after_its_connection_broke():
    """It changes nothing, so it may run twice."""
    assert len(waits_of(attempts(is_reading=True), ConnectionLostError("broke"))) == 4


@pytest.mark.parametrize("error", [OverloadedError("429"), UnavailableError("503"), ConnectionFailedError("refused")])
def test_what_did_not_run_is_tried_attempts_max_times(error):
    """Refusals and connections that could not be made."""
    assert len(waits_of(attempts(RetryPolicy(attempts_max=3)), error)) == 2
    assert error.attempts == 3
    assert waits_of(attempts(RetryPolicy(attempts_max=1)), error) == []


def test_an_empty_budget_ends_retries_and_calls_fill_it_again():
    """With a burst of 2 and a share of a quarter, four more calls earn one retry."""
    budget = RetryBudget(0.25, 2)
    policy = RetryPolicy(attempts_max=20)
    assert len(waits_of(attempts(policy, budget=budget), OverloadedError("full"))) == 2
    for _ in range(3):
        assert waits_of(attempts(policy, budget=budget), OverloadedError("full")) == []
    assert len(waits_of(attempts(policy, budget=budget), OverloadedError("full"))) == 1


@given(
    share=st.floats(0, 1),
    burst=st.floats(0, 50),
    calls=st.lists(st.integers(0, 30), max_size=200),
)
def test_retries_never_pass_the_budget_whatever_happens(share, burst, calls):
    """At any time: retries <= burst + share x calls, for any number of failures of each call."""
    budget = RetryBudget(share, burst)
    retries = 0
    for began, failures in enumerate(calls, start=1):
        budget.call_began()
        for _ in range(failures):
            retries += budget.take()
        assert retries <= burst + share * began + 1e-6


def test_threads_share_one_budget():
    """Eight threads that take at once get as many retries as there are, not one more."""
    budget = RetryBudget(0.0, 1000)
    taken = []

    def take() -> None:
        taken.append(sum(budget.take() for _ in range(500)))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 1000


@given(retry_after_s=st.none() | st.floats(0, 100), now_s=st.floats(0, 100), seed=st.integers())
def test_every_retry_begins_within_its_call(retry_after_s, now_s, seed):
    """Whatever the server asks for and chance says, now + wait is before the deadline."""
    tried = Attempts(RetryPolicy(), RetryBudget(1, 10), Random(seed), deadline_at_s=60.0, is_reading=False)
    tried.began()
    decision = tried.after(OverloadedError("full", retry_after_s=retry_after_s), now_s)
    if isinstance(decision, Again):
        assert now_s + decision.wait_s < 60.0
        assert decision.wait_s >= (retry_after_s or 0)


def test_all_numbers_out_of_range_are_told_at_once():
    """One message names each of them with its range."""
    with pytest.raises(ConfigurationError) as raised:
        RetryPolicy(attempts_max=0, backoff_s=-1, backoff_s_max=1e9, budget_share=2, budget_burst=-1)
    assert all(
        name in str(raised.value)
        for name in ("attempts_max", "backoff_s must", "backoff_s_max", "budget_share", "budget_burst")
    )

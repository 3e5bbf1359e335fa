"""The verdict on a canary: what is condemned, how soon, and what is not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.rollout import ArmCounts, Question, Verdict
from sojourn.slo.canary import Comparison, counts_of_arm, in_words
from sojourn.slo.cause import PLACE_OF_CAUSE, Cause
from sojourn.slo.tally import Counts


def counts(total, bad=0, errors=0, rejected=0):
    return ArmCounts(total=total, bad=bad, errors=errors, rejected=rejected)


def looks(comparison, stable, candidate, *, begin=1, until=60):
    """Each second as much again as the first; the second in which it is found worse, and the verdict."""
    verdict = comparison.verdict()
    for second in range(begin, until + 1):
        verdict = comparison.look(
            *(counts(*(second * number for number in arm)) for arm in (stable, candidate)), float(second)
        )
        if verdict.is_worse:
            return second, verdict
    return None, verdict


def test_a_candidate_that_fails_every_request_is_caught_with_the_third_at_a_share_of_a_twentieth():
    """One request in twenty is the candidate's: three in a row that fail there only are chance once in 8,000."""
    second, verdict = looks(Comparison(0.99), (19, 0, 0), (1, 1, 1))
    assert second == 3
    assert verdict.question is Question.ERRORS
    assert verdict.candidate == counts(3, 3, 3)
    assert verdict.stable == counts(57)


def test_a_candidate_that_fails_every_request_is_caught_with_the_ninth_at_a_share_of_one_half():
    """Each is chance one time in two."""
    assert looks(Comparison(0.99), (1, 0, 0), (1, 1, 1))[0] == 9


def test_with_much_traffic_two_looks_condemn_and_one_never_does():
    """A single second may be bad luck of many requests at once."""
    assert looks(Comparison(0.99), (950, 0, 0), (50, 50, 50))[0] == 2


def test_a_candidate_that_is_late_with_all_requests_is_caught_within_eleven_blocks():
    """Of two seconds each, whatever the number of requests: neither 5 nor 500 more say it sooner."""
    for scale in (1, 100):
        second, verdict = looks(Comparison(0.99), (19 * scale, 0, 0), (scale, scale, 0))
        assert second == 21  # the first block is closed by the first look
        assert verdict.question is Question.BURN
        assert "100.0 % of" in verdict.evidence


def test_revisions_that_are_equally_bad_are_not_told_apart():
    """A client sends nonsense, a burst makes all late: both revisions see it, neither is condemned."""
    assert looks(Comparison(0.99), (95, 95, 0), (5, 5, 0), until=600)[0] is None
    assert looks(Comparison(0.99), (80, 20, 20), (20, 5, 5), until=600)[0] is None


def test_a_candidate_that_calls_good_inputs_bad_is_caught_though_their_clients_are_blamed():
    """What it rejects spends no budget and leaves nothing to be late: it is an error to be compared all the same."""
    second, verdict = looks(Comparison(0.99), (19, 0, 0, 0), (0, 0, 0, 1))
    assert second == 3
    assert verdict.question is Question.ERRORS
    assert verdict.evidence.startswith("100.0 % of 3 requests had their input rejected against 0.0 % of 57; ")
    assert looks(Comparison(0.99), (190, 0, 0, 0), (9, 0, 0, 1))[0] is not None


def test_a_client_whose_inputs_both_revisions_reject_condemns_neither():
    """Nonsense is shared by chance as all else is: half of the traffic, or all of it."""
    assert looks(Comparison(0.99), (50, 0, 0, 45), (3, 0, 0, 2), until=600)[0] is None
    assert looks(Comparison(0.99), (0, 0, 0, 95), (0, 0, 0, 5), until=600)[0] is None


def test_what_was_rejected_is_no_part_of_lateness():
    """A flood of nonsense makes late requests no smaller a share."""
    plain, flooded = Comparison(0.99), Comparison(0.99)
    assert looks(plain, (190, 0, 0, 0), (10, 10, 0, 0))[0] == looks(flooded, (190, 0, 0, 1900), (10, 10, 0, 100))[0]
    assert flooded.judged[1].total == plain.judged[1].total


def test_what_is_certain_but_small_is_not_condemned():
    """0.02 % of a huge traffic against 0.01 %: beyond doubt, and no reason to take a revision back."""
    second, verdict = looks(Comparison(0.99), (100_000, 10, 10), (100_000, 20, 20), until=300)
    assert second is None
    assert verdict.question is Question.ERRORS
    assert verdict.p_value < 1e-6
    assert not verdict.is_worse


def test_the_margin_is_half_the_budget_and_errors_have_half_a_percent_at_most():
    """So that an objective of 90 % does not hide a candidate that fails every thirtieth request."""
    assert (Comparison(0.999).margin, Comparison(0.999).error_margin) == pytest.approx((0.0005, 0.0005))
    assert (Comparison(0.9).margin, Comparison(0.9).error_margin) == pytest.approx((0.05, 0.005))
    assert Comparison(None).margin == pytest.approx(0.005)


def test_lateness_is_not_compared_while_replicas_are_found_and_errors_are():
    """The first requests after a share is raised wait for replicas to start."""
    patient = Comparison(0.99)
    patient.settle(40.0)
    assert looks(patient, (190, 0, 0), (10, 10, 0), until=40)[0] is None
    assert patient.blocks == 0
    failing = Comparison(0.99)
    failing.settle(40.0)
    assert looks(failing, (190, 0, 0), (10, 10, 10), until=40)[0] == 2


def test_what_came_while_replicas_were_found_is_left_out_afterwards():
    """Forty seconds of late requests leave no trace in what is compared then."""
    comparison = Comparison(0.99)
    comparison.settle(40.5)
    looks(comparison, (190, 0, 0), (10, 10, 0), until=40)
    for second in range(41, 91):
        verdict = comparison.look(counts(190 * second), counts(10 * second, 400), float(second))
        assert not verdict.is_worse
    assert comparison.judged[1] == counts(500)


def test_a_block_waits_for_requests_of_both():
    """One request of the candidate in ten seconds is compared with those ten seconds of the stable revision."""
    comparison = Comparison(0.99)
    for second in range(1, 31):
        comparison.look(counts(20 * second), counts(second // 10, second // 10), float(second))
    assert comparison.blocks == 3
    assert comparison.judged == (counts(600), counts(3, 3))


def test_counters_that_fall_are_taken_to_stand_still():
    """What was counted as overdue may end as a fault of the client: nothing is counted twice."""
    comparison = Comparison(0.99)
    for second, total in enumerate((10, 20, 18, 25), start=1):
        comparison.look(counts(100 * second), counts(total), 2.0 * second)
    assert comparison.judged[1].total == 25


def test_the_evidence_is_told_in_words_and_numbers():
    """Shares, numbers, and a p-value that is rounded up."""
    assert in_words(Question.BURN, counts(8012, 32), counts(420, 13), 0.00031) == (
        "3.1 % of 420 requests late or failed against 0.4 % of 8,012; p < 0.0004"
    )
    assert in_words(Question.ERRORS, counts(90_000, 9, 9), counts(30, 0, 0), 0.4301) == (
        "0.0 % of 30 requests failed in the function against 0.01 % of 90,000; p = 0.44"
    )
    assert in_words(Question.ERRORS, counts(60), counts(30, 3, 3, 6), 0.4301) == (
        "25.0 % of 36 requests failed in the function or had their input rejected against 0.0 % of 60; p = 0.44"
    )
    assert in_words(Question.BURN, counts(1), counts(1), 1.0).endswith("p = 1")
    assert in_words(Question.BURN, counts(1), counts(1), 0.0095).endswith("p < 0.01")
    assert in_words(Question.BURN, counts(1), counts(1), 1e-30).endswith("p < 1e-9")


def test_a_verdict_is_plain_data():
    """It goes through JSON and comes back the same."""
    verdict = looks(Comparison(0.99), (19, 0, 0), (1, 1, 1))[1]
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


def test_before_both_have_requests_there_is_no_verdict():
    """Nor any evidence."""
    comparison = Comparison(0.99)
    assert comparison.verdict() == Verdict()
    assert comparison.look(counts(500, 500, 500), counts(0), 1.0) == Verdict()


def test_cold_starts_are_left_out_of_what_is_compared():
    """A revision that takes over has them; the other had them long ago."""
    by_cause = [0] * len(PLACE_OF_CAUSE)
    by_cause[PLACE_OF_CAUSE[Cause.COLD_START]] = 7
    by_cause[PLACE_OF_CAUSE[Cause.FUNCTION_ERROR]] = 2
    by_cause[PLACE_OF_CAUSE[Cause.QUEUEING]] = 1
    told = Counts(total=100, good=90, client_faults=5, bad_by_cause=tuple(by_cause))
    assert counts_of_arm(told) == counts(93, 3, 2, 5)


def test_counts_that_do_not_contain_one_another_are_refused():
    """More bad requests than requests is a fault of who counts."""
    with pytest.raises(ValueError, match="errors <= bad <= total"):
        counts(3, 4)
    with pytest.raises(ValueError, match="rejected must be >= 0"):
        counts(3, rejected=-1)


def test_a_counter_that_fell_is_taken_to_have_stood_still():
    """What came since is never less than nothing, and its parts fit into it."""
    assert counts(9, 5, 2, 1).since(counts(10, 1, 0, 4)) == counts(0)
    assert counts(12, 5, 4, 6).since(counts(10, 1, 0, 4)) == counts(2, 2, 2, 2)
    assert counts(1, 1).plus(counts(2, 1, 1, 3)) == counts(3, 2, 1, 3)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 9), st.integers(0, 9)), max_size=30),
    st.sampled_from([None, 0.5, 0.9, 0.99, 0.9999]),
)
def test_the_p_value_is_a_chance_and_only_falls_in_each_question(seconds, objective):
    """Whatever is counted: in [0, 1], and what was told once is not taken back while the split lasts."""
    comparison = Comparison(objective)
    stable = candidate = counts(0)
    least = 1.0
    for second, (more_stable, more_candidate, stable_bad, candidate_bad) in enumerate(seconds, start=1):
        stable = counts(stable.total + more_stable, stable.bad + min(stable_bad, more_stable))
        candidate = counts(candidate.total + more_candidate, candidate.bad + min(candidate_bad, more_candidate))
        verdict = comparison.look(stable, candidate, float(second))
        assert 0.0 <= verdict.p_value <= least
        least = verdict.p_value

"""Wealth that grows only where the candidate is worse: by hand, by plain formulas, and by counting out every case."""

from __future__ import annotations

from itertools import product
from math import comb, exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.slo.evidence import Block, BurnEvidence, ErrorEvidence, Wealth, log_odds_gain

ODDS = (2.0, 5.0, 20.0, 100.0)


def gain_of(evidence, block):
    """By how much one block changes the wealth of a fresh one."""
    evidence.add(block)
    return exp(evidence.wealth.log_now)


def binomial(among, count, share):
    return comb(among, count) * share**count * (1 - share) ** (among - count)


def test_one_request_of_twenty_fails_and_it_is_the_candidates():
    """By chance it is one time in twenty: E[odds^X] = (19 + odds) / 20."""
    for odds in ODDS:
        assert exp(log_odds_gain(Block(19, 0, 1, 1), odds)) == pytest.approx(odds * 20 / (19 + odds))
        assert exp(log_odds_gain(Block(19, 1, 1, 0), odds)) == pytest.approx(20 / (19 + odds))


def test_blocks_in_which_all_or_none_fail_say_nothing():
    """Chance had nothing to decide there."""
    for block in (Block(19, 0, 3, 0), Block(19, 19, 3, 3)):
        assert log_odds_gain(block, 20.0) == 0.0
        assert gain_of(ErrorEvidence(), block) == pytest.approx(1.0)


blocks = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
    lambda sizes: st.builds(
        Block, st.just(sizes[0]), st.integers(0, sizes[0]), st.just(sizes[1]), st.integers(0, sizes[1])
    )
)


@given(blocks, st.sampled_from(ODDS))
def test_the_likelihood_ratio_is_that_of_the_plain_formula(block, odds):
    """Sums from the largest term outwards give what binomial coefficients give."""
    bad = block.stable_bad + block.candidate_bad
    parts = range(max(bad - block.stable, 0), min(bad, block.candidate) + 1)
    chances = [
        comb(block.candidate, part) * comb(block.stable, bad - part) / comb(block.stable + block.candidate, bad)
        for part in parts
    ]
    mean = sum(chance * odds**part for chance, part in zip(chances, parts, strict=True))
    assert exp(log_odds_gain(block, odds)) == pytest.approx(odds**block.candidate_bad / mean)


@given(blocks, st.sampled_from(ODDS))
def test_the_two_revisions_are_treated_alike(block, odds):
    """Odds against the candidate, seen from the stable revision, are one over them."""
    mirrored = Block(block.candidate, block.candidate_bad, block.stable, block.stable_bad)
    assert log_odds_gain(block, odds) == pytest.approx(log_odds_gain(mirrored, 1 / odds))


def test_large_blocks_are_exact_to_the_last_request():
    """Half a million requests of which a fifth fail: the mean over all parts is still 1."""
    stable, candidate, bad = 400_000, 100_000, 100_000
    gains = [
        log_odds_gain(Block(stable, bad - part, candidate, part), 2.0) for part in (19_000, 20_000, 21_000, 40_000)
    ]
    assert gains == sorted(gains)
    assert gains[0] < gains[1] < 0 < gains[3]


@pytest.mark.parametrize("shares", [(0.02, 0.02), (0.3, 0.3), (0.5, 0.5), (0.9, 0.9), (0.5, 0.2)])
@pytest.mark.parametrize("sizes", [(1, 1), (5, 1), (6, 3), (4, 4), (2, 6)])
def test_evidence_of_errors_is_a_supermartingale_where_the_candidate_is_not_worse(shares, sizes):
    """Over all outcomes of a block the mean gain is at most 1, and so it is over two blocks."""
    outcomes = list(product(range(sizes[0] + 1), range(sizes[1] + 1)))
    chance = {(u, v): binomial(sizes[0], u, shares[0]) * binomial(sizes[1], v, shares[1]) for u, v in outcomes}
    mean, mean_of_two = 0.0, 0.0
    for first in outcomes:
        once = ErrorEvidence()
        once.add(Block(sizes[0], first[0], sizes[1], first[1]))
        mean += chance[first] * exp(once.wealth.log_now)
        for second in outcomes:
            twice = ErrorEvidence()
            twice.add(Block(sizes[0], first[0], sizes[1], first[1]))
            twice.add(Block(sizes[0], second[0], sizes[1], second[1]))
            mean_of_two += chance[first] * chance[second] * exp(twice.wealth.log_now)
    assert mean <= 1 + 1e-9
    assert mean_of_two <= mean + 1e-9


@pytest.mark.parametrize("excess", [0.0, 0.005])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.3, 0.9])
@pytest.mark.parametrize("sizes", [(1, 1), (5, 1), (30, 3), (12, 12), (2, 9)])
def test_evidence_of_burn_is_a_supermartingale_up_to_the_margin(share, excess, sizes):
    """Even a candidate that is worse by just the margin gains nothing on average, whichever has more requests."""
    mean = 0.0
    for u, v in product(range(sizes[0] + 1), range(sizes[1] + 1)):
        chance = binomial(sizes[0], u, share) * binomial(sizes[1], v, share + excess)
        mean += chance * gain_of(BurnEvidence(0.01, 0.005), Block(sizes[0], u, sizes[1], v))
    assert mean <= 1 + 1e-9


def test_heaps_within_a_block_change_nothing_on_average():
    """A pause makes all requests of one revision late at once, one block in ten: the mean gain is still at most 1."""
    mean = 0.0
    for is_stable_late, is_candidate_late in product((False, True), repeat=2):
        chance = (0.1 if is_stable_late else 0.9) * (0.1 if is_candidate_late else 0.9)
        mean += chance * gain_of(BurnEvidence(0.01, 0.005), Block(95, 95 * is_stable_late, 5, 5 * is_candidate_late))
    assert mean <= 1 + 1e-9


def test_no_single_block_condemns():
    """However many requests fail in it, the wealth grows by 16 in errors and by 1.9 in lateness at most."""
    worst = Block(100_000, 0, 100_000, 100_000)
    assert gain_of(ErrorEvidence(), worst) == pytest.approx(16.0)
    assert gain_of(BurnEvidence(0.01, 0.005), worst) < 1.9


@given(st.lists(blocks, min_size=1, max_size=8), st.data())
def test_one_more_bad_request_of_the_candidate_never_speaks_for_it(history, data):
    """The p-value falls or stays, in both questions, wherever one more of its requests is bad."""
    place = data.draw(st.sampled_from(range(len(history))))
    block = history[place]
    if block.candidate_bad == block.candidate:
        return
    worse = [*history]
    worse[place] = block._replace(candidate_bad=block.candidate_bad + 1)
    for make in (ErrorEvidence, lambda: BurnEvidence(0.01, 0.005)):
        p_values = []
        for played in (history, worse):
            evidence = make()
            for each in played:
                evidence.add(each)
            p_values.append(evidence.wealth.p_value)
        assert 0.0 <= p_values[1] <= p_values[0] + 1e-9 <= 1.0 + 2e-9


def test_the_p_value_remembers_the_most_wealth_there_was():
    """What is lost again does not take evidence back: it held whenever somebody looked."""
    wealth = Wealth(2)
    wealth.multiply([log(8.0), log(2.0)])
    assert wealth.p_value == pytest.approx(1 / 5)
    wealth.multiply([log(0.1), log(0.1)])
    assert exp(wealth.log_now) == pytest.approx(0.5)
    assert wealth.p_value == pytest.approx(1 / 5)

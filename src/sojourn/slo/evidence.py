"""Evidence that one of two revisions is worse, in a form that may be looked at as often as one likes.

Both tests here gain and lose *wealth* block by block, a block being a second or two of both revisions. If the candidate
is not worse, wealth is a non-negative supermartingale that begins at 1, so that the chance that it *ever* reaches
`1/level` is at most `level`, however often one looks and whenever one stops.

Source:
    Ville's inequality; Ramdas, Gruenwald, Vovk and Shafer (2023), "Game-theoretic statistics and safe anytime-valid
    inference", Statistical Science 38: wealth, mixtures of it, and `1 / max wealth` as a p-value.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, lgamma, log
from typing import Final, NamedTuple

_ODDS: Final = (2.0, 5.0, 20.0, 100.0)  # of an error in the candidate against the stable revision
_BLOCK_GAIN_MAX: Final = log(16.0)
_BETS: Final = (0.25, 0.5, 0.9)
_CEILINGS_IN_BUDGETS: Final = (3.0, 10.0)
_NEGLIGIBLE: Final = 1e-14


class Block(NamedTuple):
    """What both revisions counted over the same stretch of time: requests, and those in question among them."""

    stable: int
    stable_bad: int
    candidate: int
    candidate_bad: int


class Wealth:
    """The mean of several bets that begin with the same stake, and the most it ever was; as logarithms."""

    __slots__ = ("_logs", "log_most")

    def __init__(self, bets: int) -> None:
        self._logs = [0.0] * bets
        self.log_most = 0.0

    def multiply(self, log_gains: Sequence[float]) -> None:
        """Each bet gains or loses."""
        self._logs = [held + gain for held, gain in zip(self._logs, log_gains, strict=True)]
        self.log_most = max(self.log_most, self.log_now)

    @property
    def log_now(self) -> float:
        """Logarithm of what all bets are worth together."""
        most = max(self._logs)
        return most + log(sum(exp(held - most) for held in self._logs) / len(self._logs))

    @property
    def p_value(self) -> float:
        """One over the most it ever was, in (0, 1]."""
        return exp(-self.log_most)


class ErrorEvidence:
    """Do requests fail more often in the candidate than the same requests would in the stable revision?

    Which of the requests of a block go to the candidate is chance. If whether a request fails depends on the request
    alone, then of the K that failed in a block the candidate's part is hypergeometric, whatever K is and however errors
    are correlated in time (a client who sends nonsense for a minute). The bet is on failing having `odds` times the odds
    there: it gains `odds^x / E[odds^X]`, the likelihood ratio, whose mean is 1. A block gains a factor of 16 at most,
    so that no single second condemns.

    Source:
        Fisher's exact test given the margins, by blocks as in Mantel and Haenszel (1959); as a likelihood ratio that
        may be looked at any time: Turner, Ly and Gruenwald (2024), "Generic E-variables for exact sequential k-sample
        tests that allow for optional stopping", Journal of Statistical Planning and Inference 230.
    """

    __slots__ = ("wealth",)

    def __init__(self) -> None:
        self.wealth = Wealth(len(_ODDS))

    def add(self, block: Block) -> None:
        """One more block."""
        if block.stable_bad or block.candidate_bad:
            self.wealth.multiply([min(log_odds_gain(block, odds), _BLOCK_GAIN_MAX) for odds in _ODDS])


class BurnEvidence:
    """Does the candidate spend error budget faster than the stable revision, by more than `margin`?

    Late requests come in heaps: a replica that pauses makes dozens late, and no coin decided that. So a block is one
    observation whatever its number of requests: the bet is on the difference of the two shares of bad requests in it,
    `v - u`, and gains `1 + bet * (v - u - margin) / (1 + margin)`, at least 0.1 and at most 1.9. Its mean is at most 1 if
    the mean difference is at most the margin, whatever happens within the block and to both revisions at once.

    Differences of a few percent would gain slowly. So other bets take `min(v, c)` and `min(u, c)` for a ceiling c of a
    few times the budget, and divide by `c + margin`. That favours the revision with fewer requests in the block: for the
    same underlying share its v is the more variable one, and min(., c) is concave, so that its mean is the smaller one
    (Jensen), and it grows at most as fast as the share does. Where the candidate has more requests than
    the stable revision, there is no ceiling.

    Args:
        budget: Share of requests that may be bad, in (0, 1).
        margin: How much larger the candidate's share of bad requests may be, in [0, 1).

    Source:
        Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", Journal of the Royal
        Statistical Society B 86: `1 + bet * difference`, mixed over a grid of bets.
    """

    __slots__ = ("_bets", "_margin", "wealth")

    def __init__(self, budget: float, margin: float) -> None:
        ceilings = sorted({min(budget * factor, 1.0) for factor in _CEILINGS_IN_BUDGETS} | {1.0})
        self._bets = [(ceiling, bet) for ceiling in ceilings for bet in _BETS]
        self._margin = margin
        self.wealth = Wealth(len(self._bets))

    def add(self, block: Block) -> None:
        """One more block, with requests of both."""
        u = block.stable_bad / block.stable
        v = block.candidate_bad / block.candidate
        margin, is_minor = self._margin, block.candidate <= block.stable
        gains = []
        for own_ceiling, bet in self._bets:
            ceiling = own_ceiling if is_minor else 1.0
            gains.append(log(1.0 + bet * (min(v, ceiling) - min(u, ceiling) - margin) / (ceiling + margin)))
        self.wealth.multiply(gains)


def log_odds_gain(block: Block, odds: float) -> float:
    """Logarithm of `odds^x / E[odds^X]`, X being hypergeometric: how many of all bad ones fall on the candidate by chance."""
    bad = block.stable_bad + block.candidate_bad
    least, most = max(bad - block.stable, 0), min(bad, block.candidate)
    if least == most:
        return 0.0
    # E[odds^X] from the largest term outwards: all others follow from it by ratios.
    top = _largest_term(block, bad, odds, least, most)
    total = 1.0 + _tail(block, bad, odds, top, most) + _tail(block, bad, odds, top, least)
    log_mean = _log_chance(block, bad, top) + top * log(odds) + log(total)
    return block.candidate_bad * log(odds) - log_mean


def _ratio(block: Block, bad: int, odds: float, part: int) -> float:
    """The term of `part + 1` over that of `part`."""
    up = (bad - part) * (block.candidate - part)
    down = (part + 1) * (block.stable - bad + part + 1)
    return odds * up / down if down else inf


def _largest_term(block: Block, bad: int, odds: float, least: int, most: int) -> int:
    """Ratios fall, so that the largest term is where they pass 1: found by halving."""
    while least < most:
        middle = (least + most) // 2
        if _ratio(block, bad, odds, middle) >= 1.0:
            least = middle + 1
        else:
            most = middle
    return least


def _tail(block: Block, bad: int, odds: float, top: int, end: int) -> float:
    """All terms from beside the largest one to `end`, in units of it."""
    total, term = 0.0, 1.0
    if end > top:
        for part in range(top, end):
            term *= _ratio(block, bad, odds, part)
            total += term
            if term < _NEGLIGIBLE:
                break
        return total
    for part in range(top - 1, end - 1, -1):
        term /= _ratio(block, bad, odds, part)
        total += term
        if term < _NEGLIGIBLE:
            break
    return total


def _log_chance(block: Block, bad: int, part: int) -> float:
    """Logarithm of the chance that `part` of the bad ones fall on the candidate."""
    everyone = block.stable + block.candidate
    ways = _log_choose(block.candidate, part) + _log_choose(block.stable, bad - part)
    return ways - _log_choose(everyone, bad)


def _log_choose(among: int, chosen: int) -> float:
    return lgamma(among + 1) - lgamma(chosen + 1) - lgamma(among - chosen + 1)

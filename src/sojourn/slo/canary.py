"""Is a new revision significantly worse than the one it is to replace, over the same seconds of the same traffic?"""

from __future__ import annotations

from math import ceil, floor, inf, log10
from typing import Final

from sojourn.domain.rollout import ArmCounts, Question, Verdict
from sojourn.domain.wording import counted
from sojourn.slo.cause import PLACE_OF_CAUSE, Cause
from sojourn.slo.evidence import Block, BurnEvidence, ErrorEvidence
from sojourn.slo.tally import Counts

FALSE_ALARM: Final = 0.01  # the chance to condemn a revision that is like the old one, over a whole rollout
BUDGET_WITHOUT_OBJECTIVE: Final = 0.01
MARGIN_IN_BUDGETS: Final = 0.5  # a difference of burn rates
ERROR_MARGIN_MAX: Final = 0.005
# How long a block lasts at least. Lateness stays for a while: a queue that has grown, a replica that pauses, and of that one
# revision only. In blocks of two seconds such episodes of three seconds keep the level, in blocks of one they do not.
BLOCK_S: Final = {Question.ERRORS: 0.5, Question.BURN: 2.0}
_HAIR_S: Final = 0.1  # looks come a little early and late
_QUESTIONS: Final = len(Question)


class Comparison:
    """Compares two revisions by their counters, look after look, and says when the new one is worse.

    Two questions are asked, of lateness and of errors, each at half the level (Bonferroni). A block of one is closed as
    soon as it has lasted long enough and has requests of both revisions, so that with little traffic it lasts longer. What
    is condemned must be worse by enough to matter, too: `margin` in burn, `error_margin` in the share of errors.

    Args:
        objective: Target share of good requests, in (0, 1); None if nothing is promised: then as for 0.99.
        false_alarm: Chance to condemn a revision that is not worse, over all looks and both questions, in (0, 1).

    Source:
        `sojourn.slo.evidence`. What was measured of it: docs/rollouts.md.
    """

    def __init__(self, objective: float | None = None, false_alarm: float = FALSE_ALARM) -> None:
        budget = BUDGET_WITHOUT_OBJECTIVE if objective is None else 1.0 - objective
        self.margin = MARGIN_IN_BUDGETS * budget
        self.error_margin = min(self.margin, ERROR_MARGIN_MAX)
        self._level = false_alarm
        self._settles_until_s = -inf
        self._errors = _Track(Question.ERRORS, ErrorEvidence())
        self._burn = _Track(Question.BURN, BurnEvidence(budget, self.margin))
        self._tracks = ((self._errors, self.error_margin), (self._burn, self.margin))

    @property
    def blocks(self) -> int:
        """Stretches of time in which lateness was compared so far."""
        return self._burn.blocks

    @property
    def judged(self) -> tuple[ArmCounts, ArmCounts]:
        """What was compared of (stable, candidate) for lateness so far."""
        return self._burn.seen

    def settle(self, until_s: float) -> None:
        """The traffic has been split anew: before `until_s` both revisions find their number of replicas.

        Requests that are late in that time say nothing of the code and are not compared; errors are.
        """
        self._settles_until_s = until_s

    def look(self, stable: ArmCounts, candidate: ArmCounts, now_s: float) -> Verdict:
        """Take in the counters as they are now, and judge by all that was seen so far.

        Args:
            stable: Of the old revision since the split began. A counter that fell is taken to have stood still.
            candidate: Of the new one.
            now_s: Now, in seconds, never less than before.
        """
        self._errors.look(stable, candidate, now_s)
        if now_s < self._settles_until_s:
            self._burn.skip(stable, candidate, now_s)
        else:
            self._burn.look(stable, candidate, now_s)
        return self.verdict()

    def verdict(self) -> Verdict:
        """What all that was seen so far says: of errors, which are the plainer reason, or of lateness if that is stronger."""
        found = [(*self._found(track, margin), track) for track, margin in self._tracks]
        is_not_worse, p_value, track = min(found, key=lambda each: each[:2])
        stable, candidate = track.seen
        if not track.blocks:
            return Verdict()
        return Verdict(
            is_worse=not is_not_worse,
            question=track.question,
            p_value=p_value,
            evidence=in_words(track.question, stable, candidate, p_value),
            candidate=candidate,
            stable=stable,
        )

    def _found(self, track: _Track, margin: float) -> tuple[bool, float]:
        """Whether the candidate is *not* worse in this respect, and the p-value."""
        stable, candidate = track.seen
        p_value = min(track.evidence.wealth.p_value * _QUESTIONS, 1.0)
        gap = share_of(candidate, track.question) - share_of(stable, track.question)
        return p_value > self._level or gap < margin, p_value


class _Track:
    """One question: the block under way, and the evidence of those before it."""

    def __init__(self, question: Question, evidence: ErrorEvidence | BurnEvidence) -> None:
        self.question = question
        self.evidence = evidence
        self.seen = (ArmCounts(), ArmCounts())
        self.blocks = 0
        self._from = (ArmCounts(), ArmCounts())
        self._began_at_s = -inf

    def look(self, stable: ArmCounts, candidate: ArmCounts, now_s: float) -> None:
        """Close the block under way if it is long enough and has requests of both."""
        if self._began_at_s == -inf:
            self._began_at_s = now_s - BLOCK_S[self.question]  # what the first look shows came before it
        if now_s - self._began_at_s < BLOCK_S[self.question] - _HAIR_S:
            return
        new = stable.since(self._from[0]), candidate.since(self._from[1])
        requests = requests_of(new[0], self.question), requests_of(new[1], self.question)
        if not all(requests):
            return
        self.evidence.add(
            Block(requests[0], count_of(new[0], self.question), requests[1], count_of(new[1], self.question))
        )
        self.blocks += 1
        self.seen = self.seen[0].plus(new[0]), self.seen[1].plus(new[1])
        self._begin_at(stable, candidate, now_s)

    def skip(self, stable: ArmCounts, candidate: ArmCounts, now_s: float) -> None:
        """Leave out what has come since the last block."""
        self._begin_at(stable, candidate, now_s)

    def _begin_at(self, stable: ArmCounts, candidate: ArmCounts, now_s: float) -> None:
        self._from = _most(self._from[0], stable), _most(self._from[1], candidate)
        self._began_at_s = now_s


def counts_of_arm(counts: Counts) -> ArmCounts:
    """What of a function's counts is compared: all that counts but what waited for a replica to start, and what was rejected.

    A revision that takes traffic over has cold starts that the other had long ago.
    """
    cold = counts.bad_by_cause[PLACE_OF_CAUSE[Cause.COLD_START]]
    errors = counts.bad_by_cause[PLACE_OF_CAUSE[Cause.FUNCTION_ERROR]]
    return ArmCounts(total=counts.total - cold, bad=counts.bad - cold, errors=errors, rejected=counts.client_faults)


def requests_of(counts: ArmCounts, question: Question) -> int:
    """How many requests a question is asked of: of lateness nothing can be told where the input was refused."""
    return counts.total + counts.rejected if question is Question.ERRORS else counts.total


def count_of(counts: ArmCounts, question: Question) -> int:
    """How many are in question."""
    return counts.errors + counts.rejected if question is Question.ERRORS else counts.bad


def share_of(counts: ArmCounts, question: Question) -> float:
    """What share of them is in question, in [0, 1]; 0 without requests."""
    requests = requests_of(counts, question)
    return count_of(counts, question) / requests if requests else 0.0


def in_words(question: Question, stable: ArmCounts, candidate: ArmCounts, p_value: float) -> str:
    """Such as "3.1 % of 420 requests late or failed against 0.4 % of 8,012; p < 0.0004"."""
    verb = _verb(candidate) if question is Question.ERRORS else "late or failed"
    shares = [_percent(share_of(counts, question)) for counts in (candidate, stable)]
    of_candidate, of_stable = (requests_of(counts, question) for counts in (candidate, stable))
    return f"{shares[0]} of {counted(of_candidate, 'request')} {verb} against {shares[1]} of {of_stable:,}; {_p_text(p_value)}"


def _verb(counts: ArmCounts) -> str:
    """What errors there were: who looks for the reason has to know whether the function raised or refused."""
    if not counts.rejected:
        return "failed in the function"
    return "failed in the function or had their input rejected" if counts.errors else "had their input rejected"


def _percent(share: float) -> str:
    percent = 100.0 * share
    return f"{percent:.1f} %" if percent >= 0.1 or not percent else f"{percent:.2g} %"


def _p_text(p_value: float) -> str:
    """One digit, rounded up: it is never made to look smaller than it is."""
    if p_value >= 0.01:
        return f"p = {min(ceil(p_value * 100 - 1e-9) / 100, 1.0):g}"
    if p_value < 1e-9:
        return "p < 1e-9"
    place = 10.0 ** floor(log10(p_value))
    return f"p < {(floor(p_value / place) + 1) * place:.1g}"


def _most(before: ArmCounts, after: ArmCounts) -> ArmCounts:
    return before.plus(after.since(before))

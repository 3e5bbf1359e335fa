"""A rollout as plain data: what it is told, what it orders, what is compared, and how it stands."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class ArmCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What one of the two revisions has done since the split began; exact counters that only grow.

    Args:
        total: Requests that count: against the objective or, without one, that were not ended by their client.
        bad: Those of them that were late, refused, failed or expired (without an objective none is late).
        errors: Those of the bad ones that failed in the function.
        rejected: Requests whose input was found at fault: not of its type, or poison. Not in `total`, since clients spend no
            error budget; compared as errors are, since a revision that rejects good inputs blames their clients.

    Raises:
        ValueError: They do not contain one another.
    """

    total: int = 0
    bad: int = 0
    errors: int = 0
    rejected: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.errors <= self.bad <= self.total:
            raise ValueError(
                f"counts must be 0 <= errors <= bad <= total, not {self.errors}, {self.bad} and {self.total}"
            )
        if self.rejected < 0:
            raise ValueError(f"rejected must be >= 0, not {self.rejected}")

    def since(self, before: ArmCounts) -> ArmCounts:
        """What was counted after `before`; a counter that fell is taken to have stood still."""
        total = max(self.total - before.total, 0)
        bad = min(max(self.bad - before.bad, 0), total)
        return ArmCounts(
            total=total,
            bad=bad,
            errors=min(max(self.errors - before.errors, 0), bad),
            rejected=max(self.rejected - before.rejected, 0),
        )

    def plus(self, other: ArmCounts) -> ArmCounts:
        """Both together."""
        return ArmCounts(
            total=self.total + other.total,
            bad=self.bad + other.bad,
            errors=self.errors + other.errors,
            rejected=self.rejected + other.rejected,
        )


class Question(StrEnum):
    """In which respect two revisions are compared."""

    BURN = "burn"  # the share of requests that spend error budget
    ERRORS = "errors"  # the share of requests that fail in the function, or whose input it is said to be


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a new revision is worse than the one it is to replace, and what says so.

    Args:
        is_worse: Whether it is, significantly and by enough to matter.
        question: In which respect; if it is not worse, where the evidence is strongest. None before there is any.
        p_value: By how rare chance a difference as large would be seen at some look between two revisions that are
            alike, in [0, 1]; corrected for looking again and again and for asking two questions.
        evidence: The same in words and numbers.
        candidate: What was counted of the new revision for this question.
        stable: And of the old one.
    """

    is_worse: bool = False
    question: Question | None = None
    p_value: float = 1.0
    evidence: str = "no requests to compare yet"
    candidate: ArmCounts = ArmCounts()
    stable: ArmCounts = ArmCounts()


class RolloutState(StrEnum):
    """Where a rollout is in its life."""

    WARMING = "warming"  # the candidate starts; all traffic goes to the stable revision
    SHIFTING = "shifting"  # share after share goes to the candidate
    LIVE = "live"  # it has all of it
    ROLLED_BACK = "rolled_back"  # it had some, and has none any more
    FAILED = "failed"  # it never had any, or the function is gone


class RolloutSignal(StrEnum):
    """What can happen to the state of a rollout."""

    BEGAN_TO_SHIFT = "began_to_shift"
    TOOK_ALL = "took_all"
    WAS_TAKEN_BACK = "was_taken_back"
    COULD_NOT = "could_not"


# State and signal -> next state. What is not listed here cannot happen; the last three are for good.
ROLLOUT_TRANSITIONS: dict[tuple[RolloutState, RolloutSignal], RolloutState] = {
    (RolloutState.WARMING, RolloutSignal.BEGAN_TO_SHIFT): RolloutState.SHIFTING,
    (RolloutState.WARMING, RolloutSignal.TOOK_ALL): RolloutState.LIVE,
    (RolloutState.WARMING, RolloutSignal.COULD_NOT): RolloutState.FAILED,
    (RolloutState.SHIFTING, RolloutSignal.TOOK_ALL): RolloutState.LIVE,
    (RolloutState.SHIFTING, RolloutSignal.WAS_TAKEN_BACK): RolloutState.ROLLED_BACK,
    (RolloutState.SHIFTING, RolloutSignal.COULD_NOT): RolloutState.FAILED,
}


# ---- events


class RolloutBegan(msgspec.Struct, frozen=True):
    """The candidate's replicas are being started."""


class CandidateWarm(msgspec.Struct, frozen=True):
    """The candidate has a replica that takes requests."""


class CandidateFailed(msgspec.Struct, frozen=True):
    """The candidate cannot be started, or its replicas fail one after the other; `cause` is one line for people."""

    cause: str


class ReplicaFailed(msgspec.Struct, frozen=True):
    """One replica of the candidate or of the stable revision died or hung while it was serving."""

    is_candidate: bool
    cause: str = ""


class CountsSeen(msgspec.Struct, frozen=True):
    """The counters of both revisions were read; both began at zero with the first share of the candidate."""

    stable: ArmCounts
    candidate: ArmCounts


class PromoteAsked(msgspec.Struct, frozen=True):
    """An operator wants the candidate to take all traffic now, or as soon as it is warm."""


class RollbackAsked(msgspec.Struct, frozen=True):
    """An operator wants the stable revision to keep all traffic, or to have it back."""


class FunctionDeleted(msgspec.Struct, frozen=True):
    """The function is gone, the stable revision with it."""


class Superseded(msgspec.Struct, frozen=True):
    """A newer deploy takes this one's place."""

    revision: str


class RolloutTick(msgspec.Struct, frozen=True):
    """Nothing but time has passed."""


RolloutEvent = (
    RolloutBegan
    | CandidateWarm
    | CandidateFailed
    | ReplicaFailed
    | CountsSeen
    | PromoteAsked
    | RollbackAsked
    | FunctionDeleted
    | Superseded
    | RolloutTick
)


# ---- actions


class SetShare(msgspec.Struct, frozen=True):
    """Send this share of the traffic to the candidate, in [0, 1], and the rest to the stable revision; `why` is for people."""

    share: float
    why: str


class Promote(msgspec.Struct, frozen=True):
    """The candidate is the live revision from now on; the other one ends what it has and goes."""

    why: str


class RollBack(msgspec.Struct, frozen=True):
    """The stable revision stays the live one; the candidate ends what it has and goes.

    `verdict` is there if the counts are the reason.
    """

    cause: str
    verdict: Verdict | None = None


class Fail(msgspec.Struct, frozen=True):
    """The rollout came to nothing before the candidate took a request, or with its function; it goes."""

    cause: str


RolloutAction = SetShare | Promote | RollBack | Fail


# ---- how it stands


class RolloutStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout as people see it.

    Args:
        state: Where it is in its life.
        share: Of the traffic that the candidate has, in [0, 1].
        step: Which share of the plan this is, from 1 on; 0 before the first.
        steps: How many there are.
        since_s: When the state, or within `shifting` the step, began; on the clock of `step`.
        step_ends_s: When the step ends at the earliest; None if none is under way.
        why: What it did last, and why.
        cause: Why it was rolled back or failed; empty otherwise.
        verdict: What the counts say so far.
    """

    state: RolloutState
    share: float
    step: int
    steps: int
    since_s: float
    why: str
    step_ends_s: float | None = None
    cause: str = ""
    verdict: Verdict = Verdict()

"""A rollout: how a new revision takes the traffic over from the old one, and when it must give it back.

A pure state machine like the controller: `step(event, now_s)` returns actions, `next_wake_at_s` says when to step again.
While traffic is shared, what it wants at that instant is the counters: step it with `CountsSeen`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf, sqrt
from typing import Any, Final

from sojourn.domain.deployment import CANARY, RolloutPlan
from sojourn.domain.rollout import (
    ROLLOUT_TRANSITIONS,
    ArmCounts,
    CandidateFailed,
    CandidateWarm,
    CountsSeen,
    Fail,
    FunctionDeleted,
    Promote,
    PromoteAsked,
    ReplicaFailed,
    RollBack,
    RollbackAsked,
    RolloutAction,
    RolloutBegan,
    RolloutEvent,
    RolloutSignal,
    RolloutState,
    RolloutStatus,
    RolloutTick,
    SetShare,
    Superseded,
    Verdict,
)
from sojourn.domain.wording import counted
from sojourn.slo.canary import FALSE_ALARM, Comparison

WARM_LIMIT_S: Final = 600.0
LOOK_S: Final = 1.0
PATIENCE_STEPS: Final = 3  # a step lasts at most so many times `step_s`
REQUESTS_MIN: Final = 50  # of each revision in a step: of a tenth that fails, at least one is among them in 199 of 200
BLOCKS_MIN: Final = 12  # stretches of two seconds with requests of both: as many tell that all are late
FAILURES_MAX: Final = 3  # replicas of the candidate, more than of the stable revision
_SETTLE_S: Final = 5.0  # that the scaling policy takes to see new traffic, beside what a start takes
_SETTLE_SHARE_MAX: Final = 0.5  # of a step


def replicas_for(share: float, stable_replicas: int) -> int:
    """How many replicas a candidate needs at least so that a share of the traffic waits no longer with it than with the others.

    A few replicas make requests wait more than many do at the same utilization. By square-root staffing a load R needs
    `R + b sqrt(R)` replicas for the same chance to wait. A share q of it needs `qR + b sqrt(qR)`, which is at most
    `sqrt(q)` times as many. Without them a candidate like the stable revision would rightly be found later than that.

    Args:
        share: Of the traffic, in [0, 1].
        stable_replicas: What the stable revision had with all of it, >= 0.

    Source:
        Halfin and Whitt (1981), "Heavy-traffic limits for queues with many exponential servers", Operations Research 29.
    """
    return max(ceil(sqrt(share) * stable_replicas - 1e-9), 1)


class Rollout:
    """One rollout from its begin to one of three ends: live, rolled back or failed.

    Args:
        plan: Strategy, shares and length of the steps.
        objective: Target share of good requests, in (0, 1); None if the function promises nothing.
        has_stable: Whether there is a revision to take over from; without one nothing is compared.
        warm_limit_s: How long the candidate may take to become warm, waiting for room in the pool included, in
            seconds, > 0.
        false_alarm: Chance to roll back a candidate that is not worse, in (0, 1).
    """

    def __init__(
        self,
        plan: RolloutPlan,
        objective: float | None = None,
        *,
        has_stable: bool = True,
        warm_limit_s: float = WARM_LIMIT_S,
        false_alarm: float = FALSE_ALARM,
    ) -> None:
        self._plan = plan
        self._is_gradual = plan.strategy == CANARY and has_stable
        self._warm_limit_s = warm_limit_s
        self._comparison = Comparison(objective, false_alarm)
        self._verdict = Verdict()
        self._state = RolloutState.WARMING
        self._share = 0.0
        self._step = 0
        self._began_at_s: float | None = None
        self._since_s = 0.0
        self._warm_s = 0.0
        self._look_at_s = inf
        self._blocks_before = 0  # what had been compared when this step began
        self._judged_before = (ArmCounts(), ArmCounts())
        self._failures_more = 0  # replicas of the candidate that failed, less those of the stable revision
        self._why = "not begun"
        self._cause = ""
        self._on: dict[type, Callable[[Any, float, list[RolloutAction]], None]] = {
            RolloutBegan: self._began,
            CandidateWarm: self._warm,
            CandidateFailed: self._candidate_failed,
            ReplicaFailed: self._replica_failed,
            CountsSeen: self._counts_seen,
            PromoteAsked: self._promote_asked,
            RollbackAsked: self._rollback_asked,
            FunctionDeleted: self._function_deleted,
            Superseded: self._superseded,
            RolloutTick: self._tick,
        }

    @property
    def is_over(self) -> bool:
        """Whether it has ended: no event changes anything any more."""
        return self._state not in {RolloutState.WARMING, RolloutState.SHIFTING}

    @property
    def next_share(self) -> float:
        """The share that the candidate is to have replicas for now: that of the next step, so that they are there by then."""
        if not self._is_gradual or self._step >= len(self._plan.shares):
            return 1.0
        return self._plan.shares[self._step]

    @property
    def next_wake_at_s(self) -> float | None:
        """When to step if nothing happens before: with `CountsSeen` while shifting, else a tick; None once it is over."""
        if self.is_over or self._began_at_s is None:
            return None
        return self._began_at_s + self._warm_limit_s if self._state is RolloutState.WARMING else self._look_at_s

    def step(self, event: RolloutEvent, now_s: float) -> list[RolloutAction]:
        """Take in what happened at `now_s` (never less than before); what to do about it, in order."""
        actions: list[RolloutAction] = []
        if self.is_over:
            return actions
        self._on[type(event)](event, now_s, actions)
        if self._state is RolloutState.WARMING:
            self._end_slow_warm_up(now_s, actions)
        elif self._state is RolloutState.SHIFTING:
            self._go_on_if_due(now_s, actions)
            if now_s >= self._look_at_s:
                self._look_at_s = now_s + LOOK_S
        return actions

    def status(self) -> RolloutStatus:
        """How it stands."""
        is_shifting = self._state is RolloutState.SHIFTING
        return RolloutStatus(
            state=self._state,
            share=self._share,
            step=self._step,
            steps=len(self._plan.shares) if self._is_gradual else 0,
            since_s=self._since_s,
            why=self._why,
            step_ends_s=self._since_s + self._plan.step_s if is_shifting else None,
            cause=self._cause,
            verdict=self._verdict,
        )

    def check(self, now_s: float) -> None:
        """Assert what must hold after every step."""
        state, shares = self._state, self._plan.shares
        if state is RolloutState.SHIFTING:
            assert self._is_gradual, "only a canary shares traffic"
            assert 1 <= self._step <= len(shares), "a step is one of the plan's"
            assert self._share == shares[self._step - 1], "the share is that of the step"
            assert now_s < self._since_s + PATIENCE_STEPS * self._plan.step_s, "a step ends"
            assert not self._verdict.is_worse, "what is worse is not kept"
        else:
            assert self._share == (1.0 if state is RolloutState.LIVE else 0.0), "all of the traffic or none"
        assert bool(self._cause) == (state in {RolloutState.ROLLED_BACK, RolloutState.FAILED}), "an end has its cause"
        wake_at_s = self.next_wake_at_s
        if self.is_over:
            assert wake_at_s is None, "what is over wants nothing"
        elif self._began_at_s is not None:
            assert wake_at_s is not None, "what is under way ends by itself"
            assert now_s < wake_at_s < inf, "a wake-up lies ahead"

    # ---- what happens

    def _began(self, event: RolloutBegan, now_s: float, actions: list[RolloutAction]) -> None:  # noqa: ARG002
        if self._began_at_s is None:
            self._began_at_s = self._since_s = now_s
            self._why = "the candidate starts; all traffic goes to the stable revision"

    def _warm(self, event: CandidateWarm, now_s: float, actions: list[RolloutAction]) -> None:  # noqa: ARG002
        if self._state is not RolloutState.WARMING:
            return
        self._warm_s = now_s - (now_s if self._began_at_s is None else self._began_at_s)
        if self._is_gradual:
            self._become(RolloutSignal.BEGAN_TO_SHIFT, now_s)
            self._look_at_s = now_s
            self._take_step(1, f"the candidate is warm after {self._warm_s:.3g} s", now_s, actions)
        else:
            self._take_all(f"the candidate is warm after {self._warm_s:.3g} s", now_s, actions)

    def _candidate_failed(self, event: CandidateFailed, now_s: float, actions: list[RolloutAction]) -> None:
        if self._state is RolloutState.WARMING:
            self._fail(f"the candidate does not start: {event.cause}", now_s, actions)
        else:
            self._take_back(f"replicas of the candidate fail one after the other: {event.cause}", None, now_s, actions)

    def _replica_failed(self, event: ReplicaFailed, now_s: float, actions: list[RolloutAction]) -> None:
        if self._state is not RolloutState.SHIFTING:
            return
        self._failures_more = max(self._failures_more + (1 if event.is_candidate else -1), 0)
        if self._failures_more >= FAILURES_MAX:
            cause = f"{FAILURES_MAX} replicas of the candidate failed, and fewer of the stable revision"
            self._take_back(f"{cause}; the last: {event.cause or 'no cause known'}", None, now_s, actions)

    def _counts_seen(self, event: CountsSeen, now_s: float, actions: list[RolloutAction]) -> None:
        if self._state is not RolloutState.SHIFTING:
            return
        self._look_at_s = now_s  # it is done
        self._verdict = verdict = self._comparison.look(event.stable, event.candidate, now_s)
        if verdict.is_worse:
            self._take_back(f"the candidate is worse: {verdict.evidence}", verdict, now_s, actions)

    def _promote_asked(self, event: PromoteAsked, now_s: float, actions: list[RolloutAction]) -> None:  # noqa: ARG002
        if self._state is RolloutState.SHIFTING:
            self._take_all("an operator promoted it", now_s, actions)
        else:
            self._is_gradual = False  # all at once, as soon as it is warm
            self._why = "the candidate starts, and takes all traffic once it is warm: an operator promoted it"

    def _rollback_asked(self, event: RollbackAsked, now_s: float, actions: list[RolloutAction]) -> None:  # noqa: ARG002
        self._end_early("an operator rolled it back", now_s, actions)

    def _superseded(self, event: Superseded, now_s: float, actions: list[RolloutAction]) -> None:
        self._end_early(f"revision {event.revision} was deployed meanwhile", now_s, actions)

    def _function_deleted(self, event: FunctionDeleted, now_s: float, actions: list[RolloutAction]) -> None:  # noqa: ARG002
        self._fail("the function was deleted", now_s, actions)

    def _tick(self, event: RolloutTick, now_s: float, actions: list[RolloutAction]) -> None:
        """Nothing happened; `step` does what is due."""

    # ---- what follows

    def _end_slow_warm_up(self, now_s: float, actions: list[RolloutAction]) -> None:
        if self._began_at_s is not None and now_s >= self._began_at_s + self._warm_limit_s:
            cause = f"the candidate was not warm within {self._warm_limit_s:g} s: its start is slow, or the pool has no room"
            self._fail(cause, now_s, actions)

    def _go_on_if_due(self, now_s: float, actions: list[RolloutAction]) -> None:
        """The next share, once the step has lasted and told enough; or lasted too long to wait for more."""
        if now_s < self._since_s + self._plan.step_s:
            return
        judged = zip(self._comparison.judged, self._judged_before, strict=True)
        stable, candidate = (after.total - before.total for after, before in judged)
        blocks = self._comparison.blocks - self._blocks_before
        compared = f"{counted(candidate, 'request')} compared with {stable:,} of the stable revision"
        if min(stable, candidate) >= REQUESTS_MIN and blocks >= BLOCKS_MIN:
            why = f"{compared}: no worse by enough to tell"
        elif now_s >= self._since_s + PATIENCE_STEPS * self._plan.step_s:
            why = (
                f"too little traffic to judge in this step ({compared}), but {now_s - self._since_s:.3g} s have passed"
            )
        else:
            self._why = f"waiting for more traffic, {compared} so far"
            return
        if self._step < len(self._plan.shares):
            self._take_step(self._step + 1, why, now_s, actions)
        else:
            self._take_all(why, now_s, actions)

    def _take_step(self, step: int, why: str, now_s: float, actions: list[RolloutAction]) -> None:
        self._step = step
        self._since_s = now_s
        self._share = self._plan.shares[step - 1]
        self._why = why
        self._blocks_before = self._comparison.blocks
        self._judged_before = self._comparison.judged
        settle_s = min(self._warm_s + _SETTLE_S, _SETTLE_SHARE_MAX * self._plan.step_s)
        self._comparison.settle(now_s + settle_s)
        actions.append(SetShare(self._share, why))

    def _take_all(self, why: str, now_s: float, actions: list[RolloutAction]) -> None:
        self._become(RolloutSignal.TOOK_ALL, now_s)
        self._share = 1.0
        self._why = why
        actions += [SetShare(1.0, why), Promote(why)]

    def _take_back(self, cause: str, verdict: Verdict | None, now_s: float, actions: list[RolloutAction]) -> None:
        self._become(RolloutSignal.WAS_TAKEN_BACK, now_s)
        self._share = 0.0
        self._why = self._cause = cause
        actions += [SetShare(0.0, cause), RollBack(cause, verdict)]

    def _fail(self, cause: str, now_s: float, actions: list[RolloutAction]) -> None:
        self._become(RolloutSignal.COULD_NOT, now_s)
        self._share = 0.0
        self._why = self._cause = cause
        actions.append(Fail(cause))

    def _end_early(self, cause: str, now_s: float, actions: list[RolloutAction]) -> None:
        if self._state is RolloutState.SHIFTING:
            self._take_back(cause, None, now_s, actions)
        else:
            self._fail(cause, now_s, actions)

    def _become(self, signal: RolloutSignal, now_s: float) -> None:
        self._state = ROLLOUT_TRANSITIONS[self._state, signal]
        self._since_s = now_s

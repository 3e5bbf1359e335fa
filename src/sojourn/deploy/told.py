"""How deployments are told: rollouts and histories as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from sojourn.deploy.past import revision_before
from sojourn.deploy.run import RolloutRun
from sojourn.domain.deployment import Revision
from sojourn.domain.deployment_status import RevisionTold, RolloutTold
from sojourn.domain.rollout import RolloutState
from sojourn.state.record import StoredRollout


def told_of(run: RolloutRun) -> RolloutTold:
    """How a rollout stands."""
    status = run.status
    # What is not remembered yet has not happened: a server that is killed now comes back with the revision before.
    state = RolloutState.SHIFTING if status.state is RolloutState.LIVE and not run.has_all else status.state
    return RolloutTold(
        function=run.name,
        state=state.value,
        revision=run.revision.revision,
        before=run.before,
        share=status.share,
        strategy=run.plan.strategy,
        cause=status.cause,
        evidence=evidence_of(run),
        began_at=instant(run.began_at_s),
        why=status.why,
    )


def unkept_told_of(run: RolloutRun, why_not: str) -> RolloutTold:
    """How a rollout ended whose end cannot be remembered: the revision before has the traffic, and the next server begins anew."""
    told = told_of(run)
    cause = f"{told.cause}; it cannot be kept: {why_not}" if told.cause else f"it cannot be kept: {why_not}"
    is_over = told.state in {RolloutState.ROLLED_BACK.value, RolloutState.FAILED.value}
    state = told.state if is_over else RolloutState.FAILED.value
    return msgspec.structs.replace(told, state=state, share=0.0, cause=cause)


def told_at_rest(function: str, live: Revision | None) -> RolloutTold:
    """How a function stands whose revisions nobody has changed since the server started."""
    return RolloutTold(
        function=function,
        state=(RolloutState.LIVE if live is not None else RolloutState.FAILED).value,
        revision=live.revision if live is not None else "",
        share=1.0 if live is not None else 0.0,
    )


def history_of(
    kept: Sequence[Revision], rollouts: Sequence[StoredRollout], live: str, candidate: str
) -> list[RevisionTold]:
    """Revisions, the latest first, with the outcome of the latest rollout of each.

    Args:
        kept: Revisions of one function.
        rollouts: Its rollouts, the latest first.
        live: The revision that is live; empty if none is.
        candidate: The one on its way; empty if none is.
    """
    outcomes: dict[str, str] = {}
    for row in rollouts:
        outcomes.setdefault(row.to_revision, row.outcome or "")
    before = revision_before(live, kept, rollouts)
    roles = {} if before is None else {before.revision: "previous"}
    roles |= {live: "live", candidate: "candidate"}
    return [
        RevisionTold(
            revision=each.revision,
            role=roles.get(each.revision, ""),
            created_at=instant(each.created_at_s),
            bundle=each.bundle,
            target=each.manifest.target,
            dependencies=each.dependencies,
            outcome=outcomes.get(each.revision, ""),
        )
        for each in sorted(kept, key=lambda each: each.created_at_s, reverse=True)
    ]


def evidence_of(run: RolloutRun) -> dict[str, object] | None:
    """What the counts of both revisions say; None if there was nothing to compare."""
    verdict = run.status.verdict
    if verdict.question is None:
        return None
    told: dict[str, object] = msgspec.to_builtins(verdict)
    return told


def instant(wall_s: float) -> str:
    """Seconds since the epoch as ISO 8601."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

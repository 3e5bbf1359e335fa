"""Which earlier revision a rollback means."""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.domain.deployment import Revision
from sojourn.domain.rollout import RolloutState
from sojourn.errors import DeploymentError
from sojourn.state.keeper import StateKeeper
from sojourn.state.record import StoredRollout


async def earlier(keeper: StateKeeper, function: str, live: str, asked: str | None) -> Revision:
    """The revision that was asked for, or the one that the live one took over from.

    Args:
        keeper: The durable state.
        function: A deployed function.
        live: Its live revision; empty if it has none.
        asked: A revision, or the beginning of one; None: the one before.

    Raises:
        DeploymentError: There is no such revision, it is not unique, or there is none before.
        StateError: The state cannot be read.
    """
    kept, rollouts = await keeper.do(lambda store: (store.revisions(function), store.rollouts(function)))
    if asked is not None:
        found = [each for each in kept if each.revision.startswith(asked)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(sorted(each.revision for each in kept)) or "none"
        which = "is not unique" if found else "is none"
        raise DeploymentError(f"function {function!r}: revision {asked[:40]!r} {which} of {known}")
    before = revision_before(live, kept, rollouts)
    if before is not None:
        return before
    raise DeploymentError(f"function {function!r}: there is no revision before {live or 'the first one'}")


def revision_before(live: str, kept: Sequence[Revision], rollouts: Sequence[StoredRollout]) -> Revision | None:
    """The revision that the live one took over from; None if there is none, or it is not kept.

    Args:
        live: The live revision; empty if there is none.
        kept: Revisions of one function.
        rollouts: Its rollouts, the latest first.
    """
    by_name = {each.revision: each for each in kept}
    for row in rollouts:
        if row.to_revision == live and row.outcome == RolloutState.LIVE.value and row.from_revision in by_name:
            return by_name[row.from_revision]
    return None

"""What is held of one deployed function: its live revision, and the change of it that is under way or was the last."""

from __future__ import annotations

import asyncio

import msgspec

from sojourn.deploy.run import RolloutRun
from sojourn.deploy.told import told_at_rest, told_of
from sojourn.domain.deployment import Revision
from sojourn.domain.deployment_status import RolloutTold


class Held(msgspec.Struct):
    """One function.

    Args:
        live: Its live revision; None while it has none. It may not be served: a server that cannot says so.
        run: The rollout under way.
        task: In which that runs.
        told: How the last one ended, if this server saw it.
    """

    live: Revision | None = None
    run: RolloutRun | None = None
    task: asyncio.Task[None] | None = None
    told: RolloutTold | None = None

    def is_settled(self, revision: str) -> bool:
        """Whether a revision is live and stays so, or is on its way already."""
        if self.run is not None:
            return self.run.revision.revision == revision
        return self.live is not None and self.live.revision == revision

    def rollout(self, function: str) -> RolloutTold:
        """How far the latest change has come."""
        if self.run is not None:
            return told_of(self.run)
        return self.told or told_at_rest(function, self.live)

"""Waits for rollouts to end: what is still open, how long to be patient, what to say of those that failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from sojourn.client.reply import Deployment
from sojourn.domain.deployment import CANARY, RolloutPlan
from sojourn.domain.deployment_status import RolloutTold
from sojourn.errors import ClientError, ConnectionFailedError, ExpiredError, RefusedError, RolloutFailedError

POLL_S: Final = 0.25
_LIVE: Final = "live"
_ENDED: Final = frozenset({_LIVE, "rolled_back", "failed"})
_START_S: Final = 600.0
_SILENCE_S: Final = 30.0
_EVIDENCE_CHARACTERS: Final = 500


def patience_s(plan: RolloutPlan) -> float:
    """How long a rollout may take, in seconds: ten minutes to start, and twice its steps."""
    steps = len(plan.shares) if plan.strategy == CANARY else 0
    return _START_S + 2 * steps * plan.step_s


class Waiting:
    """The rollouts of one deployment, asked for in turn until each has ended.

    Args:
        deployment: What was deployed.
        deadline_at_s: How long to wait at most, on the clock of `now_s`.
        now_s: Now.
    """

    def __init__(self, deployment: Deployment, deadline_at_s: float, now_s: float) -> None:
        self._revisions = {function.function: function.revision for function in deployment.functions}
        self._deadline_at_s = deadline_at_s
        self._heard_at_s = now_s
        self._ended: dict[str, RolloutTold] = {}

    @property
    def open(self) -> list[str]:
        """Functions whose rollout has not ended."""
        return [name for name in self._revisions if name not in self._ended]

    def heard(self, name: str, rollout: RolloutTold, now_s: float) -> None:
        """How the rollout of a function stands; one of another revision has taken the place of this one."""
        self._heard_at_s = now_s
        if rollout.state in _ENDED or rollout.revision != self._revisions[name]:
            self._ended[name] = rollout

    def missed(self, error: ClientError, now_s: float) -> None:
        """The server could not be asked: a restart is sat out, anything else is raised.

        Raises:
            ClientError: It has been silent for long, or said no.
        """
        is_passing = isinstance(error, (RefusedError, ConnectionFailedError, ExpiredError))
        if not is_passing or now_s - self._heard_at_s >= _SILENCE_S:
            raise error

    def check(self, now_s: float) -> None:
        """Whether to wait on.

        Raises:
            ExpiredError: The patience is over.
        """
        if now_s >= self._deadline_at_s:
            raise ExpiredError(
                f"the rollout of {', '.join(self.open)} has not ended; it goes on, and `client.rollout(name)` tells how "
                "it stands (wait longer with timeout_s)"
            )

    def result(self) -> Mapping[str, RolloutTold]:
        """All rollouts, each live.

        Raises:
            RolloutFailedError: At least one is not; all of them are named.
        """
        faults = [
            _told(name, self._revisions[name], rollout)
            for name, rollout in self._ended.items()
            if (rollout.revision, rollout.state) != (self._revisions[name], _LIVE)
        ]
        if not faults:
            return self._ended
        error = RolloutFailedError("; ".join(faults))
        error.rollouts = dict(self._ended)
        raise error


def _told(name: str, revision: str, rollout: RolloutTold) -> str:
    if rollout.revision != revision:
        return f"{name}@{revision}: {rollout.revision} has taken its place, and is {rollout.state.replace('_', ' ')}"
    text = f"{name}@{revision}: {rollout.state.replace('_', ' ')}"
    if rollout.cause:
        text += f": {rollout.cause}"
    if rollout.evidence:
        text += f" (evidence: {json.dumps(rollout.evidence)[:_EVIDENCE_CHARACTERS]})"
    return text

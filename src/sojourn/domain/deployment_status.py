"""What is told of deployments to those who ask: API, CLI and SDK."""

from __future__ import annotations

from typing import Any

import msgspec

from sojourn.domain.deployment import RolloutPlan


class DeployAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What a deploy asks for, besides the archive.

    Args:
        target: File or module inside the archive, such as `app.py` or `pkg.module`.
        name: Another name for its only function; None keeps what it declares.
        plan: How the new revision takes over.
    """

    target: str
    name: str | None = None
    plan: RolloutPlan = RolloutPlan()


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """One function of a deploy: the revision that its name will mean.

    Args:
        function: Its name.
        revision: Its revision.
        created: Whether this revision was not there before.
    """

    function: str
    revision: str
    created: bool


class RolloutTold(msgspec.Struct, frozen=True, kw_only=True):
    """How far the latest change of a function's revision has come.

    Args:
        function: Its name.
        state: `warming`, `shifting`, `live`, `rolled_back` or `failed`.
        revision: The revision it is about.
        before: The revision it takes over from; None for the first.
        share: Of the traffic it has, in [0, 1].
        strategy: `all-at-once` or `canary`.
        cause: Why it failed or was rolled back; empty otherwise.
        evidence: Numbers behind that, if there are any.
        began_at: When, as text of ISO 8601.
        why: What was done last, and why.
    """

    function: str
    state: str
    revision: str
    before: str | None = None
    share: float = 0.0
    strategy: str = ""
    cause: str = ""
    evidence: dict[str, Any] | None = None
    began_at: str = ""
    why: str = ""


class RevisionTold(msgspec.Struct, frozen=True, kw_only=True):
    """One revision in a function's history.

    Args:
        revision: Its name.
        role: `live`, `candidate`, `previous` (to which a rollback goes), or empty for an older one.
        created_at: When it was deployed first, as text of ISO 8601.
        bundle: SHA-256 of its source tree.
        target: File or module in the tree.
        dependencies: Distributions its import loaded, with versions.
        outcome: How its latest rollout ended; empty if it never had one or has not ended.
    """

    revision: str
    role: str
    created_at: str
    bundle: str
    target: str
    dependencies: dict[str, str] = {}
    outcome: str = ""

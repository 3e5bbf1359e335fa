"""What deploying needs from the edges, as protocols: routes to switch, a process that describes, a place to keep."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sojourn.domain.deployment import Description
from sojourn.runtime.service import FunctionService


class Traffic(Protocol):
    """Which deployment a function's name means."""

    def direct(self, service: FunctionService) -> None:
        """All of it goes to this one from now on."""

    def split(self, name: str, stable: FunctionService, candidate: FunctionService, share: float) -> object:
        """A share in (0, 1) goes to the candidate, the rest to the stable one."""

    def pin(self, service: FunctionService) -> None:
        """Calls that name its revision reach it; those that do not are left as they are."""

    def refuse(self, name: str, why: str) -> None:
        """A function is deployed and cannot be served: callers of its name are told why, until something serves it."""

    def remove(self, name: str, revision: str | None = None) -> None:
        """Nobody answers to this revision any more, or (None) to the name, with or without a revision."""


class Describe(Protocol):
    """Imports a target in a short-lived process."""

    async def __call__(self, target: str, root: Path) -> Description:
        """What `target` declares, imported in the source tree `root`.

        Raises:
            TargetError: It cannot be imported; the message names the author's line, or the package that is missing.
        """

"""What a route leads to: a service, or two that share the requests of one name."""

from __future__ import annotations

from collections.abc import Callable
from random import random
from typing import Protocol

from sojourn.domain.request import Fault
from sojourn.runtime.ports import Caller
from sojourn.wire.message import ContentKind


class Service(Protocol):
    """A function that takes requests; the runtime's class has this shape."""

    @property
    def name(self) -> str:
        """The function's name, as in its URL."""

    @property
    def revision(self) -> str:
        """The content hash of what is being served."""

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more requests for good: what was announced to it is to be routed anew."""

    def submit(
        self, caller: Caller, body: bytes, kind: ContentKind, priority: int, client_timeout_s: float | None
    ) -> int:
        """Take a request whose last byte has just been received; returns its number, above 0.

        `caller` may be answered or refused before this returns.
        """

    def announce(self, caller: Caller, priority: int, client_timeout_s: float | None, body_bytes: int) -> Service:
        """The headers of a request are here; `caller` is refused before this returns if its body is not wanted.

        If it is, the request is to be submitted to what this returns.
        """

    def cancel(self, request_number: int) -> None:
        """The client of this request is gone: from now on its caller must not be called."""

    def refused_at_the_door(self, fault: Fault, caller: Caller, message: str) -> None:
        """Count a request for this function that ended before it could be submitted; its client is told by others."""


class Split:
    """Shares the requests of one name among two services: exactly in number, by chance in which.

    Of each stretch of 1/share requests in a row the candidate gets one, and chance says which (stratified sampling): so
    after n requests it has had between n*share - 1 and n*share + 1 of them, and no rhythm of the traffic can send it the
    hard ones. On that the comparison of both rests (`sojourn.slo.evidence`). A refused one counts as well: a service
    that refuses all must not draw all.

    Its numbers of requests tell which service has a request, so that nothing is kept for each.

    Args:
        name: The function's.
        stable: What gets the rest.
        candidate: What gets `share` of the requests.
        share: In [0, 1]; may be set anew at any time.
        chance: Numbers in [0, 1), each as likely as any other.

    Attributes:
        is_closed: Whether the name means something else by now.

    Raises:
        ValueError: The share is out of range.
    """

    __slots__ = ("_chance", "_position", "_turn_at", "arms", "is_closed", "name", "revision", "share")

    def __init__(
        self, name: str, stable: Service, candidate: Service, share: float, chance: Callable[[], float] = random
    ) -> None:
        self.name = name
        self.revision = stable.revision
        self.arms = (stable, candidate)
        self.share = checked_share(share)
        self.is_closed = False
        self._chance = chance
        self._position = 0.0  # in the stretch whose request the candidate gets next
        self._turn_at = chance()

    def submit(
        self, caller: Caller, body: bytes, kind: ContentKind, priority: int, client_timeout_s: float | None
    ) -> int:
        """Hand a request to the one whose turn it is."""
        arm = self._next()
        return 2 * self.arms[arm].submit(caller, body, kind, priority, client_timeout_s) + arm

    def announce(self, caller: Caller, priority: int, client_timeout_s: float | None, body_bytes: int) -> Service:
        """Announce a request to the one whose turn it is, which is also the one to submit it to."""
        arm = self.arms[self._next()]
        arm.announce(caller, priority, client_timeout_s, body_bytes)
        return arm

    def cancel(self, request_number: int) -> None:
        """The client of this request is gone."""
        self.arms[request_number & 1].cancel(request_number >> 1)

    def refused_at_the_door(self, fault: Fault, caller: Caller, message: str) -> None:
        """Count a request that ended before it could be submitted, with the one whose turn it was."""
        self.arms[self._next()].refused_at_the_door(fault, caller, message)

    def _next(self) -> int:
        position = self._position + self.share
        if position > self._turn_at:
            self._position = position - 1.0
            self._turn_at = self._chance()
            return 1
        self._position = position
        return 0


def checked_share(share: float) -> float:
    """A share of the requests.

    Raises:
        ValueError: It is none.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"a share must be in [0, 1], not {share:g}")
    return share

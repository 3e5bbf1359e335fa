"""Keeps the last file descriptors of the process out of clients' hands."""

from __future__ import annotations

import resource
from enum import IntEnum
from typing import Final

_RESERVE_MAX: Final = 128


class Room(IntEnum):
    """How near the process is to its limit of descriptors."""

    PLENTY = 0
    SCARCE = 1  # serve those who are here, tell newcomers
    NONE = 2  # not even time to tell


class Descriptors:
    """Tells from the number of a new descriptor how many are left.

    The kernel hands out the lowest free number, so that a number near the limit means that nearly all
    below it are taken. Clients may not have the last ones: replicas could not be started any more, and
    when none is left at all, the event loop has to close newcomers without a word.

    Args:
        limit: Descriptors the process may have; None asks the kernel.
    """

    __slots__ = ("limit", "reserve")

    def __init__(self, limit: int | None = None) -> None:
        if limit is None:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.limit = limit
        self.reserve = min(_RESERVE_MAX, limit // 4) if limit != resource.RLIM_INFINITY else 0

    def room_after(self, descriptor: int) -> Room:
        """How near the limit a process is whose newest descriptor has this number."""
        if self.limit == resource.RLIM_INFINITY or descriptor < self.limit - self.reserve:
            return Room.PLENTY
        return Room.SCARCE if descriptor < self.limit - self.reserve // 2 else Room.NONE

"""What becomes of a batch on a modelled replica, where it does not simply end well."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Fate(msgspec.Struct, frozen=True):
    """How one batch ends.

    Args:
        duration_s: When it ends, in seconds after it was sent, >= 0.
        dies: Its replica dies then, with all it holds.
        is_lost: No answer ever comes: the replica hangs, or its reply was lost.
    """

    duration_s: float
    dies: bool = False
    is_lost: bool = False


class Fates(Protocol):
    """Who decides what becomes of batches."""

    def of_batch(self, replica_id: int, request_ids: list[int], answered_s: float, now_s: float) -> Fate:
        """The fate of a batch that would be answered after `answered_s` seconds."""

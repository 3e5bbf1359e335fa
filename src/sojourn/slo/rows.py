"""What is kept of counts: rows of minutes and hours, and cells to be drawn."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A minute or an hour of one revision, as it is kept: the whole of it, not what was added.

    Saving a row twice changes nothing, so that nothing is ever counted twice.

    Args:
        revision: Whose requests it counts; or that, and a mark that keeps it apart from rows that could not be read.
        cell_s: 60 or 3600.
        starts_at_s: Its beginning, in seconds since the epoch, a multiple of `cell_s`.
        packed: The counts (`Tally.pack`).
    """

    revision: str
    cell_s: int
    starts_at_s: int
    packed: bytes


class PackedCell(NamedTuple):
    """A stretch of time with what was counted in it (`Tally.pack`).

    `starts_at_s` is in seconds since the epoch, `length_s` in seconds: 10, 60 or 3600.
    """

    starts_at_s: int
    length_s: int
    packed: bytes

"""The journal of one state machine: its last steps, kept in memory, replayable."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

Entry = tuple[float, Any, Sequence[Any]]


class Journal:
    """Keeps the last `capacity` steps as (now_s, event, actions); older ones fall out.

    Events and actions are stored as they are, so callers must not change them afterwards.

    Args:
        capacity: Steps kept, >= 1.

    Raises:
        ValueError: `capacity` is not positive.
    """

    __slots__ = ("_entries", "appended")

    def __init__(self, capacity: int = 1024) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be >= 1 step, not {capacity}")
        self._entries: deque[Entry] = deque(maxlen=capacity)
        self.appended = 0  # steps ever recorded

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def dropped(self) -> int:
        """Steps that fell out; with none the journal can be replayed from the start."""
        return self.appended - len(self._entries)

    def append(self, now_s: float, event: Any, actions: Sequence[Any]) -> None:
        """Record one step."""
        self.appended += 1
        self._entries.append((now_s, event, actions))

    def tail(self, n: int) -> list[Entry]:
        """The last `n` steps, oldest first; fewer if there were fewer."""
        entries = self._entries
        return list(islice(entries, max(0, len(entries) - n), None)) if n > 0 else []

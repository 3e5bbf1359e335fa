"""A bounded-cost ordered queue: priority class, due instant, arrival, id."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from itertools import islice
from math import inf
from operator import itemgetter, lt

from sojourn.domain.request import Priority
from sojourn.policy.batching.port import QueueEntry


class DueQueue:
    """Requests in service order as a sorted list: heads in front, usually appended at the end.

    Arrivals mostly come in order, so that `push` is an append; batches leave from the front in one
    slice. `entries` is public to read: policies look at it.
    """

    __slots__ = ("_count_by_class", "entries")

    def __init__(self) -> None:
        self.entries: list[QueueEntry] = []
        self._count_by_class = [0] * len(Priority)

    def __len__(self) -> int:
        return len(self.entries)

    def push(self, entry: QueueEntry) -> None:
        """Add a request at its place."""
        entries = self.entries
        if not entries or entry > entries[-1]:
            entries.append(entry)
        else:
            insort(entries, entry)
        self._count_by_class[entry[0]] += 1

    def take(self, count: int, skip: int = 0) -> list[QueueEntry]:
        """Remove and return the first `count` entries after `skip` that stay."""
        taken = self.entries[skip : skip + count]
        del self.entries[skip : skip + count]
        for entry in taken:
            self._count_by_class[entry[0]] -= 1
        return taken

    def remove(self, entry: QueueEntry) -> None:
        """Remove one entry, which must be there."""
        at = bisect_left(self.entries, entry)
        if at == len(self.entries) or self.entries[at] != entry:
            raise KeyError(entry)
        del self.entries[at]
        self._count_by_class[entry[0]] -= 1

    def clear(self) -> list[QueueEntry]:
        """Remove and return everything."""
        return self.take(len(self.entries))

    def next_due_at_s(self) -> float:
        """Earliest due instant, or infinity; the head of each priority class is a candidate."""
        entries = self.entries
        if not entries:
            return inf
        earliest = entries[0][1]
        at = 0
        for count in self._count_by_class:
            if count and entries[at][1] < earliest:
                earliest = entries[at][1]
            at += count
        return earliest

    def take_due(self, now_s: float) -> list[QueueEntry]:
        """Remove and return what is due at or before `now_s`."""
        due: list[QueueEntry] = []
        at = 0
        for priority in range(len(self._count_by_class)):
            end = at + self._count_by_class[priority]
            stop = at
            while stop < end and self.entries[stop][1] <= now_s:
                stop += 1
            if stop > at:
                due += self.entries[at:stop]
                del self.entries[at:stop]
                self._count_by_class[priority] -= stop - at
            at += self._count_by_class[priority]
        return due

    def ahead_of(self, priority: int) -> int:
        """How many entries a new one of this class, due last in it, would have before it."""
        entries = self.entries
        if not entries or entries[-1][0] <= priority:
            return len(entries)
        return sum(self._count_by_class[: priority + 1])

    def lowest(self, count: int) -> list[QueueEntry]:
        """At most `count` entries, those of the lowest class first; of a class who is due first."""
        found: list[QueueEntry] = []
        end = len(self.entries)
        for in_class in reversed(self._count_by_class):
            start = end - in_class
            found += self.entries[start : min(start + count - len(found), end)]
            end = start
        return found

    def check(self) -> None:
        """Assert the order and the counts."""
        assert all(map(lt, self.entries, islice(self.entries, 1, None)))
        found = Counter(map(itemgetter(0), self.entries))
        assert all(count == found[priority] for priority, count in enumerate(self._count_by_class))
        assert found.total() == sum(self._count_by_class)

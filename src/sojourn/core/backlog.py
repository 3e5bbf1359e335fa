"""What was admitted and has not been dispatched: the on-time queue and the late lane."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from sojourn.core.queue import DueQueue
from sojourn.domain.request import Place, Request
from sojourn.policy.batching.port import QueueEntry


class Backlog:
    """Requests in flight by id, and those of them that wait.

    Groups are batches made up before, to be run as they are: the halves of a batch that raised, or
    a request that must run alone; they go before all others. The on-time queue is ordered by deadline (by give-up time for a policy that does not heed
    deadlines), the late lane by give-up time. `held_bytes` counts the bodies of all requests in flight,
    waiting or running: the server keeps a body until its request has ended.

    Args:
        heeds_deadlines: Whether the on-time queue is ordered by deadline.
    """

    __slots__ = ("_heeds_deadlines", "groups", "held_bytes", "late", "on_time", "requests")

    def __init__(self, *, heeds_deadlines: bool) -> None:
        self.requests: dict[int, Request] = {}
        self.on_time = DueQueue()
        self.late = DueQueue()
        self.groups: list[list[Request]] = []  # the last one goes first
        self.held_bytes = 0
        self._heeds_deadlines = heeds_deadlines

    @property
    def waiting(self) -> int:
        """Requests not dispatched."""
        waiting = len(self.on_time.entries) + len(self.late.entries)
        return waiting + sum(map(len, self.groups)) if self.groups else waiting

    def arrived_by(self, at_s: float) -> int:
        """How many requests in flight had come by an instant."""
        count = 0
        for request in self.requests.values():  # in the order they came
            if request.arrival_at_s > at_s:
                break
            count += 1
        return count

    def next_due_at_s(self) -> float:
        """When the next one passes its deadline or gives up, or infinity."""
        due_at_s = self.on_time.next_due_at_s() if self.on_time.entries else inf
        if self.groups:
            due_at_s = min(due_at_s, *(request.give_up_at_s for group in self.groups for request in group))
        return min(due_at_s, self.late.next_due_at_s()) if self.late.entries else due_at_s

    def admit(self, request: Request) -> float:
        """Take in a new request; when it is due."""
        self.requests[request.id] = request
        self.held_bytes += request.body_bytes
        due_at_s = request.deadline_at_s if self._heeds_deadlines else request.give_up_at_s
        self.on_time.push((request.priority, due_at_s, request.arrival_at_s, request.id))
        return due_at_s

    def readmit(self, request: Request, now_s: float) -> None:
        """Take back a request whose batch was lost."""
        entry = self._entry(request)
        if entry[1] <= now_s:
            self.set_aside([entry])
        else:
            request.place = Place.QUEUE
            self.on_time.push(entry)

    def add_group(self, requests: list[Request]) -> None:
        """Have these requests run together, by themselves, before all others."""
        for request in requests:
            request.place = Place.GROUP
        self.groups.append(requests)

    def take_group(self, batch_id: int) -> list[Request]:
        """Remove the group that goes next; it becomes a batch."""
        members = self.groups.pop()
        for request in members:
            request.place = Place.BATCH
            request.batch_id = batch_id
        return members

    def set_aside(self, entries: Iterable[QueueEntry]) -> None:
        """Put requests that left the on-time queue into the late lane."""
        for entry in entries:
            request = self.requests[entry[3]]
            request.place = Place.LATE
            self.late.push(self._late_entry(request))

    def take(self, size: int, late: int, batch_id: int, bytes_max: int, skip: int = 0) -> list[Request]:
        """Remove `size` on-time requests after `skip` that stay, and the first `late` late ones, for a batch of at most `bytes_max`.

        Fewer if their bodies are larger than that together, but at least one.
        """
        if self.held_bytes > bytes_max:
            size = self._fitting(self.on_time, size, bytes_max, skip)
            late = 0 if size else self._fitting(self.late, late, bytes_max)
        entries = self.on_time.take(size, skip)
        if late:
            entries += self.late.take(late)
        requests = self.requests
        members = []
        for entry in entries:
            request = requests[entry[3]]
            request.place = Place.BATCH
            request.batch_id = batch_id
            members.append(request)
        return members

    def _fitting(self, queue: DueQueue, size: int, bytes_max: int, skip: int = 0) -> int:
        """How many of the first `size` after `skip` fit into `bytes_max`, at least one if there is any."""
        total = 0
        for count, entry in enumerate(queue.entries[skip : skip + size]):
            total += self.requests[entry[3]].body_bytes
            if total > bytes_max:
                return max(count, 1)
        return size

    def take_overdue(self, now_s: float) -> tuple[list[QueueEntry], list[Request]]:
        """Remove what passed its deadline, and what passed its give-up time from wherever it waits.

        Returns the former, to `set_aside`, and the latter, to `forget`: they are out of all queues.
        """
        overdue, given_up = [], []
        for entry in self.on_time.take_due(now_s):
            request = self.requests[entry[3]]
            if request.give_up_at_s <= now_s:
                given_up.append(request)
            else:
                overdue.append(entry)
        given_up += [self.requests[entry[3]] for entry in self.late.take_due(now_s)]
        if self.groups:
            over = [request for group in self.groups for request in group if request.give_up_at_s <= now_s]
            for request in over:
                self._leave_group(request)
            given_up += over
        return overdue, given_up

    def withdraw(self, request: Request) -> None:
        """Take one request out of the queue it waits in, if it waits."""
        if request.place is Place.QUEUE:
            self.on_time.remove(self._entry(request))
        elif request.place is Place.LATE:
            self.late.remove(self._late_entry(request))
        elif request.place is Place.GROUP:
            self._leave_group(request)

    def _leave_group(self, request: Request) -> None:
        for group in self.groups:
            if request in group:
                group.remove(request)
        self.groups = [group for group in self.groups if group]

    def withdraw_all(self) -> list[Request]:
        """Take all waiting requests out of their queues."""
        grouped = [request for group in self.groups for request in group]
        self.groups.clear()
        return grouped + [self.requests[entry[3]] for entry in self.on_time.clear() + self.late.clear()]

    def forget(self, request: Request) -> None:
        """A request has ended; it is in no queue any more."""
        self.held_bytes -= request.body_bytes
        request.place = Place.ENDED
        del self.requests[request.id]

    def allow_for_cold_start(self) -> None:
        """With the last ready replica gone, what waits may wait as long as a start may take."""
        for queue, key in ((self.on_time, self._entry), (self.late, self._late_entry)):
            for entry in queue.clear():
                request = self.requests[entry[3]]
                request.give_up_at_s = max(request.give_up_at_s, request.cold_give_up_at_s)
                request.is_cold = True
                queue.push(key(request))
        for group in self.groups:
            for request in group:
                request.give_up_at_s = max(request.give_up_at_s, request.cold_give_up_at_s)

    def _entry(self, request: Request) -> QueueEntry:
        due_at_s = request.deadline_at_s if self._heeds_deadlines else request.give_up_at_s
        return (request.priority, due_at_s, request.arrival_at_s, request.id)

    def _late_entry(self, request: Request) -> QueueEntry:
        return (request.priority, request.give_up_at_s, request.arrival_at_s, request.id)

    def check(self, now_s: float) -> None:
        """Assert that queues, places and bytes agree."""
        self.on_time.check()
        self.late.check()
        by_place: dict[Place, set[int]] = {place: set() for place in Place}
        held_bytes = 0
        for request in self.requests.values():
            place = request.place
            by_place[place].add(request.id)
            held_bytes += request.body_bytes
            assert place is Place.BATCH or request.give_up_at_s > now_s, "a request was kept past its give-up time"
        assert self.held_bytes == held_bytes
        for queue, place in ((self.on_time, Place.QUEUE), (self.late, Place.LATE)):
            assert by_place[place] == {entry[3] for entry in queue.entries}
        grouped = [request for group in self.groups for request in group]
        assert all(self.groups), "an empty group"
        assert by_place[Place.GROUP] == {r.id for r in grouped}
        assert len({r.id for r in grouped}) == len(grouped)

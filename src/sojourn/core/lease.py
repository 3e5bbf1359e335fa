"""The replicas leased to one dispatcher and the batches they run."""

from __future__ import annotations

from math import inf

import msgspec

from sojourn.domain.request import Place, Request
from sojourn.estimate.service_time import ServiceTimeModel


class Batch(msgspec.Struct, gc=False):
    """One model call under way. `requests` keeps its order; ended ones stay, to keep positions.

    `cold_clock_s` and `loss_clock_s` are readings of the function's cold clock when it was dispatched.
    """

    id: int
    replica_id: int
    requests: list[Request]
    dispatched_at_s: float
    give_up_at_s: float
    suspect_at_s: float
    waiting: int
    cold_clock_s: float = 0.0
    loss_clock_s: float = 0.0


class Lease(msgspec.Struct):
    """A replica this dispatcher may use: how many batches at once, and what it runs now."""

    replica_id: int
    slots: int
    batches: dict[int, Batch]
    completed: int = 0
    slow_streak: int = 0
    is_revoked: bool = False
    last_done_at_s: float = -inf


class Leases:
    """All leased replicas; knows at once whether one is free."""

    __slots__ = ("by_id", "free_slots", "slots")

    def __init__(self) -> None:
        self.by_id: dict[int, Lease] = {}
        self.slots = 0  # over replicas that take new work
        self.free_slots = 0

    def add(self, replica_id: int, slots: int) -> None:
        """Take a replica in."""
        if replica_id in self.by_id:
            raise KeyError(f"replica {replica_id} is leased already")
        self.by_id[replica_id] = Lease(replica_id, slots, {})
        self.slots += slots
        self.free_slots += slots

    def revoke(self, lease: Lease) -> None:
        """No new work for this replica."""
        if not lease.is_revoked:
            lease.is_revoked = True
            self.slots -= lease.slots
            self.free_slots -= lease.slots - len(lease.batches)

    def remove(self, lease: Lease) -> None:
        """Forget a replica."""
        self.revoke(lease)
        del self.by_id[lease.replica_id]

    def pick(self) -> Lease:
        """The free replica that is not slow, with the fewest batches, then the smallest id; one must be free."""
        if len(self.by_id) == 1:
            return next(iter(self.by_id.values()))
        best: Lease | None = None
        best_key = (0, 0, 0)
        for lease in self.by_id.values():
            busy = len(lease.batches)
            if lease.is_revoked or busy >= lease.slots:
                continue
            key = (min(lease.slow_streak, 1), busy, lease.replica_id)
            if best is None or key < best_key:
                best, best_key = lease, key
        assert best is not None, "pick() without a free replica"
        return best

    def batch_of(self, request: Request) -> Batch:
        """The running batch a request is in."""
        for lease in self.by_id.values():
            batch = lease.batches.get(request.batch_id)
            if batch is not None:
                return batch
        raise KeyError(f"request {request.id} is in no batch")

    @property
    def open(self) -> int:
        """Replicas that take new work."""
        return sum(not lease.is_revoked for lease in self.by_id.values())

    def begin(self, lease: Lease, batch: Batch) -> None:
        """A batch starts on a free replica."""
        lease.batches[batch.id] = batch
        self.free_slots -= 1

    def end(self, lease: Lease, batch_id: int) -> Batch:
        """A batch left its replica."""
        batch = lease.batches.pop(batch_id)
        if not lease.is_revoked:
            self.free_slots += 1
        return batch

    def next_due_at_s(self) -> float:
        """When the next one in a running batch gives up or its replica becomes suspect, or infinity."""
        earliest = inf
        for lease in self.by_id.values():
            for batch in lease.batches.values():
                due_at_s = min(batch.suspect_at_s, batch.give_up_at_s)
                if due_at_s < earliest:  # noqa: PLR1730 - faster than min(), on each step
                    earliest = due_at_s
        return earliest

    def next_free_at_s(self, now_s: float, model: ServiceTimeModel) -> float:
        """When the next replica is expected to take a batch; `now_s` if one is free."""
        if self.free_slots:
            return now_s
        earliest = inf
        for lease in self.by_id.values():
            if not lease.is_revoked:
                for batch in lease.batches.values():
                    done_at_s = batch.dispatched_at_s + model.mean_by_size_s[len(batch.requests)]
                    earliest = min(earliest, done_at_s)
        return max(earliest, now_s)

    def check(self, largest_batch: int) -> set[int]:
        """Assert that the sums agree with the parts; ids of the requests in running batches."""
        open_leases = [lease for lease in self.by_id.values() if not lease.is_revoked]
        assert self.slots == sum(lease.slots for lease in open_leases)
        assert self.free_slots == sum(lease.slots - len(lease.batches) for lease in open_leases)
        assert all(len(lease.batches) <= lease.slots for lease in self.by_id.values())
        ids: set[int] = set()
        for lease in self.by_id.values():
            for batch in lease.batches.values():
                live = {r.id for r in batch.requests if r.place is Place.BATCH and r.batch_id == batch.id}
                assert batch.waiting == len(live)
                assert 1 <= len(batch.requests) <= largest_batch
                assert not live & ids
                ids |= live
        return ids

"""What is counted of a function in a stretch of time, and its compact form for keeping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from sojourn.slo.cause import CAUSES
from sojourn.slo.histogram import LogHistogram
from sojourn.slo.varint import read_varint, write_varint

_FORM: Final = 2  # of the packed bytes; a later form gets another number
_COUNT_MAX: Final = 2**48  # more than ninety days can bring, and sums of them stay exact
_FIELDS: Final = (
    "arrivals", "total", "good", "client_faults", "cancelled", "batches", "batched_items", "replica_ms", "client_timeouts",
)  # fmt: skip
_FIELDS_OF_FORM: Final = {
    1: len(_FIELDS) - 1,
    _FORM: len(_FIELDS),
}  # form 1 has those timeouts among the client's faults


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Exact counts of a window, as plain data.

    Args:
        total: Requests that count against the objective.
        good: Those of them that met it.
        client_faults: Requests that failed by the client's making; not in `total`.
        cancelled: Requests whose client left before the deadline; not in `total`.
        client_timeouts: Requests that expired because their client had asked for less time than the objective; not in
            `total`.
        bad_by_cause: What spent the budget, in the order of `CAUSES`; the sum is `total - good`.
    """

    total: int = 0
    good: int = 0
    client_faults: int = 0
    cancelled: int = 0
    client_timeouts: int = 0
    bad_by_cause: tuple[int, ...] = (0,) * len(CAUSES)

    @property
    def bad(self) -> int:
        """Requests that spent error budget."""
        return self.total - self.good

    @property
    def attainment(self) -> float | None:
        """Share of good requests in [0, 1]; None if none counted."""
        return self.good / self.total if self.total else None


class Tally:
    """Counts of one stretch of time, from `starts_at_s` until before `ends_at_s` (monotonic seconds).

    The hot path adds to the attributes directly. `causes` counts bad requests in the order of `CAUSES`,
    `latency` served ones; `replica_ms` is replica time used, in milliseconds.
    """

    __slots__ = (*_FIELDS, "causes", "ends_at_s", "latency", "starts_at_s")

    def __init__(self, starts_at_s: float = 0.0, ends_at_s: float = 0.0) -> None:
        self.starts_at_s = starts_at_s
        self.ends_at_s = ends_at_s
        self.arrivals = 0
        self.total = 0
        self.good = 0
        self.client_faults = 0
        self.cancelled = 0
        self.batches = 0
        self.batched_items = 0
        self.replica_ms = 0
        self.client_timeouts = 0
        self.causes = [0] * len(CAUSES)
        self.latency = LogHistogram()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was counted."""
        return not (any(getattr(self, name) for name in _FIELDS) or self.latency.count)

    def add(self, other: Tally) -> None:
        """Add all that `other` counted; `other` stays as it is."""
        self.arrivals += other.arrivals
        self.total += other.total
        self.good += other.good
        self.client_faults += other.client_faults
        self.cancelled += other.cancelled
        self.batches += other.batches
        self.batched_items += other.batched_items
        self.replica_ms += other.replica_ms
        self.client_timeouts += other.client_timeouts
        for place, count in enumerate(other.causes):
            self.causes[place] += count
        self.latency.merge(other.latency)

    def counts(self) -> Counts:
        """What concerns the objective, as plain data."""
        return Counts(
            total=self.total,
            good=self.good,
            client_faults=self.client_faults,
            cancelled=self.cancelled,
            client_timeouts=self.client_timeouts,
            bad_by_cause=tuple(self.causes),
        )

    def pack(self) -> bytes:
        """All counts and latencies in a few hundred bytes; not its times."""
        packed = bytearray()
        write_varint(packed, _FORM)
        write_varint(packed, len(self.causes))
        for name in _FIELDS:
            write_varint(packed, getattr(self, name))
        for count in self.causes:
            write_varint(packed, count)
        self.latency.pack_into(packed)
        return bytes(packed)

    def add_packed(self, packed: bytes) -> None:
        """Add what `pack` wrote.

        Raises:
            ValueError: These bytes were not written by `pack`, or by a later form of it.
        """
        form, at = read_varint(packed, 0)
        if form not in _FIELDS_OF_FORM:
            raise ValueError(f"the counts are kept in form {form}; this version reads forms up to {_FORM}")
        fields = _FIELDS_OF_FORM[form]
        causes, at = read_varint(packed, at)
        if causes > len(self.causes):
            raise ValueError(f"{causes} causes are counted; this version knows {len(self.causes)}")
        counts = []
        for _ in range(fields + causes):
            count, at = read_varint(packed, at)
            counts.append(count)
        if max(counts) > _COUNT_MAX:
            raise ValueError(f"a count of {max(counts)} is more than can be")
        latency = LogHistogram()
        latency.add_packed(packed, at)
        # Nothing is added unless all of it can be read.
        for name, count in zip(_FIELDS[:fields], counts, strict=False):
            setattr(self, name, getattr(self, name) + count)
        for place, count in enumerate(counts[fields:]):
            self.causes[place] += count
        self.latency.merge(latency)


def sum_counts(parts: Iterable[Counts]) -> Counts:
    """All of them together."""
    total = Tally()
    for part in parts:
        total.total += part.total
        total.good += part.good
        total.client_faults += part.client_faults
        total.cancelled += part.cancelled
        total.client_timeouts += part.client_timeouts
        for place, count in enumerate(part.bad_by_cause):
            total.causes[place] += count
    return total.counts()


def unpacked(packed: bytes) -> Tally:
    """The tally that `Tally.pack` wrote; its times are 0.

    Raises:
        ValueError: As `Tally.add_packed`.
    """
    tally = Tally()
    tally.add_packed(packed)
    return tally

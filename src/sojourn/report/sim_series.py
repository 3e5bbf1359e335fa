"""What the report of a simulated run is made from: functions, each with its numbers and its course by stretches of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final, Literal

import msgspec

_REQUESTS_PER_STRETCH: Final = 40.0  # fewer would make a p99 of each stretch mere noise
_STRETCHES_MIN: Final = 24


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over one stretch of virtual time; requests count where they arrived.

    Args:
        arrivals: Requests that arrived.
        good: Of these, served within the objective (without one: served).
        late: Of these, served past it.
        lost: Of these, not served.
        latency: Latencies of those served, ascending: (seconds, requests).
        batches: Batches sent.
        items: Requests in them.
        queued_max: Most requests waiting at any report of the queue; None without a report.
        ready: Ready replicas, mean over those reports; None without a report.
        living: Most living replicas: starting, ready or draining.
        starts: Replicas started.
        demand: Replicas the arrivals would keep busy in full batches.
    """

    arrivals: int = 0
    good: int = 0
    late: int = 0
    lost: int = 0
    latency: Sequence[tuple[float, int]] = ()
    batches: int = 0
    items: int = 0
    queued_max: int | None = None
    ready: float | None = None
    living: int = 0
    starts: int = 0
    demand: float = 0.0

    def latency_s(self, share: float) -> float | None:
        """The latency that a share of the served requests does not exceed; None if none was served."""
        rank = max(1, ceil(share * sum(count for _, count in self.latency) - 1e-9))
        seen = 0
        for latency_s, count in self.latency:
            seen += count
            if seen >= rank:
                return latency_s
        return None

    @property
    def batch_size_mean(self) -> float | None:
        """Mean size of the batches; None without one."""
        return self.items / self.batches if self.batches else None


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """A function, or a run, by stretches of equal length from its start.

    Args:
        stretch_s: Length of a stretch, in seconds, > 0.
        stretches: In order; those after the last arrival included.
        duration_s: Length of the arrivals, in seconds, > 0.
        transient_s: What is not counted at their start, in seconds.
    """

    stretch_s: float
    stretches: Sequence[Stretch]
    duration_s: float
    transient_s: float = 0.0

    def readable(self) -> Course:
        """The same in stretches long enough for quantiles of each."""
        course = self
        while len(course.stretches) >= 2 * _STRETCHES_MIN and (
            sum(stretch.arrivals for stretch in course.stretches) < _REQUESTS_PER_STRETCH * len(course.stretches)
        ):
            course = course.coarser()
        return course

    def coarser(self) -> Course:
        """The same in stretches twice as long."""
        pairs = [self.stretches[first : first + 2] for first in range(0, len(self.stretches), 2)]
        return msgspec.structs.replace(
            self, stretch_s=2 * self.stretch_s, stretches=[joined(pair, in_a_row=True) for pair in pairs]
        )


class FunctionReport(msgspec.Struct, frozen=True, kw_only=True):
    """All a report says of one function.

    Args:
        name: The function.
        slo: Its objective's text; None without one.
        objective_s: The objective's latency, in seconds.
        objective: The objective's share, in (0, 1).
        is_met: Whether it was held; None if nothing can be said.
        verdict_text: The verdict in a sentence.
        numbers: Tables of (label, value) rows, side by side.
        row: What the table of functions shows, as long as `FUNCTION_HEADS`.
        course: Its course; None for those that have no section of their own.
        full_batch: The batch `demand` was reckoned with.
        batch_sizes: How many batches there were of each size.
        decisions: The last changes of its replicas: (seconds since the start, what and why).
    """

    name: str
    slo: str | None
    objective_s: float | None
    objective: float | None
    is_met: bool | None
    verdict_text: str
    numbers: Sequence[Sequence[tuple[str, str]]]
    row: Sequence[str]
    course: Course | None = None
    full_batch: int = 1
    batch_sizes: Mapping[int, int] = {}
    decisions: Sequence[tuple[float, str]] = ()


FUNCTION_HEADS: Final = (
    "function",
    "objective",
    "sent",
    "within",
    "p50",
    "p99",
    "goodput/s",
    "mean batch",
    "replicas",
    "replica time",
    "cold starts",
)


class SimReport(msgspec.Struct, frozen=True, kw_only=True):
    """All the report of a simulated run says.

    Args:
        title: Headline.
        subtitle: One line below it: what ran, with which workload.
        verdict: Whether the objective was met, missed, cannot be judged (`void`), or was not asked for.
        verdict_text: The verdict in a sentence.
        remarks: What a reader must know, such as that the run was interrupted.
        numbers: Tables of (label, value) rows of the whole run, side by side.
        setting: Tables of what was simulated.
        functions: Most traffic first.
        total: All functions together, if they are several.
        footer: How it came about.
    """

    title: str
    subtitle: str
    verdict: Literal["met", "missed", "void", "none"]
    verdict_text: str
    remarks: Sequence[str] = ()
    numbers: Sequence[Sequence[tuple[str, str]]]
    setting: Sequence[Sequence[tuple[str, str]]] = ()
    functions: Sequence[FunctionReport]
    total: Course | None = None
    footer: str = ""


def joined(stretches: Sequence[Stretch], *, in_a_row: bool) -> Stretch:
    """Several stretches as one.

    Args:
        stretches: At least one.
        in_a_row: Whether they follow one another; else they are those of several functions at the same time, whose
            replicas and queues add up.
    """
    counts: dict[float, int] = {}
    for stretch in stretches:
        for latency_s, count in stretch.latency:
            counts[latency_s] = counts.get(latency_s, 0) + count
    ready = [stretch.ready for stretch in stretches if stretch.ready is not None]
    queued = [stretch.queued_max for stretch in stretches if stretch.queued_max is not None]
    most = max if in_a_row else sum
    return Stretch(
        arrivals=sum(stretch.arrivals for stretch in stretches),
        good=sum(stretch.good for stretch in stretches),
        late=sum(stretch.late for stretch in stretches),
        lost=sum(stretch.lost for stretch in stretches),
        latency=sorted(counts.items()),
        batches=sum(stretch.batches for stretch in stretches),
        items=sum(stretch.items for stretch in stretches),
        queued_max=most(queued) if queued else None,
        ready=(sum(ready) / len(ready) if in_a_row else sum(ready)) if ready else None,
        living=most(stretch.living for stretch in stretches),
        starts=sum(stretch.starts for stretch in stretches),
        demand=sum(stretch.demand for stretch in stretches) / (len(stretches) if in_a_row else 1),
    )


def _held(course: Course) -> Course:
    """The same with what was not looked at in a stretch taken from the one before."""
    ready: float | None = None
    queued: int | None = None
    stretches = []
    for stretch in course.stretches:
        ready = ready if stretch.ready is None else stretch.ready
        queued = queued if stretch.queued_max is None else stretch.queued_max
        stretches.append(msgspec.structs.replace(stretch, ready=ready, queued_max=queued))
    return msgspec.structs.replace(course, stretches=stretches)


def together(courses: Sequence[Course]) -> Course:
    """The courses of several functions of one run as one, at the longest of their stretches."""
    longest_s = max(course.stretch_s for course in courses)
    same = []
    for one in courses:
        course = one
        while course.stretch_s < longest_s * (1 - 1e-9):  # stretches are only ever doubled
            course = course.coarser()
        same.append(_held(course))
    length = max(len(course.stretches) for course in same)
    columns = [[course.stretches[place] for course in same if place < len(course.stretches)] for place in range(length)]
    return msgspec.structs.replace(same[0], stretches=[joined(column, in_a_row=False) for column in columns])

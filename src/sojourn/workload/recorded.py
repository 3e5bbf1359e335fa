"""What was recorded of one function: the instants of its requests, or how many came in each interval."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal

import msgspec

from sojourn.errors import ConfigurationError
from sojourn.workload.draws import binomial, shared_out

Within = Literal["uniform", "even", "burst"]
WITHIN: tuple[Within, ...] = ("uniform", "even", "burst")
BURST_S = 2.0
COUNT_MAX = 2**32 - 1  # what an array of counts holds


class Instants(msgspec.Struct, frozen=True):
    """When each request came, in seconds from the start of the trace, never decreasing."""

    times_s: array[float]

    @property
    def requests(self) -> int:
        """How many there are."""
        return len(self.times_s)

    def times(
        self,
        rng: Random,  # noqa: ARG002 (as counts are drawn)
        within: Within = "uniform",  # noqa: ARG002 (as above)
        burst_s: float = BURST_S,  # noqa: ARG002 (as above)
    ) -> Iterator[float]:
        """The instants as recorded; there is nothing to draw."""
        return iter(self.times_s)

    def slower(self, stretch: float) -> Instants:
        """The same requests with all time multiplied by `stretch`."""
        return Instants(array("d", (at_s * stretch for at_s in self.times_s)))

    def between(self, start_s: float, end_s: float) -> Instants:
        """Those in [start, end), counted from start."""
        return Instants(array("d", (at_s - start_s for at_s in self.times_s if start_s <= at_s < end_s)))

    def scaled(self, factor: float, rng: Random, spread_s: float) -> Instants:
        """Each request kept with the chance `factor`; above 1, copies of it come up to `spread_s` later."""
        whole, part = divmod(factor, 1.0)
        random, copies = rng.random, int(whole)
        if copies == 0:
            return Instants(array("d", (at_s for at_s in self.times_s if random() < part)))
        end_s = self.times_s[-1] if self.times_s else 0.0
        scaled_s = array("d", self.times_s)
        for at_s in self.times_s:
            for _ in range(copies - 1 + (random() < part)):
                scaled_s.append(min(at_s + random() * spread_s, end_s))
        return Instants(array("d", sorted(scaled_s)))

    def shared(self, shares: Sequence[float], rng: Random) -> list[Instants]:
        """Each request at random into one of several parts, by their shares (which sum to 1)."""
        parts = [array("d") for _ in shares]
        for at_s, chosen in zip(self.times_s, rng.choices(parts, weights=shares, k=len(self.times_s)), strict=True):
            chosen.append(at_s)
        return [Instants(part) for part in parts]

    def binned(self, interval_s: float, intervals: int) -> array[float]:
        """Requests in each of a number of intervals; one at or past the last edge counts in the last."""
        counts = array("d", [0.0]) * intervals
        for at_s in self.times_s:
            counts[min(int(at_s / interval_s), intervals - 1)] += 1
        return counts


class Counts(msgspec.Struct, frozen=True):
    """How many requests came in each interval, one after the other from the start of the trace."""

    counts: array[int]
    interval_s: float

    @property
    def requests(self) -> int:
        """How many there are in all."""
        return sum(self.counts)

    def times(self, rng: Random, within: Within = "uniform", burst_s: float = BURST_S) -> Iterator[float]:
        """Instants drawn for the counts.

        Args:
            rng: Source of chance.
            within: `uniform` places requests as Poisson arrivals would be, given their count; `even` at equal
                distances; `burst` uniformly in the first `burst_s` of the interval, the worst case.
            burst_s: Length of a burst in seconds, > 0.

        Raises:
            ConfigurationError: A value is out of range.
        """
        check_within(within, burst_s)
        if within == "even":
            return self._even()
        return self._drawn(rng, min(burst_s, self.interval_s) if within == "burst" else self.interval_s)

    def slower(self, stretch: float) -> Counts:
        """The same requests with all time multiplied by `stretch`."""
        return Counts(self.counts, self.interval_s * stretch)

    def between(self, start_s: float, end_s: float) -> Counts:
        """The intervals that begin in [start, end)."""
        first = math.ceil(start_s / self.interval_s - 1e-9)
        last = min(math.ceil(min(end_s / self.interval_s, float(len(self.counts))) - 1e-9), len(self.counts))
        return Counts(self.counts[first:last], self.interval_s)

    def scaled(self, factor: float, rng: Random, spread_s: float) -> Counts:  # noqa: ARG002 (as instants are scaled)
        """Each request kept with the chance `factor`, above 1 repeated: a binomial draw for each count."""
        whole, part = divmod(factor, 1.0)
        copies = int(whole)
        if max(self.counts, default=0) * math.ceil(factor) > COUNT_MAX:
            raise ConfigurationError(
                f"a trace scaled by {factor:g} has more than {COUNT_MAX:,} requests in an interval"
            )
        return Counts(
            array("I", (copies * count + binomial(count, part, rng) for count in self.counts)), self.interval_s
        )

    def shared(self, shares: Sequence[float], rng: Random) -> list[Counts]:
        """Each request at random into one of several parts, by their shares (which sum to 1)."""
        parts = [array("I") for _ in shares]
        for count in self.counts:
            for part, number in zip(parts, shared_out(count, shares, rng), strict=True):
                part.append(number)
        return [Counts(part, self.interval_s) for part in parts]

    def binned(self, interval_s: float, intervals: int) -> array[float]:
        """Requests in each of a number of intervals, which recorded ones must not straddle unless they are longer."""
        counts = array("d", [0.0]) * intervals
        ratio = self.interval_s / interval_s
        for number, count in enumerate(self.counts):
            counts[min(int(number * ratio + 1e-9), intervals - 1)] += count
        return counts

    def _even(self) -> Iterator[float]:
        for number, count in enumerate(self.counts):
            start_s, gap_s = number * self.interval_s, self.interval_s / (count or 1)
            for place in range(count):
                yield start_s + (place + 0.5) * gap_s

    def _drawn(self, rng: Random, length_s: float) -> Iterator[float]:
        random = rng.random
        for number, count in enumerate(self.counts):
            if count:
                start_s = number * self.interval_s
                yield from sorted([start_s + random() * length_s for _ in range(count)])


Recorded = Instants | Counts


def check_within(within: str, burst_s: float) -> None:
    """Refuse an unknown way to place requests within an interval, or a burst without length."""
    if within not in WITHIN:
        raise ConfigurationError(f"within must be one of {', '.join(WITHIN)}, not {within!r}")
    if not 0 < burst_s < math.inf:
        raise ConfigurationError(f"a burst must last a number of seconds > 0, not {burst_s!r}")


def superposed(parts: Sequence[Recorded]) -> Recorded:
    """All requests of several recordings as one of the same kind.

    Raises:
        ConfigurationError: Instants and counts, or counts of different intervals, stand side by side.
    """
    first = parts[0]
    if isinstance(first, Instants):
        together = array("d")
        for part in parts:
            if not isinstance(part, Instants):
                raise ConfigurationError("instants and counts per interval cannot be added up; draw instants first")
            together.extend(part.times_s)
        return first if len(parts) == 1 else Instants(array("d", sorted(together)))
    counts = array("I", first.counts)
    for part in parts[1:]:
        if not isinstance(part, Counts) or not math.isclose(part.interval_s, first.interval_s):
            raise ConfigurationError("counts of different intervals cannot be added up; draw instants first")
        counts.extend([0] * (len(part.counts) - len(counts)))
        try:
            for number, count in enumerate(part.counts):
                if count:
                    counts[number] += count
        except OverflowError:
            raise ConfigurationError(f"more than {COUNT_MAX:,} requests in one interval, in sum") from None
    return Counts(counts, first.interval_s)

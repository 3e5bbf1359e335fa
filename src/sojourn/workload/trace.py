"""A recorded workload: requests of one or more functions, to be selected, cut, scaled, split, mixed and replayed."""

from __future__ import annotations

import difflib
import heapq
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from random import Random

import msgspec

from sojourn.errors import ConfigurationError
from sojourn.workload.bounds import fault_unless, refuse_faults
from sojourn.workload.recorded import BURST_S, Counts, Instants, Recorded, Within, check_within, superposed

_NAMES_SHOWN = 8
SCALE_MAX = 1e6


class Trace(msgspec.Struct, frozen=True):
    """What was recorded, by function; operations return another trace and leave this one as it is.

    Args:
        functions: Instants or counts by the function's name, in the order of the file.
        duration_s: Length of the recording in seconds, >= 0; instants from a file count one mean gap after the last.
    """

    functions: Mapping[str, Recorded]
    duration_s: float

    @property
    def requests(self) -> int:
        """Requests of all functions."""
        return sum(recorded.requests for recorded in self.functions.values())

    @property
    def mean_rate_per_s(self) -> float:
        """Requests per second of all functions; infinite if all of several arrive at once."""
        return self.requests / self.duration_s if self.duration_s > 0 else math.inf

    def total(self) -> Recorded:
        """All functions together, as if they were one."""
        return superposed(list(self.functions.values()))

    def times(self, rng: Random, *, within: Within = "uniform", burst_s: float = BURST_S) -> Iterator[float]:
        """Instants of all functions together, in order; `within` as in `Counts.times`."""
        check_within(within, burst_s)
        recorded = list(self.functions.values())
        is_uniform = within != "even" and all(isinstance(one, Counts) for one in recorded)
        if len(recorded) == 1 or (
            is_uniform and len({one.interval_s for one in recorded if isinstance(one, Counts)}) == 1
        ):
            # Drawing for the sum is the same in distribution as merging the functions' draws, and cheaper.
            return superposed(recorded).times(rng, within, burst_s)
        return heapq.merge(*self.by_function(rng, within=within, burst_s=burst_s).values())

    def by_function(
        self, rng: Random, *, within: Within = "uniform", burst_s: float = BURST_S
    ) -> dict[str, Iterator[float]]:
        """Instants of each function; each has chance of its own, so that the order of reading does not matter."""
        check_within(within, burst_s)
        return {
            name: recorded.times(Random(rng.getrandbits(64)), within, burst_s)  # noqa: S311 - arrivals are no secret
            for name, recorded in self.functions.items()
        }

    def select(self, names: Sequence[str]) -> Trace:
        """Some functions only.

        Raises:
            ConfigurationError: A name is not in the trace, or none is given; near matches are shown.
        """
        refuse_faults("trace", [None if names else "select at least one function"])
        refuse_faults(
            "trace", [None if name in self.functions else unknown_function(name, self.functions) for name in names]
        )
        return Trace({name: self.functions[name] for name in names}, self.duration_s)

    def between(self, start_s: float = 0.0, end_s: float | None = None) -> Trace:
        """A slice of time, counted from its start; of counts, the intervals that begin in it.

        Args:
            start_s: Where it begins in seconds, in [0, duration).
            end_s: Where it ends, > start; None or later than the end: at the end of the recording.

        Raises:
            ConfigurationError: A value is out of range, or the slice holds no requests.
        """
        last_s = self.duration_s if end_s is None else min(end_s, self.duration_s)
        refuse_faults(
            "slice of a trace",
            [
                fault_unless(0 <= start_s < self.duration_s, "start", f"in [0, {self.duration_s:g}) s", start_s),
                fault_unless(end_s is None or start_s < end_s, "end", "after the start", end_s),
            ],
        )
        cut = Trace({name: one.between(start_s, last_s) for name, one in self.functions.items()}, last_s - start_s)
        if cut.requests == 0:
            raise ConfigurationError(f"no requests were recorded in [{start_s:g}, {last_s:g}) s of the trace")
        return cut

    def faster(self, speedup: float) -> Trace:
        """Time compressed: ten times faster means a tenth of the length and ten times the rate.

        Args:
            speedup: Factor > 0; below 1 stretches.

        Raises:
            ConfigurationError: It is out of range.
        """
        refuse_faults(
            "trace", [fault_unless(1 / SCALE_MAX <= speedup <= SCALE_MAX, "speedup", "in [1e-6, 1e6]", speedup)]
        )
        if speedup == 1:
            return self
        slower = {name: recorded.slower(1 / speedup) for name, recorded in self.functions.items()}
        return Trace(slower, self.duration_s / speedup)

    def scaled(self, factor: float, rng: Random, *, spread_s: float = 1.0) -> Trace:
        """More or fewer requests over the same time: thinned at random, or repeated.

        Args:
            factor: Mean number of requests in place of each recorded one, in (0, 1e6]. Counts are drawn exactly
                (a whole number of copies and a binomial part); instants are kept or repeated one by one.
            rng: Source of chance.
            spread_s: Copies of a recorded instant come up to this much later, in seconds, >= 0.

        Raises:
            ConfigurationError: A value is out of range, or nothing is left.
        """
        refuse_faults(
            "trace",
            [
                fault_unless(0 < factor <= SCALE_MAX, "the factor of its rate", "in (0, 1e6]", factor),
                fault_unless(0 <= spread_s < math.inf, "spread_s", ">= 0 seconds", spread_s),
            ],
        )
        scaled = Trace(
            {name: recorded.scaled(factor, rng, spread_s) for name, recorded in self.functions.items()}, self.duration_s
        )
        if scaled.requests == 0:
            raise ConfigurationError(f"a trace scaled by {factor:g} has no requests left; take a greater factor")
        return scaled

    def split(self, shares: Sequence[float], rng: Random) -> list[Trace]:
        """Each request at random into one of several traces that add up to this one.

        Args:
            shares: Share of each part, >= 0, summing to 1.
            rng: Source of chance.

        Raises:
            ConfigurationError: They do not.
        """
        is_whole = len(shares) > 0 and all(share >= 0 for share in shares) and abs(sum(shares) - 1) <= 1e-9
        refuse_faults("trace", [fault_unless(is_whole, "shares", "numbers >= 0 that sum to 1", list(shares))])
        parts: list[dict[str, Recorded]] = [{} for _ in shares]
        for name, recorded in self.functions.items():
            pieces: Sequence[Recorded] = recorded.shared(shares, rng)
            for part, piece in zip(parts, pieces, strict=True):
                part[name] = piece
        return [Trace(part, self.duration_s) for part in parts]


def unknown_function(name: str, known: Collection[str]) -> str:
    """The fault of a name that a trace does not have: near matches, else the first few that it has."""
    near = difflib.get_close_matches(name, known, n=3) or list(known)[:_NAMES_SHOWN]
    more = ", ..." if len(near) < len(known) else ""
    return f"it has no function {name!r}; among its {len(known)} are {', '.join(near)}{more}"


def mixed(traces: Sequence[Trace]) -> Trace:
    """Several traces played at once; functions of the same name become one.

    Raises:
        ConfigurationError: None is given, or functions of one name were recorded in different ways.
    """
    refuse_faults("mix of traces", [None if traces else "give at least one trace"])
    by_name: dict[str, list[Recorded]] = {}
    for trace in traces:
        for name, recorded in trace.functions.items():
            by_name.setdefault(name, []).append(recorded)
    together = {}
    for name, parts in by_name.items():
        try:
            together[name] = superposed(parts)
        except ConfigurationError as err:
            raise ConfigurationError(f"function {name!r} of several traces: {err}") from err
    return Trace(together, max(trace.duration_s for trace in traces))


def trace_of_instants(times_s: Mapping[str, Instants]) -> Trace:
    """A trace whose length is the time of the last request and one mean gap more, so that its mean rate is true."""
    last_s = max((one.times_s[-1] for one in times_s.values() if one.requests), default=0.0)
    first_s = min((one.times_s[0] for one in times_s.values() if one.requests), default=0.0)
    count = sum(one.requests for one in times_s.values())
    return Trace(times_s, last_s + (last_s - first_s) / (count - 1) if count > 1 else last_s)

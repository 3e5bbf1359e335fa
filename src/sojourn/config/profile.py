"""A function's measured behaviour as plain data: what `sojourn profile` writes and simulate, compare and plan read.

Everything is in seconds, bytes or shares. Nothing in it names a host, a user or a path.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Final

import msgspec

from sojourn.domain.function import MAX_BATCH_SIZE, NAME
from sojourn.domain.objective import SLO, parse_slo
from sojourn.errors import ConfigurationError, ObjectiveError
from sojourn.estimate.service_time import monotone

PROFILE_VERSION: Final = 1
QUANTILES: Final = 101  # of a ratio: its shares 0.00, 0.01, ... 1.00

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
Size = Annotated[int, msgspec.Meta(ge=1, le=MAX_BATCH_SIZE)]


class BatchTimes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What model calls of one batch size took.

    Args:
        size: Items in each batch, in [1, 4096].
        concurrency: Batches that one replica ran at the same time, >= 1; more than one only for `async` functions.
        samples: Batches measured, >= 1.
        mean_s: Mean time of the model call, in seconds, > 0.
        p50_s: Its median, in seconds.
        p95_s: Its 95th percentile, in seconds; of fewer than 20 samples their maximum.
        p99_s: Its 99th percentile, in seconds; of fewer than 100 samples their maximum.
        relative_error: Standard error of the mean over the mean, >= 0; 0 if there is only one sample.

    Raises:
        ConfigurationError: The percentiles are not in order.
    """

    size: Size
    concurrency: Count = 1
    samples: Count
    mean_s: Positive
    p50_s: Positive
    p95_s: Positive
    p99_s: Positive
    relative_error: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    def __post_init__(self) -> None:
        if not self.p50_s <= self.p95_s <= self.p99_s:
            raise ConfigurationError(
                f"p50_s <= p95_s <= p99_s must hold, not {self.p50_s:g}, {self.p95_s:g}, {self.p99_s:g}"
            )


class ThreadProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one replica behaves with a given number of BLAS and OpenMP threads.

    A batch of `b` occupies a replica for `alpha_s * b + beta_s` (the model call) times a ratio drawn from
    `ratio_quantiles`, plus `overhead_s + (overhead_per_item_s + decode_per_item_s + encode_per_item_s) * b`.

    Args:
        threads: Threads of the BLAS and OpenMP pools, >= 1.
        alpha_s: Time of the model call per item, in seconds, >= 0; 0 if only one size was measured.
        beta_s: Time of the model call per batch, in seconds, >= 0.
        r2: Share of the variance between batch sizes that the line explains, <= 1; None if only one was measured.
        misfit: Largest relative distance of a size's mean from the line, >= 0.
        sigma: Standard deviation of the logarithm of measured over fitted time, >= 0; each size counts the same.
        sigma_within: The same around each size's own mean: noise alone, without what the line does not fit.
        ratio_quantiles: Quantiles of measured over fitted time at the shares 0.00, 0.01, ... 1.00, in order.
        autocorrelation: Of the noise from batch to batch, in the order they were run, at lags 1, 2, ...; each in [-1, 1].
        drift: Relative change of the time from the first to the last sample along a straight line, > -1.
        duration_s: How long the measuring of this thread count took, in seconds.
        overhead_s: Per batch: transport to the replica and back, and what coding takes whatever the size, in seconds.
        overhead_per_item_s: Transport per item, in seconds.
        decode_per_item_s: Decoding and validating one item, in seconds.
        encode_per_item_s: Encoding one result, in seconds.
        memory_bytes: Memory of the replica after the measuring, pages shared with others counted in part (PSS), in
            bytes; None if unknown.
        sizes: What was measured, in order of size and then concurrency; the line is fitted to those of concurrency 1.

    Raises:
        ConfigurationError: All that does not fit together, in one message.
    """

    threads: Count
    alpha_s: Seconds
    beta_s: Seconds
    r2: Annotated[float, msgspec.Meta(le=1)] | None = None
    misfit: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    sigma: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    sigma_within: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    ratio_quantiles: list[Positive]
    autocorrelation: list[Annotated[float, msgspec.Meta(ge=-1, le=1)]] = []
    drift: Annotated[float, msgspec.Meta(gt=-1)] = 0.0
    duration_s: Seconds = 0.0
    overhead_s: Seconds = 0.0
    overhead_per_item_s: Seconds = 0.0
    decode_per_item_s: Seconds = 0.0
    encode_per_item_s: Seconds = 0.0
    memory_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    sizes: list[BatchTimes]

    def __post_init__(self) -> None:
        faults = []
        if self.alpha_s + self.beta_s <= 0:
            faults.append("alpha_s and beta_s must not both be 0")
        if len(self.ratio_quantiles) != QUANTILES:
            faults.append(f"ratio_quantiles must be {QUANTILES} numbers, not {len(self.ratio_quantiles)}")
        if any(before > after for before, after in pairwise(self.ratio_quantiles)):
            faults.append("ratio_quantiles must be in ascending order")
        rows = [(row.size, row.concurrency) for row in self.sizes]
        if any(before >= after for before, after in pairwise(rows)):
            faults.append("sizes must be in ascending order of size and concurrency, each once")
        if not any(row.concurrency == 1 for row in self.sizes):
            faults.append("sizes must have a row of concurrency 1")
        if faults:
            raise ConfigurationError("; ".join(faults))

    @property
    def line_sizes(self) -> list[BatchTimes]:
        """The rows measured one batch at a time, in order of size."""
        return [row for row in self.sizes if row.concurrency == 1]

    def fitted_s(self, size: int) -> float:
        """Time the line gives the model call of a batch of `size` [s]."""
        return self.alpha_s * size + self.beta_s

    def around_call_s(self, size: int) -> float:
        """Time a batch of `size` occupies its replica besides the model call: transport and coding [s]."""
        per_item_s = self.overhead_per_item_s + self.decode_per_item_s + self.encode_per_item_s
        return self.overhead_s + per_item_s * size

    def mean_by_size_s(self, largest: int) -> list[float]:
        """Mean time a batch occupies its replica, by size up to `largest`; monotone, index 0 unused [s]."""
        return self._by_size_s(lambda row: row.mean_s, largest)

    def p95_by_size_s(self, largest: int) -> list[float]:
        """The p95 of that time, as `sojourn.estimate.capacity` takes it; monotone, index 0 unused [s]."""
        return self._by_size_s(lambda row: row.p95_s, largest)

    def _by_size_s(self, value: Callable[[BatchTimes], float], largest: int) -> list[float]:
        rows = self.line_sizes
        steady_s = monotone([value(row) for row in rows], [float(row.samples) for row in rows])
        sizes = [row.size for row in rows]
        ratio = steady_s[-1] / self.fitted_s(sizes[-1])
        curve_s = [0.0]
        for size in range(1, largest + 1):
            call_s = _interpolated(sizes, steady_s, size)
            if size > sizes[-1]:  # along the line, as far above it as the largest one measured
                call_s = max(self.fitted_s(size) * ratio, steady_s[-1])
            curve_s.append(call_s + self.around_call_s(size))
        return curve_s


class StartPhases(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One cold start by its phases, in seconds.

    Args:
        spawn_s: To start or fork the process and to dial in: what the other phases leave of the whole.
        import_s: To import the code; of a forked start what it had to wait for it, most often 0.
        load_s: To load the model; as above with `share="fork"`.
        warmup_s: To warm it up; as above with `share="fork"`.
    """

    spawn_s: Seconds
    import_s: Seconds = 0.0
    load_s: Seconds = 0.0
    warmup_s: Seconds = 0.0

    @property
    def total_s(self) -> float:
        """From the decision to start until ready [s]."""
        return self.spawn_s + self.import_s + self.load_s + self.warmup_s


class ColdStarts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cold starts, one entry each; the files read are in the page cache already.

    Args:
        first: The first replica of a revision on a machine: it pays for the import.
        further: Those that come while the first one lives.
        are_further_forked: Whether these were forked from a process that has imported the code; else each is a plain
            process that imports it again.
    """

    first: list[StartPhases] = []
    further: list[StartPhases] = []
    are_further_forked: bool = False


class Lateness(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much later than asked for timers of an event loop fire on this machine, in seconds."""

    p50_s: Seconds
    p95_s: Seconds
    p99_s: Seconds
    max_s: Seconds


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it was measured; nothing that names the host or its user.

    Args:
        cores: Cores the measured replicas could use, > 0.
        processor: Model of the processor; empty if unknown.
        python_version: Such as `3.11.9`.
        timer_lateness: How late timers fire, measured before everything else; None if it was not measured.
    """

    cores: Positive
    processor: str = ""
    python_version: str = ""
    timer_lateness: Lateness | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that was measured of one revision of a function.

    Args:
        version: Of this format.
        name: The function.
        revision: Its content hash when it was measured.
        is_partial: Whether the measuring was interrupted.
        seed: Of the order in which sizes were measured.
        slo: Its objective, such as `"99% < 100ms"`; None without one.
        max_batch_size: Most items one call takes: 1 for functions that take no lists.
        slots: Batches one replica runs at once: more than 1 only for `async` functions.
        thread_count: Threads the function itself asks for.
        machine: Where it was measured.
        by_threads: What was measured, in ascending order of thread counts; at least one.
        cold_starts: How long replicas took to be ready.
        traffic_batches: Batches of a server under traffic that transport (`overhead_s`, `overhead_per_item_s`) is told from;
            0: it was measured where nobody else's requests were.

    Raises:
        ConfigurationError: All that does not fit together, in one message.
    """

    version: int = PROFILE_VERSION
    name: str
    revision: str
    is_partial: bool = False
    seed: int = 1
    slo: str | None = None
    max_batch_size: Size
    slots: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    thread_count: Count = 1
    machine: Machine
    by_threads: list[ThreadProfile]
    cold_starts: ColdStarts = ColdStarts()
    traffic_batches: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise ConfigurationError("; ".join(faults))

    def _faults(self) -> Iterator[str]:
        if self.version != PROFILE_VERSION:
            yield f"version must be {PROFILE_VERSION}, not {self.version}: measure again with this version of Sojourn"
        if NAME.fullmatch(self.name) is None:
            yield f"name must be that of a function, not {self.name!r}"
        if self.slo is not None:
            try:
                parse_slo(self.slo)
            except ObjectiveError as error:
                yield " ".join(str(error).split())
        counts = [one.threads for one in self.by_threads]
        if not counts:
            yield "by_threads must have at least one entry"
        if any(before >= after for before, after in pairwise(counts)):
            yield f"by_threads must be in ascending order of threads, each once, not {counts}"
        for one in self.by_threads:
            if (largest := max((row.size for row in one.sizes), default=0)) > self.max_batch_size:
                yield f"by_threads: a batch of {largest} is larger than max_batch_size {self.max_batch_size}"

    @property
    def objective(self) -> SLO | None:
        """The objective as data."""
        return parse_slo(self.slo) if self.slo is not None else None

    def at_threads(self, threads: int | None = None) -> ThreadProfile:
        """What was measured with this many threads.

        Args:
            threads: None takes the function's own number, or the first one measured if that was not.

        Raises:
            ConfigurationError: It was not measured; the message names those that were.
        """
        wanted = self.thread_count if threads is None else threads
        for one in self.by_threads:
            if one.threads == wanted:
                return one
        if threads is None:
            return self.by_threads[0]
        known = ", ".join(str(one.threads) for one in self.by_threads)
        raise ConfigurationError(
            f"the profile of {self.name!r} has nothing for {threads} threads, only for {known}; "
            f"measure it: sojourn profile ... --threads {threads}"
        )


def _interpolated(sizes: Sequence[int], values: Sequence[float], size: int) -> float:
    """The value at `size` on straight lines between those measured; the nearest one's outside."""
    at = bisect_left(sizes, size)
    if at == len(sizes):
        return values[-1]
    if at == 0 or sizes[at] == size:
        return values[at]
    share = (size - sizes[at - 1]) / (sizes[at] - sizes[at - 1])
    return values[at - 1] + share * (values[at] - values[at - 1])

"""A whole calibration: every thread count in turn, then cold starts; whatever was measured when it ends is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from time import monotonic
from typing import Final, NamedTuple

import msgspec

from sojourn.calibrate.bench import BenchReplica, ReplicaBench
from sojourn.calibrate.items import Items
from sojourn.calibrate.machine import machine_facts, timer_lateness
from sojourn.calibrate.sample import BatchSample, Cell, cells_of
from sojourn.calibrate.schedule import Schedule
from sojourn.calibrate.summary import summarized
from sojourn.calibrate.traffic import TrafficTransport
from sojourn.config.profile import ColdStarts, Lateness, Profile, StartPhases, ThreadProfile
from sojourn.domain.function import FunctionManifest
from sojourn.errors import MeasurementError
from sojourn.telemetry.log import EventLog

_LEFT_OUT: Final = 2  # batches after a load, which may still be slower
BATCH_WITHIN_S: Final = 60.0  # or the whole budget, if that is more


class Progress(NamedTuple):
    """How far a calibration has come: what it does now, how much of that is done in [0, 1], and a remark."""

    stage: str
    share: float
    remark: str = ""


class CampaignOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure.

    Args:
        threads: Counts of BLAS and OpenMP threads, each >= 1; empty for the function's own.
        budget_s: Time for measuring batches, over all thread counts, in seconds, > 0. Loading comes on top.
        starts: Cold starts measured of each kind, >= 0.
        seed: Of the order of sizes.
        traffic: Transport on a server under traffic, to be told instead of the bench's; None if there is no journal.
    """

    threads: tuple[int, ...] = ()
    budget_s: float = 30.0
    starts: int = 3
    seed: int = 1
    traffic: TrafficTransport | None = None


class Campaign:
    """Construct, `await run()`, then take `profile()`; also if `run` was cancelled, of what there was until then.

    Args:
        manifest: The function.
        items: What batches are made of.
        options: What to measure.
        on_progress: Called often with how far it is; must be quick.
        event_log: Told why a function cannot be forked; None for nobody.
    """

    def __init__(
        self,
        manifest: FunctionManifest,
        items: Items,
        options: CampaignOptions,
        on_progress: Callable[[Progress], None],
        event_log: EventLog | None = None,
    ) -> None:
        self._manifest = manifest
        self._items = items
        self._options = options
        self._tell = on_progress
        self._event_log = event_log
        self._rng = Random(options.seed)  # noqa: S311 - an order, no secret
        self._thread_counts = sorted(set(options.threads)) or [manifest.settings.thread_count]
        self._lateness: Lateness | None = None
        self._by_threads: list[ThreadProfile] = []
        self._first: list[StartPhases] = []
        self._further: list[StartPhases] = []
        self._forked = 0  # of the further ones
        self._samples: list[BatchSample] = []  # of the thread count being measured
        self._begun_at_s = 0.0
        self._is_complete = False
        self.left_out: dict[int, list[Cell]] = {}  # by threads: what the budget did not allow

    async def run(self) -> None:
        """Measure; leaves no process behind, however it ends.

        Raises:
            MeasurementError: A replica cannot be started, fails on an item, ends, or takes too long.
        """
        self._tell(Progress("timers", 0.0))
        self._lateness = await timer_lateness()
        self._tell(Progress("timers", 1.0))
        async with ReplicaBench(self._event_log) as bench:
            for threads in self._thread_counts:
                await self._measure_threads(bench, threads)
        for number in range(self._options.starts):
            await self._measure_starts(number)
        self._is_complete = True

    def profile(self) -> Profile:
        """All that was measured.

        Raises:
            MeasurementError: Not a single batch was.
        """
        by_threads = list(self._by_threads)
        if any(sample.cell.concurrency == 1 for sample in self._samples):
            by_threads.append(self._summary(self._thread_counts[len(by_threads)], None))
        if not by_threads:
            raise MeasurementError("interrupted before a single batch was measured; nothing is kept")
        settings = self._manifest.settings
        return Profile(
            name=self._manifest.name,
            revision=self._manifest.revision,
            is_partial=not self._is_complete,
            seed=self._options.seed,
            slo=str(settings.slo) if settings.slo is not None else None,
            max_batch_size=settings.largest_batch,
            slots=self._manifest.slots,
            thread_count=settings.thread_count,
            machine=machine_facts(self._lateness),
            traffic_batches=self._options.traffic.batches if self._options.traffic is not None else 0,
            by_threads=by_threads,
            cold_starts=ColdStarts(
                first=self._first,
                further=self._further,
                are_further_forked=2 * self._forked > len(self._further),
            ),
        )

    async def _measure_threads(self, bench: ReplicaBench, threads: int) -> None:
        stage = f"batches, {threads} thread{'s' if threads > 1 else ''}"
        self._tell(Progress(stage, 0.0, "starting a replica"))
        replica = await bench.start(_with_threads(self._manifest, threads))
        budget_s = self._options.budget_s / len(self._thread_counts)
        self._begun_at_s = monotonic()
        try:
            schedule = Schedule(cells_of(self._manifest), budget_s, self._rng)
            await self._measure(replica, schedule, stage)
        except MeasurementError as error:
            raise await bench.told(replica, error) from error
        memory_bytes = await bench.memory_bytes(replica)
        self._by_threads.append(self._summary(threads, memory_bytes))
        self._samples = []
        if schedule.left_out:
            self.left_out[threads] = schedule.left_out
        await bench.stop(replica)
        self._tell(Progress(stage, 1.0))

    async def _measure(self, replica: BenchReplica, schedule: Schedule, stage: str) -> None:
        for _ in range(_LEFT_OUT):
            await self._batch(replica, Cell(1))
        while (cell := schedule.survey()) is not None:
            begun_at_s = monotonic()
            await self._batch(replica, cell)
            schedule.surveyed(cell, monotonic() - begun_at_s)
        while (cell := schedule.next()) is not None:
            begun_at_s = monotonic()
            samples = await self._batch(replica, cell)
            schedule.observe(cell, [sample.service_s for sample in samples], monotonic() - begun_at_s)
            self._samples += samples
            self._tell(Progress(stage, schedule.done_share, f"{len(self._samples):,} measured"))

    async def _batch(self, replica: BenchReplica, cell: Cell) -> Sequence[BatchSample]:
        return await replica.run(cell, self._items, max(self._options.budget_s, BATCH_WITHIN_S))

    async def _measure_starts(self, number: int) -> None:
        """A first start, and a further one beside it, under a launcher that knows of no other."""
        stage, starts = "cold starts", self._options.starts
        self._tell(Progress(stage, number / starts, "first"))
        async with ReplicaBench() as bench:
            first = await bench.start(self._manifest)
            self._first.append(first.phases)
            self._tell(Progress(stage, (number + 0.5) / starts, "further"))
            second = await bench.start(self._manifest)
            self._further.append(second.phases)
            self._forked += second.is_forked
            await bench.stop(second)
            await bench.stop(first)
        self._tell(Progress(stage, (number + 1) / starts))

    def _summary(self, threads: int, memory_bytes: int | None) -> ThreadProfile:
        duration_s = monotonic() - self._begun_at_s
        return summarized(
            self._samples,
            threads=threads,
            duration_s=duration_s,
            memory_bytes=memory_bytes,
            traffic=self._options.traffic,
        )


def _with_threads(manifest: FunctionManifest, threads: int) -> FunctionManifest:
    """The same with this many threads, told in so many words so that no variable of the environment rules them."""
    settings = msgspec.structs.replace(manifest.settings, threads=threads)
    return msgspec.structs.replace(manifest, settings=settings)

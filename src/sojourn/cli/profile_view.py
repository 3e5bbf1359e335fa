"""A profile for people: bars while it is measured, tables and sentences afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from types import TracebackType
from typing import Final, NamedTuple, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from sojourn.calibrate.campaign import Progress as Share
from sojourn.calibrate.sample import Cell
from sojourn.cli.function_table import output_console
from sojourn.config.profile import BatchTimes, ColdStarts, Profile, StartPhases, ThreadProfile
from sojourn.domain.objective import SLO
from sojourn.domain.wording import counted
from sojourn.estimate.capacity import capacity_per_s, largest_useful_batch
from sojourn.report.axis import duration_text, number_text, share_text

_MISFIT_SHOWN: Final = 0.10
_DRIFT_SHOWN: Final = 0.10
_UNSURE_SHOWN: Final = 0.05
_REPLICAS_SHOWN: Final = (1, 2, 4)
_PHASES: Final = ("spawn", "import", "load", "warmup", "total")
_BYTES_PER_MIB: Final = 2**20
_WIDE: Final = 100


class ProgressBars:
    """One bar per stage of a calibration, on standard error; silent where that is no terminal. A context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[remark]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._stages: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, progress: Share) -> None:
        """How far a stage has come."""
        task = self._stages.get(progress.stage)
        if task is None:
            task = self._stages[progress.stage] = self._bars.add_task(progress.stage, total=1.0, remark="")
        self._bars.update(task, completed=progress.share, remark=progress.remark)


def print_profile(profile: Profile) -> None:
    """Print all of it on standard output."""
    console = output_console()
    objective = f"objective {profile.slo}" if profile.slo else "no objective"
    machine = profile.machine
    for line in (
        f"{profile.name}, revision {profile.revision}, {objective}",
        f"{number_text(machine.cores)} cores, {machine.processor or 'processor unknown'}, Python {machine.python_version}",
    ):
        console.print(line, highlight=False, markup=False)
    for one in profile.by_threads:
        console.print()
        console.print(_heading(one), highlight=False, markup=False, style="bold")
        console.print(_size_table(one, profile, console.width))
        for line in thread_lines(one, profile.objective):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if profile.traffic_batches:
        text = f"transport is that of a server under traffic, told by {counted(profile.traffic_batches, 'batch', 'batches')}"
        console.print(f"\n{text}", highlight=False, markup=False)
    if profile.cold_starts.first:
        console.print()
        console.print("cold starts", style="bold")
        console.print(_start_table(profile.cold_starts))
    if (late := machine.timer_lateness) is not None:
        text = f"timers fire late by {duration_text(late.p50_s)} (p50), {duration_text(late.p99_s)} (p99)"
        console.print(f"\n{text}", highlight=False, markup=False)


def _heading(one: ThreadProfile) -> str:
    heading = f"{one.threads} thread{'s' if one.threads > 1 else ''}"
    if one.memory_bytes is not None:
        heading += f", {one.memory_bytes / _BYTES_PER_MIB:.4g} MiB"
    return heading


def _size_table(one: ThreadProfile, profile: Profile, width: int) -> Table:
    """What each size took; throughput is that of a replica that is never idle, all its time counted."""
    shown = [column for column in _COLUMNS if width >= column.from_width]
    if profile.slots == 1:
        shown.remove(_AT_ONCE)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in shown:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for row in one.sizes:
        table.add_row(*(column.cell(one, row) for column in shown))
    return table


def _per_item_s(one: ThreadProfile, row: BatchTimes) -> float:
    """Time of a replica that is never idle, per item."""
    return (row.mean_s + one.around_call_s(row.size)) / (row.size * row.concurrency)


def _off(one: ThreadProfile, row: BatchTimes) -> str:
    return f"{(row.mean_s / one.fitted_s(row.size) - 1) * 100:+.1f} %" if row.concurrency == 1 else ""


class _Column(NamedTuple):
    """A column: its heading, its text for a row, and the least width of a terminal that has room for it, in characters."""

    heading: str
    cell: Callable[[ThreadProfile, BatchTimes], str]
    from_width: int = 0


_AT_ONCE: Final = _Column("at once", lambda _, row: str(row.concurrency))
_COLUMNS: Final = (
    _Column("batch", lambda _, row: str(row.size)),
    _AT_ONCE,
    _Column("samples", lambda _, row: f"{row.samples:,}"),
    _Column("mean", lambda _, row: duration_text(row.mean_s)),
    _Column("p50", lambda _, row: duration_text(row.p50_s), _WIDE),
    _Column("p95", lambda _, row: duration_text(row.p95_s)),
    _Column("p99", lambda _, row: duration_text(row.p99_s), _WIDE),
    _Column("per item", lambda one, row: duration_text(_per_item_s(one, row))),
    _Column("items/s", lambda one, row: number_text(1 / _per_item_s(one, row))),
    _Column("off line", _off),
)


def thread_lines(one: ThreadProfile, objective: SLO | None) -> Iterator[str]:
    """What follows from the measurements, one sentence a line."""
    if one.r2 is None:
        yield f"time: {duration_text(one.beta_s)} per batch; other sizes were not measured"
    else:
        yield (
            f"line: {duration_text(one.beta_s)} per batch + {duration_text(one.alpha_s)} per item "
            f"(r2 {one.r2:.4f}; no size is further off than {one.misfit * 100:.2g} %)"
        )
    ratios = one.ratio_quantiles
    lag = f", correlation of a batch with the next {one.autocorrelation[0]:+.2f}" if one.autocorrelation else ""
    yield (
        f"jitter: sigma {one.sigma:.2g}, measured over fitted p50 {ratios[50]:.3g}, p95 {ratios[95]:.3g}, "
        f"p99 {ratios[99]:.3g}{lag}, drift {one.drift * 100:+.1f} %"
    )
    around = f"around a call: {duration_text(one.overhead_s)} per batch"
    if one.r2 is not None:
        per_item = (one.overhead_per_item_s, one.decode_per_item_s, one.encode_per_item_s)
        transport, decode, encode = (duration_text(value_s) for value_s in per_item)
        around += f"; per item transport {transport}, decoding {decode}, encoding {encode}"
    yield around
    if objective is not None:
        yield from allowed_lines(one, objective)


def allowed_lines(one: ThreadProfile, objective: SLO) -> Iterator[str]:
    """What batch sizes an objective allows, as the server's own rule has it."""
    largest = one.line_sizes[-1].size
    p95_s, mean_s = one.p95_by_size_s(largest), one.mean_by_size_s(largest)
    if p95_s[1] > objective.latency_s:
        yield (
            f"objective {objective}: cannot be met, one item alone takes {duration_text(p95_s[1])} (p95): relax the "
            "objective, or make a call faster"
        )
        return
    found = []
    for replicas in _REPLICAS_SHOWN:
        size = largest_useful_batch(p95_s, objective.latency_s, replicas, largest)
        rate_per_s = capacity_per_s(mean_s, size, replicas)
        found.append(f"{size} with {replicas} replica{'s' if replicas > 1 else ''} ({number_text(rate_per_s)}/s)")
    yield f"objective {objective} allows batches of up to {', '.join(found)}; the rates are those of the calls alone"


def _start_table(starts: ColdStarts) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("median of")
    for phase in _PHASES:
        table.add_column(phase, justify="right", no_wrap=True)
    further = "forked" if starts.are_further_forked else "further (not forked)"
    for kind, rows in (("first", starts.first), (further, starts.further)):
        if rows:
            table.add_row(f"{len(rows)} {kind}", *(duration_text(_median(rows, phase)) for phase in _PHASES))
    return table


def _median(rows: Sequence[StartPhases], phase: str) -> float:
    return float(median(getattr(row, f"{phase}_s") for row in rows))


def remarks_on(profile: Profile, left_out: Mapping[int, Sequence[Cell]]) -> list[str]:
    """What a reader of the numbers ought to know before believing them."""
    found = []
    for one in profile.by_threads:
        at = f"with {one.threads} thread{'s' if one.threads > 1 else ''}"
        if cells := left_out.get(one.threads):
            sizes = ", ".join(_batch_text(cell.size, cell.concurrency) for cell in cells)
            found.append(f"{at} the budget did not allow batches of {sizes}: a larger --budget does")
        if one.threads > profile.machine.cores:
            found.append(f"{at}: there are only {number_text(profile.machine.cores)} cores")
        if one.misfit > _MISFIT_SHOWN:
            found.append(
                f"{at} a size is {share_text(one.misfit)} off the line: the times by size say more than the line does"
            )
        if abs(one.drift) > _DRIFT_SHOWN:
            found.append(
                f"{at} times changed by {one.drift * 100:+.0f} % from beginning to end: is the machine busy, or does it throttle?"
            )
        unsure = [
            _batch_text(row.size, row.concurrency)
            for row in one.sizes
            if row.relative_error > _UNSURE_SHOWN or row.samples == 1
        ]
        if unsure:
            found.append(
                f"{at} the means of batches of {', '.join(unsure)} are known to 5 % at best: allow a larger --budget"
            )
    return found


def _batch_text(size: int, concurrency: int) -> str:
    return str(size) if concurrency == 1 else f"{size} ({concurrency} at once)"

"""Options of the commands that run many simulations: those of one run, with lists where several are tried."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Final, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sojourn.cli.options import report_file
from sojourn.cli.simulate_estimate import ASK_BEYOND_S, estimate, long_text
from sojourn.cli.simulate_options import scenario_options
from sojourn.errors import SojournError
from sojourn.sim.scenario import Scenario

SEEDS_MAX: Final = 1000
JOBS_MAX: Final = 256
SPEED_PER_S: Final = 40_000.0  # simulated requests per second where it was not worth measuring
_PIPE_COLUMNS: Final = 180
_PARAMETER: Final = re.compile(r"\s*[A-Za-z_]+\s*=")

_STUDY: Final = (
    click.option(
        "--seeds",
        type=click.IntRange(1, SEEDS_MAX),
        default=5,
        show_default=True,
        metavar="N",
        help="Runs of each case.",
    ),
    click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="The first of the seeds."),
    click.option(
        "--jobs",
        type=click.IntRange(1, JOBS_MAX),
        default=lambda: len(os.sched_getaffinity(0)),
        metavar="N",
        help="Processes that run at once [one per core].",
    ),
    click.option("--json", "as_json_", is_flag=True, help="Print the result as JSON."),
    click.option("--html", type=report_file, metavar="FILE", help="Write a report with plots."),
    click.option("--yes", is_flag=True, help="Do not ask, however long it will take."),
)


def study_options(
    *own: Callable[..., Any], replaced: Collection[str] = ()
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command its own options, those of a study, and those of one run but for the `replaced` ones.

    The command gets all of them by name; those of one run are the fields of `Asked`.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        def of_one_run(**_: Any) -> int:
            return 0

        shared: list[click.Parameter] = getattr(scenario_options(of_one_run), "__click_params__")  # noqa: B009 - click's place
        # Unequal items are left out: the bounds beside each figure hold for equal ones.
        kept = [parameter for parameter in shared if parameter.name not in {*replaced, "seed", "sizes"}]
        result = command
        for option in reversed((*own, *_STUDY)):
            result = option(result)
        mine: list[click.Parameter] = getattr(result, "__click_params__")  # noqa: B009 - as above
        # They stand in reverse order of how help lists them; arguments come first.
        mine[:0] = kept
        return result

    return decorate


def split_list(texts: Collection[str]) -> list[str]:
    """The entries of options that may be repeated and hold lists: `slo,fixed:size=8,wait=5ms` are two policies."""
    entries: list[str] = []
    for text in texts:
        for number, piece in enumerate(text.split(",")):
            if number and _PARAMETER.match(piece) and ":" in entries[-1]:
                entries[-1] += f",{piece}"
            else:
                entries.append(piece)
    return [entry.strip() for entry in entries]


def agree(scenario: Scenario, runs: float, jobs: int, *, is_agreed: bool, what: str) -> None:
    """Go on only if it will not take long, or with the user's word.

    Args:
        scenario: A typical run of those to come; a stretch of it is run to see how fast this machine is.
        runs: About how many of its kind.
        jobs: Processes that share them.
        is_agreed: Whether the user said yes beforehand.
        what: What is to be done, for the question.

    Raises:
        SojournError: The user said no.
        click.UsageError: It would take long, and there is nobody to ask.
    """
    if is_agreed:
        return
    one = estimate(scenario)
    each_s = one.time_s or one.requests / SPEED_PER_S
    whole_s = each_s * runs / min(jobs, len(os.sched_getaffinity(0)))
    if whole_s <= ASK_BEYOND_S:
        return
    told = f"{what}, about {runs:,.0f} runs of {one.requests:,.0f} requests: {long_text(whole_s)}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"this would be {told}; say --yes to run it, or ask for less (--duration, --seeds)")
    if not click.confirm(f"This will be {told}. Go on?", err=True):
        raise SojournError("nothing was simulated")


class StudyBar:
    """A bar on the terminal for a batch of runs; silent without one. It draws only when told, from no thread of its own."""

    def __init__(self, console: Console, title: str) -> None:
        self._progress: Progress | None = None
        if console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=console,
                transient=True,
                auto_refresh=False,
            )
            self._task = self._progress.add_task(title, total=1.0)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, share: float, title: str | None = None) -> None:
        """Redraw; `share` of the whole is done."""
        if self._progress is not None:
            self._progress.update(self._task, completed=share, description=title, refresh=True)


def wide_console() -> Console:
    """Standard output for wide tables: where it is no terminal, nobody's window limits them."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_COLUMNS)

"""What a simulated run looks like while it goes on: a bar of virtual time with the speed, on a terminal only."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from sojourn.cli.simulate_estimate import requests_so_far
from sojourn.report.axis import duration_text, number_text
from sojourn.sim.scenario import Prepared


class SimulationBar:
    """A context manager that shows a run from a thread of its own, which only reads; silent without a terminal."""

    def __init__(self, console: Console, prepared: Prepared) -> None:
        self._progress: Progress | None = None
        if console.is_terminal:
            self._progress = Progress(
                TextColumn("simulating"),
                BarColumn(),
                _VirtualTime(prepared),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=console,
                transient=True,
                refresh_per_second=4,
            )

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
            self._progress.add_task("run", total=1.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


class _VirtualTime(ProgressColumn):
    """Virtual time and speed; as it is drawn, it also moves the bar."""

    max_refresh = 0.2

    def __init__(self, prepared: Prepared) -> None:
        super().__init__()
        self._prepared = prepared
        self._began_at_s = time.monotonic()

    def render(self, task: Task) -> Text:
        """The figures of this moment."""
        simulation, duration_s = self._prepared.simulation, self._prepared.scenario.duration_s
        now_s = simulation.now_s if simulation is not None else 0.0
        task.completed = min(now_s / duration_s, 1.0)
        sent = requests_so_far(self._prepared)
        per_s = sent / max(time.monotonic() - self._began_at_s, 1e-3)
        return Text(
            f"{duration_text(now_s, duration_s)} of {duration_text(duration_s)}   {number_text(per_s)} requests/s"
        )

"""The demo while it runs: a small board on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sojourn.cli.load_progress import Recent
from sojourn.domain.objective import SLO
from sojourn.domain.request import Outcome
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.record import OUTCOMES
from sojourn.report.axis import duration_text, number_text, share_text

_BAR = 40
_BLOCKS = " ▁▂▃▄▅▆▇█"
_LINE_EVERY_S = 5.0
_SERVED = OUTCOMES.index(Outcome.SERVED)


class Phase:
    """One stretch of the demo's workload."""

    def __init__(self, name: str, rate_per_s: float, duration_s: float) -> None:
        self.name = name
        self.rate_per_s = rate_per_s
        self.duration_s = duration_s


class DemoView:
    """Shows a run as it goes on; a context manager."""

    def __init__(self, console: Console, phases: Sequence[Phase], slo: SLO) -> None:
        self._console = console
        self._phases = phases
        self._slo = slo
        self._duration_s = sum(phase.duration_s for phase in phases)
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._line_at_s = _LINE_EVERY_S
        self._good = 0
        self._seen = 0
        self._rates: list[float] = []
        self._p99s_s: list[float] = []
        self._second = 0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, run: LoadRun) -> None:
        """Redraw from the state of the run (called a few times a second, between sends)."""
        elapsed_s = max(run.elapsed_s, 0.0)
        recent = Recent(run)
        self._count_good(run)
        if elapsed_s >= self._second + 1:
            self._second = int(elapsed_s)
            self._rates.append(recent.rate_per_s)
            self._p99s_s.append(recent.latency_s_p99 or 0.0)
        if self._live is not None:
            self._live.update(self._board(recent, elapsed_s), refresh=True)
        elif elapsed_s >= self._line_at_s:
            self._line_at_s += _LINE_EVERY_S
            self._console.print(
                f"{elapsed_s:5.0f} s  {self._phase(elapsed_s).name:<7} {recent.rate_per_s:5,.0f}/s  "
                f"p50 {duration_text(recent.latency_s_p50):>8}  p99 {duration_text(recent.latency_s_p99):>8}  "
                f"within {share_text(self._within())}",
                highlight=False,
            )

    def _count_good(self, run: LoadRun) -> None:
        # Ended requests are counted once, in order; the first unfinished one holds the count back.
        log = run.log
        while self._seen < len(log) and log.outcome[self._seen] >= 0:
            self._good += log.outcome[self._seen] == _SERVED and log.latency_s[self._seen] <= self._slo.latency_s
            self._seen += 1

    def _within(self) -> float | None:
        return self._good / self._seen if self._seen else None

    def _phase(self, elapsed_s: float) -> Phase:
        ends_at_s = 0.0
        for phase in self._phases:
            ends_at_s += phase.duration_s
            if elapsed_s < ends_at_s:
                return phase
        return self._phases[-1]

    def _board(self, recent: Recent, elapsed_s: float) -> Text:
        # One text and no table: it is drawn between two sends, and a table takes four times as long.
        filled = round(min(elapsed_s / self._duration_s, 1.0) * _BAR)
        phase = self._phase(elapsed_s)
        p99_s, within = recent.latency_s_p99, self._within()
        is_slow = p99_s is not None and p99_s > self._slo.latency_s
        is_short = within is not None and within < self._slo.objective
        batch = "n/a" if recent.batch_size_mean is None else f"{recent.batch_size_mean:.1f}"
        colours = {False: "bold green", True: "bold red"}
        rates = _sparkline(self._rates, max([*self._rates, 1.0]))
        p99s = _sparkline(self._p99s_s, max([*self._p99s_s, self._slo.latency_s]))
        return Text.assemble(
            "progress  ",
            ("━" * filled, "cyan"),
            ("━" * (_BAR - filled), "bright_black"),
            f"  {phase.name}, {elapsed_s:.0f} of {self._duration_s:.0f} s\n",
            "rate      ",
            (rates, "cyan"),
            f"  {recent.rate_per_s:,.0f}/s\n",
            "p99       ",
            (p99s, "cyan"),
            ("  " + duration_text(p99_s), colours[is_slow]),
            f" (p50 {duration_text(recent.latency_s_p50)})\n",
            "within    ",
            f"{'objective ' + str(self._slo):<{_BAR}}",
            (f"  {share_text(within)}\n", colours[is_short]),
            f"mean batch {batch}, not served {number_text(recent.refused)}",
        )


def _sparkline(values: Sequence[float], top: float) -> str:
    steps = len(_BLOCKS) - 1
    return "".join(_BLOCKS[min(steps, round(value / top * steps))] for value in values[-_BAR:]).ljust(_BAR)

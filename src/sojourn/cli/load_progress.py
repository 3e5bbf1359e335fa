"""What a run of load looks like while it goes on: one line, redrawn in place, on a terminal only."""

from __future__ import annotations

from bisect import bisect_left
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType

from sojourn.domain.request import Outcome
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.record import OUTCOMES
from sojourn.report.axis import duration_text
from sojourn.report.statistics import mean_batch_size, quantile

_RECENT_S = 2.0
_SAMPLE = 500
_SERVED = OUTCOMES.index(Outcome.SERVED)


class Recent:
    """The last two seconds of a run, for people to watch."""

    def __init__(self, run: LoadRun) -> None:
        log = run.log
        first = bisect_left(log.intended_at_s, run.elapsed_s - _RECENT_S)
        count = len(log) - first
        # A sample is enough to watch, and keeps the time this takes from the sending.
        sample = range(first, len(log), max(1, count // _SAMPLE))
        served = [index for index in sample if log.outcome[index] == _SERVED]
        ordered = sorted(log.latency_s[index] for index in served)
        self.rate_per_s = count / max(min(_RECENT_S, run.elapsed_s), 0.1)
        self.latency_s_p50 = quantile(ordered, 0.5)
        self.latency_s_p99 = quantile(ordered, 0.99)
        self.batch_size_mean = mean_batch_size(log.batch_size[index] for index in served)
        self.refused = log.ended - log.statuses.get(200, 0)


class ProgressLine:
    """Shows a run on one line; a context manager, silent where there is no terminal."""

    def __init__(self, console: Console, duration_s: float) -> None:
        self._console = console
        self._duration_s = duration_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def show(self, run: LoadRun) -> None:
        """Redraw; cheap enough (well under a millisecond) not to hold up the sending."""
        if not self._console.is_terminal:
            return
        recent = Recent(run)
        text = (
            f"{max(run.elapsed_s, 0):5.1f} s of {self._duration_s:g} s   {recent.rate_per_s:,.0f}/s   "
            f"p50 {duration_text(recent.latency_s_p50)}   p99 {duration_text(recent.latency_s_p99)}   "
            f"in flight {run.in_flight:,}   not served {recent.refused:,}"
        )
        self._clear()
        self._console.file.write(text[: self._console.width - 1])
        self._console.file.flush()

    def _clear(self) -> None:
        if self._console.is_terminal:
            self._console.control(Control((ControlType.CARRIAGE_RETURN,), (ControlType.ERASE_IN_LINE, 2)))

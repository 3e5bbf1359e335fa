"""Many simulated runs in parallel processes; interrupted, those that are done are kept."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing.sharedctypes import SynchronizedArray
from types import TracebackType
from typing import Any, Self

from sojourn.sim.scenario import Scenario
from sojourn.study.outcome import RunOutcome, outcome_of

_LOOK_EVERY_S = 0.2
_SLOTS = 4096  # runs whose progress is told while they go on
_STOP = -1.0

ShareDone = Callable[[float], None]


class Runs:
    """Runs scenarios, several at a time; a context manager, for it owns the processes.

    With one job everything runs in this process. Ctrl-C (or any exception from `on_progress`) ends a batch early: `run`
    returns what is done, `was_interrupted` tells, and nothing more is run.

    Args:
        jobs: Processes, >= 1.
        on_progress: Called now and then with the share of the present batch that is done, in [0, 1].
    """

    def __init__(self, jobs: int, on_progress: ShareDone | None = None) -> None:
        self._jobs = max(jobs, 1)
        self._on_progress = on_progress or _say_nothing
        self._pool: ProcessPoolExecutor | None = None
        # Spawned processes have no threads, locks or half-drawn bars of ours; slot 0 tells them to stop.
        self._context = multiprocessing.get_context("spawn")
        self._shares: SynchronizedArray[float] | None = None
        self.was_interrupted = False

    def __enter__(self) -> Self:
        if self._jobs > 1:
            self._shares = self._context.Array("d", _SLOTS, lock=True)
            self._pool = ProcessPoolExecutor(
                self._jobs, mp_context=self._context, initializer=_prepare, initargs=(self._shares,)
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._tell_to_stop()
            self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, scenarios: Sequence[Scenario], *, bounds: bool = True) -> list[RunOutcome | None]:
        """The outcome of each scenario in order; None for those that an interruption left out."""
        outcomes: list[RunOutcome | None] = [None] * len(scenarios)
        if self.was_interrupted:
            return outcomes
        try:
            if self._pool is None:
                self._run_here(scenarios, outcomes, bounds=bounds)
            else:
                self._run_there(self._pool, scenarios, outcomes, bounds=bounds)
        except KeyboardInterrupt:
            self.was_interrupted = True
            self._tell_to_stop()
        return outcomes

    def _run_here(self, scenarios: Sequence[Scenario], outcomes: list[RunOutcome | None], *, bounds: bool) -> None:
        for index, scenario in enumerate(scenarios):

            def told(at_s: float, _requests: int, index: int = index, scenario: Scenario = scenario) -> None:
                self._on_progress((index + at_s / scenario.duration_s) / len(scenarios))

            outcomes[index] = outcome_of(scenario, bounds=bounds, progress=told)
            self._on_progress((index + 1) / len(scenarios))

    def _run_there(
        self,
        pool: ProcessPoolExecutor,
        scenarios: Sequence[Scenario],
        outcomes: list[RunOutcome | None],
        *,
        bounds: bool,
    ) -> None:
        shares = self._shares
        assert shares is not None, "there is a pool"
        for slot in range(1, _SLOTS):
            shares[slot] = 0.0
        with _interrupts_held_back():
            # The processes start here and inherit that they hear no Ctrl-C: it is for this process to decide.
            futures = {
                pool.submit(_run_one, scenario, index % (_SLOTS - 1) + 1, bounds): index
                for index, scenario in enumerate(scenarios)
            }
        left: set[Future[RunOutcome | None]] = set(futures)
        try:
            while left:
                done, left = wait(left, timeout=_LOOK_EVERY_S, return_when="FIRST_COMPLETED")
                for future in done:
                    outcomes[futures[future]] = future.result()
                under_way = sum(shares[futures[future] % (_SLOTS - 1) + 1] for future in left)
                self._on_progress((len(scenarios) - len(left) + under_way) / len(scenarios))
        except KeyboardInterrupt:
            for future, index in futures.items():
                if future.done() and not future.cancelled() and future.exception() is None:
                    outcomes[index] = future.result()
                future.cancel()
            raise

    def _tell_to_stop(self) -> None:
        if self._shares is not None:
            self._shares[0] = _STOP


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _say_nothing(_share: float) -> None:
    return None


# ---- in the processes

_here: dict[str, Any] = {}


class _StoppedError(Exception):
    """The run is not wanted any more."""


def _prepare(shares: SynchronizedArray[float]) -> None:
    _here["shares"] = shares


def _run_one(scenario: Scenario, slot: int, bounds: bool) -> RunOutcome | None:  # noqa: FBT001 - across processes
    shares = _here["shares"]

    def told(at_s: float, _requests: int) -> None:
        if shares[0] == _STOP:
            raise _StoppedError
        shares[slot] = min(at_s / scenario.duration_s, 1.0)

    try:
        return outcome_of(scenario, bounds=bounds, progress=told)
    except _StoppedError:
        return None

"""The study of batching and scaling policies: simulate, write the figures, draw docs/study.

Every policy meets the same arrivals under the same seed, in virtual time, with the production core. The figures go to
benchmarks/results/study.json, tables and plots to docs/study. Ctrl-C keeps what is done and marks it as partial.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import harness
from rich.console import Console
from studied import batching, day, document, scaling
from studied.record import Book, Fact, Row, Trial, tried
from studied.traces import DAY_S

from sojourn.cli.compare_options import StudyBar
from sojourn.study.runs import Runs

_INTERRUPTED = 130

Chunks = Iterator[Sequence[Trial]]

_SIZES: dict[str, tuple[batching.Grid, scaling.Grid, float]] = {
    "full": (batching.Grid(), scaling.Grid(), DAY_S),
    "quick": (batching.QUICK, scaling.QUICK, 1800.0),
    "tiny": (batching.TINY, scaling.TINY, 60.0),
}


class Part(NamedTuple):
    """A part of the study.

    Args:
        name: Its key among the results.
        chunk_count: How many chunks it has, for the bar.
        chunks: Its trials; a chunk may depend on the runs before it.
        facts: What is said of how it was made.
    """

    name: str
    chunk_count: int
    chunks: Callable[[Runs], Chunks]
    facts: dict[str, Fact]


def parts(size: str) -> list[Part]:
    """What there is to run: `full`, `quick` or `tiny`."""
    grid, fleet, day_s = _SIZES[size]
    return [
        Part("batching", batching.count(grid), lambda _: batching.chunks(grid), batching.facts(grid)),
        Part("scaling", scaling.count(fleet), lambda runs: scaling.chunks(fleet, runs), scaling.facts(fleet)),
        Part("day", 1, lambda _: day.chunks(day_s), day.facts()),
    ]


class Studied:
    """Runs parts and keeps their rows, chunk by chunk.

    Args:
        book: Where to.
        path: Its file.
        jobs: Processes that simulate.
    """

    def __init__(self, book: Book, path: Path, jobs: int) -> None:
        self._book = book
        self._path = path
        self._jobs = jobs
        self._lock = threading.Lock()
        self._is_stopped = False

    def run(self, wanted: Sequence[Part]) -> bool:
        """Run some parts; whether all came to their end.

        What is one long run goes on beside the others if there are processes to spare: nothing else could use them.
        """
        alone = [part for part in wanted if part.chunk_count == 1 and self._jobs > 1 and len(wanted) > 1]
        beside = [threading.Thread(target=self._part, args=(part, 1), name=part.name) for part in alone]
        for thread in beside:
            thread.start()
        others = [part for part in wanted if part not in alone]
        is_whole = all(self._part(part, self._jobs) for part in others)
        self._is_stopped = not is_whole
        try:
            for thread in beside:
                thread.join()
        except KeyboardInterrupt:
            self._is_stopped = True
            for thread in beside:
                thread.join()
        return not any(part.name in self._book.partial for part in wanted)

    def _part(self, part: Part, jobs: int) -> bool:
        """Run a part; whether it came to its end."""
        began_s, began_processor_s = time.monotonic(), time.thread_time()
        rows, done = [], 0
        with StudyBar(Console(stderr=True, quiet=part.chunk_count == 1), part.name) as bar:

            def show(share: float) -> None:
                if self._is_stopped:
                    raise KeyboardInterrupt
                bar.show(min((done + share) / part.chunk_count, 1.0))

            with Runs(jobs, show) as runs:
                is_whole = False
                # Ctrl-C during a run is dealt with there; between runs it ends up here.
                with suppress(KeyboardInterrupt):
                    for trials in part.chunks(runs):
                        rows += tried(runs, trials)
                        done += 1
                        self._keep(part, rows, is_whole=False)
                        if runs.was_interrupted:
                            break
                    is_whole = not runs.was_interrupted
        part.facts["wall_s"], part.facts["jobs"] = round(time.monotonic() - began_s), jobs
        if jobs == 1:
            part.facts["processor_s"] = round(time.thread_time() - began_processor_s)
        self._keep(part, rows, is_whole=is_whole)
        count = sum(len(row.seeds) for row in rows)
        print(f"{part.name}: {count:,} runs in {part.facts['wall_s']:,} s", file=sys.stderr)
        return is_whole

    def _keep(self, part: Part, rows: Sequence[Row], *, is_whole: bool) -> None:
        book = self._book
        with self._lock:
            book.parts = {**book.parts, part.name: list(rows)}
            book.facts = {**book.facts, part.name: {**part.facts}}
            others = [name for name in book.partial if name != part.name]
            book.partial = others if is_whole else [*others, part.name]
            book.write(self._path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small grid, about a minute; written to out/study")
    parser.add_argument("--tiny", action="store_true", help="hardly anything, seconds: only to see that it works")
    parser.add_argument("--jobs", type=int, default=1, help="processes that simulate")
    parser.add_argument(
        "--parts", default="batching,scaling,day", help="which of them to run; the others stay as they are"
    )
    parser.add_argument(
        "--redraw", action="store_true", help="run nothing, write the documents from the results there are"
    )
    parser.add_argument("--out", type=Path, help="folder of the documents [docs/study]")
    parser.add_argument("--results", type=Path, help="file of the figures [benchmarks/results/study.json]")
    options = parser.parse_args()
    root = harness.HERE.parent
    size = "tiny" if options.tiny else "quick" if options.quick else "full"
    is_full = size == "full"
    out = options.out or (root / "docs" / "study" if is_full else root / "out" / "study")
    path = options.results or (harness.HERE / "results" / "study.json" if is_full else out / "study.json")
    book = Book.read(path)
    is_whole = True
    if not options.redraw:
        book.facts["machine"] = {name: str(value) for name, value in harness.machine().items()}
        wanted = options.parts.split(",")
        listed = {part.name: part for part in parts(size)}
        unknown = [name for name in wanted if name not in listed]
        if unknown:
            parser.error(f"--parts: there is no part {', '.join(unknown)}; there are {', '.join(listed)}")
        is_whole = Studied(book, path, options.jobs).run([listed[name] for name in wanted])
    document.write(book, out)
    print(f"written: {path}, {out / 'README.md'}")
    return 0 if is_whole else _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

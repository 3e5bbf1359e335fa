"""What a rollout costs those who call meanwhile; how soon a deploy answers; how soon fifty functions are back.

An emulated accelerator (5 ms + 0.5 ms x b, one replica) gets 500 requests a second, Poisson, from the other core. A third of
the way a second version is deployed, after two thirds it is rolled back. Compared are the p95 of the five seconds from each
command on with that of the steady seconds before the first. Then the time of `sojourn deploy` and a first call, from the
start of the command; and the time from the start of a server until fifty functions that were deployed to it are routed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from random import Random

import harness

from sojourn.client.server_process import ServerProcess
from sojourn.domain.request import Outcome
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.record import OUTCOMES
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import parse_target
from sojourn.workload.arrivals import poisson

RATE_PER_S, WINDOW_S, LEAD_S = 500.0, 5.0, 3.0
BARS = {"p95": 1.10, "first_answer_s": 2.0, "restart_s": 3.0}
FUNCTIONS = 50
APP = """
import time
import sojourn

@sojourn.function(name="{name}", slo="99% < 100ms", max_batch_size=32, cpus=0.1{more})
def answer(items: list[int]) -> list[str]:
    time.sleep(0.005 + 0.0005 * len(items))
    return ["{text}"] * len(items)
"""


def tree(folder: Path, name: str, text: str, more: str = "") -> Path:
    """A source tree with one function."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(APP.format(name=name, text=text, more=more))
    return folder


def command(server: ServerProcess, *words: str) -> float:
    """Run one command on the load generator's core; how long it took, in seconds."""
    begun_at_s = time.monotonic()
    environment = {**os.environ, "SOJOURN_ADMIN_URL": server.admin_url, "SOJOURN_URL": server.url}
    full = [*harness.pinned(harness.LOAD_CORE), sys.executable, "-m", "sojourn.cli.main", *words]
    subprocess.run(full, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun_at_s


def started(state: Path) -> ServerProcess:
    """An empty platform on its core, with a state directory of its own."""
    return ServerProcess(
        None, prefix=harness.pinned(harness.SERVER_CORE), options=("--state-dir", str(state), "--log-level", "warning")
    )


def under_load(folder: Path, duration_s: float, seed: int) -> dict[str, float]:
    """One run: p95 of steady seconds, of a rollout's and of a rollback's, and requests that failed."""
    with started(folder / f"state-{seed}") as server:
        for text in ("one", "two"):
            tree(folder / text, "answer", text, ", min_replicas=1")
        command(server, "deploy", str(folder / "one"))
        marks: list[float] = []
        begun_at_s = time.monotonic()

        def act() -> None:
            for at_s, words in (
                (duration_s / 3, ("deploy", str(folder / "two"))),
                (duration_s * 2 / 3, ("rollback", "answer")),
            ):
                time.sleep(max(begun_at_s + at_s - time.monotonic(), 0.0))
                marks.append(time.monotonic() - begun_at_s)
                command(server, *words)

        acting = threading.Thread(target=act)
        acting.start()
        arrivals_s = list(poisson(RATE_PER_S, duration_s, Random(seed)))  # noqa: S311 - repeatable
        begun_at_s = time.monotonic()
        run = run_load(
            parse_target(f"{server.url}/functions/answer"),
            arrivals_s,
            lambda _: b"1",
            options=LoadOptions(connections_max=2000),
        )
        acting.join()
    served = OUTCOMES.index(Outcome.SERVED)
    log = run.log

    def p95_s(from_s: float, until_s: float) -> float:
        rows = zip(log.intended_at_s, log.latency_s, log.outcome, strict=True)
        return statistics.quantiles([row[1] for row in rows if from_s <= row[0] < until_s and row[2] == served], n=20)[
            -1
        ]

    steady_s = p95_s(LEAD_S, marks[0])
    return {
        "sent": float(len(log)),
        "failed": float(sum(outcome != served for outcome in log.outcome)),
        "late_sends": sum(lateness_s > 0.005 for lateness_s in log.lateness_s) / len(log),
        "steady_p95_s": steady_s,
        "rollout_ratio": p95_s(marks[0], marks[0] + WINDOW_S) / steady_s,
        "rollback_ratio": p95_s(marks[1], marks[1] + WINDOW_S) / steady_s,
    }


def first_answers(folder: Path, runs: int) -> list[float]:
    """Seconds from the start of `sojourn deploy` until a first call is answered, for new functions."""
    with started(folder / "state-first") as server:
        return [
            command(server, "deploy", str(tree(folder / f"first-{number}", f"first-{number}", "x")))
            + command(server, "invoke", f"first-{number}", "1")
            for number in range(runs)
        ]


def restarts(folder: Path, runs: int) -> list[float]:
    """Seconds from the start of a server until it is ready with all functions that were deployed to it."""
    state = folder / "state-fifty"
    with started(state) as server:
        for number in range(FUNCTIONS):
            command(server, "deploy", str(tree(folder / f"many-{number}", f"many-{number}", "x")))
    found = []
    for _ in range(runs):
        begun_at_s = time.monotonic()
        with started(state) as server:
            found.append(time.monotonic() - begun_at_s)
            if len(server.functions) != FUNCTIONS:
                raise RuntimeError(f"{len(server.functions)} of {FUNCTIONS} functions came back")
            command(server, "invoke", "many-7", "1")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--duration", type=float, default=30.0, help="seconds of each run under load")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    harness.pin_this_process()
    folder = Path(tempfile.mkdtemp(prefix="sojourn-"))
    try:
        rows = []
        for seed in range(1, options.runs + 1):
            rows.append(under_load(folder, options.duration, seed))
            print(f"run {seed}: {rows[-1]}", file=sys.stderr)
        first_s, restart_s = first_answers(folder, options.runs), restarts(folder, options.runs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    harness.print_table(
        ["", "measured", "bar"],
        [
            ["requests", f"{sum(row['sent'] for row in rows):,.0f}", ""],
            ["failed", f"{sum(row['failed'] for row in rows):,.0f}", "0"],
            ["steady p95", f"{middle['steady_p95_s'] * 1e3:.1f} ms", ""],
            ["p95 from the deploy on, to steady", f"{middle['rollout_ratio']:.3f}", f"{BARS['p95']:.2f}"],
            ["p95 from the rollback on, to steady", f"{middle['rollback_ratio']:.3f}", f"{BARS['p95']:.2f}"],
            ["deploy to first answer", f"{statistics.median(first_s):.2f} s", f"{BARS['first_answer_s']:g} s"],
            [
                f"restart with {FUNCTIONS} functions",
                f"{statistics.median(restart_s):.2f} s",
                f"{BARS['restart_s']:g} s",
            ],
        ],
    )
    results = {"runs": rows, "medians": middle, "first_answer_s": first_s, "restart_s": restart_s}
    print(f"written: {harness.save('rollout', results, keep=options.keep)}")


if __name__ == "__main__":
    main()

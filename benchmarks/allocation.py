"""What it takes to share a scarce pool among few and many functions.

Each function wants one to six replicas (three on average) of an emulated accelerator whose traffic needs most of them,
and the pool has 1.6 cores per function. `alike`: a core per replica, weights 1 and 2, as most platforms have it; `mixed`: claims
of a quarter to four cores and a weight of its own for each function. A policy that is asked for the first time works out all
utilities; asked again for the same demands, it remembers them.

With `--against SRC` the package in that source tree answers the same demands in a process of its own, in the same run;
whether the answers agree is told.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path
from random import Random
from statistics import median

import harness

from sojourn.domain.demand import ServiceTimes
from sojourn.domain.resources import Resources
from sojourn.policy.allocation.port import Demand
from sojourn.policy.allocation.pressure import PressurePolicy

SIZES = (5, 40, 200, 1000)
CROWDS = ("alike", "mixed")
CPUS_PER_FUNCTION = 1.6
BATCH_MAX = 32
WANTED = (1, 1, 2, 2, 3, 4, 5, 6)
AT_LEAST_S, ROUNDS_MAX = 1.0, 51  # of measuring each case


def crowd(kind: str, size: int) -> list[Demand]:
    """Demands of so many functions."""
    rng = Random(f"{kind} {size}")  # noqa: S311 - traffic is no secret
    demands = []
    for number in range(size):
        alpha_s, beta_s = rng.choice((0.0005, 0.001, 0.004)), rng.choice((0.005, 0.020))
        mean_s = (0.0, *(beta_s + alpha_s * batch for batch in range(1, BATCH_MAX + 1)))
        wanted = rng.choice(WANTED)
        cpus = 1.0 if kind == "alike" else rng.choice((0.25, 0.5, 1.0, 2.0, 4.0))
        demands.append(
            Demand(
                function=f"f{number:04}",
                claim=Resources(cpus, 0.0, 2**28),
                wanted=wanted,
                weight=rng.choice((1.0, 1.0, 2.0)) if kind == "alike" else rng.lognormvariate(0.0, 1.0),
                current=min(wanted, rng.choice((0, 1, 2))),
                arrivals_per_s=rng.uniform(0.5, 1.0) * wanted * BATCH_MAX / mean_s[BATCH_MAX],
                service=ServiceTimes(1, mean_s, tuple(1.2 * each for each in mean_s), BATCH_MAX, 1000),
                latency_s=0.1,
                cold_start_s=1.0,
            )
        )
    return demands


def measured(kind: str, size: int) -> dict[str, object]:
    """Processor time of one allocation, median and largest, in milliseconds."""
    demands, pool = crowd(kind, size), Resources(CPUS_PER_FUNCTION * size, 0.0, 2**44)
    first_ms: list[float] = []
    again_ms: list[float] = []
    answer, began_s = None, time.process_time()
    while not first_ms or (time.process_time() - began_s < AT_LEAST_S and len(first_ms) < ROUNDS_MAX):
        policy = PressurePolicy()
        for costs_ms in (first_ms, again_ms):
            asked_s = time.process_time()
            answer = policy.allocate(demands, pool)
            costs_ms.append((time.process_time() - asked_s) * 1000)
    assert answer is not None
    return {
        "crowd": kind,
        "functions": size,
        "wanted": sum(each.wanted for each in demands),
        "cpus": pool.cpus,
        "given": sum(answer.replicas.values()),
        "first_ms": median(first_ms),
        "first_ms_max": max(first_ms),
        "again_ms": median(again_ms),
        "answer": zlib.crc32(repr((sorted(answer.replicas.items()), sorted(answer.why.items()))).encode()),
    }


def measured_elsewhere(source: Path, kind: str, size: int) -> dict[str, object]:
    """The same by the package in another source tree."""
    command = [sys.executable, __file__, "--one", kind, str(size)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(source)}, stdout=subprocess.PIPE, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, metavar="SRC", help="compare with the package in this source tree")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    parser.add_argument("--one", nargs=2, metavar=("CROWD", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one[0], int(options.one[1]))))
        return
    runs = []
    for kind in CROWDS:
        for size in SIZES:
            run = measured(kind, size)
            if options.against:
                other = measured_elsewhere(options.against.resolve(), kind, size)
                run["against_ms"] = other["first_ms"]
                run["is_same_answer"] = run["answer"] == other["answer"]
            runs.append(run)
    columns = ["functions", "wanted", "cpus", "first_ms", "first_ms_max", "again_ms"]
    columns += ["against_ms", "is_same_answer"] if options.against else []
    harness.print_table(["", *columns], [[run["crowd"], *(_told(run[name]) for name in columns)] for run in runs])
    print(f"written: {harness.save('allocation', {'runs': runs}, keep=options.keep)}")


def _told(figure: object) -> str:
    return f"{figure:.2f}" if isinstance(figure, float) else str(figure)


if __name__ == "__main__":
    main()

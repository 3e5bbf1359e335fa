"""Plays seeded worlds until one breaks an invariant: `make simtest SEEDS=1000`, or one again: `FIRST=17 SEEDS=1`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from invariants import Watched
from seeded_world import draw_world


def play(seed: int, *, digests: bool = False) -> tuple[int, str, int, str]:
    """(seed, digest, steps, what broke; empty if nothing)."""
    watched = Watched(draw_world(seed), digests=digests)
    try:
        watched.run()
    except Exception:  # noqa: BLE001 - whatever it is, it is told with its seed
        return seed, "", watched.simulation.steps, "\n".join([*watched.tail, traceback.format_exc()])
    return seed, watched.digest, watched.simulation.steps, ""


def commit() -> str:
    """What the sources are at."""
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def main() -> int:
    """Run them; 0 if all held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    began_at_s, steps, failed = time.monotonic(), 0, 0
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor(options.jobs) as pool:
        for number, (seed, digest, count, broken) in enumerate(
            pool.map(partial(play, digests=options.seeds == 1), seeds, chunksize=4), start=1
        ):
            steps += count
            if options.seeds == 1 and digest:
                print(f"seed {seed}: {digest}")
            if broken:
                failed += 1
                print(f"\nseed {seed} at commit {commit()} broke an invariant:\n{broken}")
                print(f"play it again: make simtest FIRST={seed} SEEDS=1\n", flush=True)
                if failed >= 5:
                    print("five failures are enough", file=sys.stderr)
                    pool.shutdown(cancel_futures=True)
                    break
            elif number % 100 == 0:
                print(f"{number} of {options.seeds} seeds, {steps:,} steps", file=sys.stderr)
    took_s = time.monotonic() - began_at_s
    print(
        f"{number} seeds at commit {commit()}: {number - failed} held, {failed} broke; {steps:,} steps in {took_s:.1f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

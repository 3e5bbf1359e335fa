"""Plays rollouts over many seeds and prints the tables of docs/rollouts.md: `python tests/simulation/run_rollouts.py --seeds 100`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from rollout_world import ARMS, KINDS, SERVICES, Ended, play_arms, play_platform

from sojourn.domain.rollout import RolloutState


def row(case: str, kind: str, ended: list[Ended]) -> str:
    """One line of a table."""
    back = [each for each in ended if each.state is RolloutState.ROLLED_BACK]
    texts = [f"{len(back)} of {len(ended)}"]
    for values in ([each.after_s for each in back], [float(each.requests) for each in back]):
        ordered = sorted(values)
        if len(back) < len(ended) / 2:
            texts.append("")
        else:
            texts.append(
                f"{ordered[len(ordered) // 2]:.0f} / {ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)]:.0f}"
            )
    return f"| {case} | {kind} | {' | '.join(texts)} |"


def main() -> int:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", choices=["platform", "counters"])
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    tables: dict[str, tuple[Callable[..., Ended], list[str]]] = {
        "counters": (play_arms, list(ARMS)),
        "platform": (play_platform, list(SERVICES)),
    }
    with ProcessPoolExecutor(options.jobs) as pool:
        for name, (play, cases) in tables.items():
            if options.only not in {None, name}:
                continue
            print(f"\n{name}\n\n| candidate | arrivals | rolled back | seconds, p50 / p95 | its requests, p50 / p95 |")
            print("|---|---|---|---|---|")
            for case in cases:
                for kind in KINDS:
                    print(row(case, kind, list(pool.map(partial(play, case, kind), seeds, chunksize=4))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

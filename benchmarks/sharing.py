"""Ten functions on one pool: shared by need, or split equally.

Each function (5 ms + 0.5 ms x b, b <= 8, 99 % < 100 ms, one core per replica, a start takes 0.6 s) has quiet traffic and
one burst, at its own time, that needs four replicas; two bursts overlap. The pool has 20 cores. Shared: every function
may take what others leave. Split: each may have at most its tenth. Both run the production core in virtual time on the
same arrivals.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from random import Random

import harness

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.resources import Resources
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.workload.arrivals import steps

FUNCTIONS, POOL_CPUS = 10, 20.0
SERVICE = ModelledService(alpha_s=0.0005, beta_s=0.005, sigma=0.05, cold_start_s=0.6)
OBJECTIVE = SLO(latency_s=0.1, objective=0.99)
BATCH_MAX = 8
QUIET_PER_S, BURST_PER_S, BURST_S = 60.0, 2500.0, 10.0
FIRST_BURST_S, EVERY_S, AFTER_S = 30.0, 8.0, 30.0  # each burst overlaps the next by two seconds
FEWER_BAR = 2.3


def arrivals(seed: int) -> dict[str, object]:
    """Instants by function."""
    end_s = FIRST_BURST_S + EVERY_S * FUNCTIONS + BURST_S + AFTER_S
    made: dict[str, object] = {}
    for number in range(FUNCTIONS):
        begin_s = FIRST_BURST_S + EVERY_S * number
        pieces = [(QUIET_PER_S, begin_s), (BURST_PER_S, BURST_S), (QUIET_PER_S, end_s - begin_s - BURST_S)]
        made[f"f{number}"] = steps(pieces, Random(f"{number} {seed}"))  # noqa: S311 - arrivals are no secret
    return made


def simulated(task: tuple[int | None, int]) -> dict[str, float]:
    """All functions on the pool, each with at most so many replicas (None: as many as the pool has room for)."""
    max_replicas, seed = task
    rng = Random(seed)  # noqa: S311 - noise is no secret
    simulation: Simulation | None = None
    controller = Controller(rng, Resources(cpus=POOL_CPUS))
    for number in range(FUNCTIONS):
        settings = FunctionSettings(
            name=f"f{number}", slo=OBJECTIVE, max_batch_size=BATCH_MAX, max_replicas=max_replicas, min_replicas=1
        )
        dispatcher = Dispatcher(settings, batching_policy(settings.batching))
        if simulation is None:
            simulation = Simulation(dispatcher, controller, SERVICE, rng)
        else:
            simulation.add(dispatcher, SERVICE)
    assert simulation is not None
    results = simulation.run_all(arrivals(seed), transient_s=5.0).values()
    sent = sum(result.sent for result in results)
    misses = sum(result.sent - result.within_slo for result in results)
    return {
        "sent": sent,
        "misses": misses,
        "within": 1 - misses / sent,
        "replica_seconds": sum(result.replica_seconds for result in results),
        "worst_function": min(result.within_share for result in results),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    equal = int(POOL_CPUS / FUNCTIONS)
    with ProcessPoolExecutor(2) as pool:
        shared, split = pool.map(simulated, [(None, options.seed), (equal, options.seed)])
    harness.print_table(
        ["", "inside", "misses", "replica s", "worst function"],
        [
            [
                name,
                f"{row['within']:.4f}",
                f"{row['misses']:,.0f}",
                f"{row['replica_seconds']:,.0f}",
                f"{row['worst_function']:.4f}",
            ]
            for name, row in (("shared by need", shared), (f"split, {equal} each", split))
        ],
    )
    fewer = split["misses"] / max(shared["misses"], 1)
    print(f"\n{fewer:.1f} times fewer misses than an equal split (bar: at least {FEWER_BAR})")
    results = {"shared": shared, "split": split, "fewer_misses": fewer}
    print(f"written: {harness.save('sharing', results, keep=options.keep)}")


if __name__ == "__main__":
    main()

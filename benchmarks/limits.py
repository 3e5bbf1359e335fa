"""How much of the most that any policy could reach does the default reach at twice the capacity?

The models of `policies.py` (objective 100 ms, batches of up to 64), one and four replicas, service times exact and with a
noise of 10 and 20 %, Poisson arrivals at twice the capacity for half a minute of virtual time, so that the ends of a run
count little. The bound is `sojourn.study.goodput_bound`: it knows the future and may start each batch whenever it likes.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import mean

import harness
from policies import BATCH_MAX, MODELS, OBJECTIVE, REPLICAS, TRANSIENT_S, WORKERS, Cell, simulated

from sojourn.sim.replica import ModelledService
from sojourn.study.goodput_bound import most_on_time
from sojourn.study.work import least_work

LOAD, NOISES, BAR = 2.0, (0.0, 0.1, 0.2), 0.95


def of_the_bound(task: tuple[Cell, float, int]) -> float:
    """Requests in time over the bound, for those that arrive after the transient."""
    cell, duration_s, seed = task
    alpha_s, beta_s = MODELS[cell.model]
    work = least_work(ModelledService(alpha_s, beta_s, sigma=cell.noise), BATCH_MAX, OBJECTIVE.latency_s)
    arrivals_s = [at_s for at_s in cell.arrivals_s(duration_s + TRANSIENT_S, seed) if at_s >= TRANSIENT_S]
    within_share = simulated((cell, "slo", duration_s, seed))
    return within_share * len(arrivals_s) / most_on_time(arrivals_s, work, cell.replicas)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=30.0, help="virtual seconds of each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[31, 32, 33], help="their means are told")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    cells = [Cell(model, n, noise, "poisson", LOAD) for model, n, noise in product(MODELS, REPLICAS, NOISES)]
    tasks = [(cell, options.duration, seed) for cell in cells for seed in options.seeds]
    with ProcessPoolExecutor(WORKERS) as pool:
        shares = list(pool.map(of_the_bound, tasks))
    found = {cell: mean(share for task, share in zip(tasks, shares, strict=True) if task[0] == cell) for cell in cells}
    rows = [
        [f"{model}, n = {n}", *(f"{found[Cell(model, n, noise, 'poisson', LOAD)]:.3f}" for noise in NOISES)]
        for model, n in product(MODELS, REPLICAS)
    ]
    harness.print_table(["share of the bound", *(f"noise {noise:g}" for noise in NOISES)], rows)
    held = sum(share >= BAR for share in found.values())
    print(f"{held} of {len(cells)} reach {BAR:g}")
    kept = [{**cell._asdict(), "of_bound": share} for cell, share in found.items()]
    print(f"written: {harness.save('limits', {'cells': kept}, keep=options.keep)}")


if __name__ == "__main__":
    main()

"""All batching policies side by side: what share of the requests each answers within the objective.

Three emulated models (2 ms + 8 ms x b as on a processor, 8 + 4 x b, 20 + 1 x b as on an accelerator) under an
objective of 100 ms; 1 and 4 replicas; service times exact and with a noise of 20 %; Poisson arrivals from 0.6 to
2 times the capacity, and bursts at a mean of 0.6. The production core runs in virtual time (`sojourn.sim`). With
--live a few cells also run against a real server, on the same arrivals.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from random import Random
from statistics import mean
from typing import NamedTuple

import harness

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.domain.request import Outcome
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.record import OUTCOMES
from sojourn.loadgen.result import summarize
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import parse_target
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.workload.arrivals import on_off, poisson

MODELS = {"cpu": (0.008, 0.002), "mid": (0.004, 0.008), "gpu": (0.001, 0.020)}  # seconds per item, per batch
OBJECTIVE = SLO(latency_s=0.1, objective=0.99)
BATCH_MAX = 64
REPLICAS, NOISES, LOADS = (1, 4), (0.0, 0.2), (0.6, 0.8, 0.9, 1.0, 1.1, 1.5, 2.0)
BURST_LOAD, BURST_ON_SHARE, BURST_PERIOD_S = 0.6, 1 / 3, 1.0  # so the bursts come at 1.8 times the capacity
QUICK_LOADS = (0.6, 0.9, 1.1, 2.0)
TRANSIENT_S = 5.0
WORKERS = 2
BEHIND = 0.03  # of the best policy of a regime: what is worth a line of its own
LIVE_ATTEMPTS_MAX = 4


class Cell(NamedTuple):
    """One regime: model, replicas, sigma of the service time's logarithm, kind of arrivals, share of capacity."""

    model: str
    replicas: int
    noise: float
    arrivals: str
    load: float

    @property
    def capacity_per_s(self) -> float:
        """Requests per second in batches of the largest size with which staggered replicas hold the objective."""
        alpha_s, beta_s = MODELS[self.model]
        size = max(int((OBJECTIVE.latency_s / (1 + 1 / self.replicas) - beta_s) / alpha_s + 1e-9), 1)
        return self.replicas * size / (alpha_s * size + beta_s)

    def arrivals_s(self, duration_s: float, seed: int) -> Iterable[float]:
        """Instants of arrivals, the same for every policy."""
        rng = Random(f"{self} {seed}")  # noqa: S311 - arrivals are no secret
        rate_per_s = self.load * self.capacity_per_s
        if self.arrivals == "poisson":
            return poisson(rate_per_s, duration_s, rng)
        return on_off(rate_per_s, duration_s, rng, on_share=BURST_ON_SHARE, period_s=BURST_PERIOD_S)


LIVE = (
    (Cell("gpu", 1, 0.0, "poisson", 0.9), "slo"),
    (Cell("gpu", 1, 0.2, "poisson", 1.1), "window"),
    (Cell("mid", 1, 0.0, "poisson", 0.8), "consolidate"),
)


def cells(loads: Iterable[float]) -> list[Cell]:
    """All regimes, in the order of the table."""
    shapes = [*(("poisson", load) for load in loads), ("bursts", BURST_LOAD)]
    return [Cell(*regime, *shape) for *regime, shape in product(MODELS, REPLICAS, NOISES, shapes)]


def simulated(task: tuple[Cell, str, float, int]) -> float:
    """Share in time of one policy in one regime with one seed."""
    cell, policy, duration_s, seed = task
    settings = FunctionSettings(
        name="f",
        slo=OBJECTIVE,
        max_batch_size=BATCH_MAX,
        min_replicas=cell.replicas,
        max_replicas=cell.replicas,
        batching=BATCHING_BY_NAME[policy],
    )
    alpha_s, beta_s = MODELS[cell.model]
    rng = Random(seed)  # noqa: S311 - noise is no secret
    simulation = Simulation(
        Dispatcher(settings, batching_policy(settings.batching)),
        Controller(rng),
        ModelledService(alpha_s, beta_s, sigma=cell.noise),
        rng,
    )
    return simulation.run(cell.arrivals_s(duration_s + TRANSIENT_S, seed), transient_s=TRANSIENT_S).within_share


def live(cell: Cell, policy: str, duration_s: float, seed: int) -> float | None:
    """Share in time of one policy in one regime on a real server, or None if no run was valid."""
    alpha_s, beta_s = MODELS[cell.model]
    environment = {
        "SOJOURN_FN_ALPHA_S": str(alpha_s),
        "SOJOURN_FN_BETA_S": str(beta_s),
        "SOJOURN_FN_JITTER": str(cell.noise),
        "SOJOURN_FN_MAX_BATCH": str(BATCH_MAX),
        "SOJOURN_FN_SLO": str(OBJECTIVE),
        "SOJOURN_FN_BATCHING": policy,
    }
    length_s = duration_s + TRANSIENT_S
    for _ in range(LIVE_ATTEMPTS_MAX):
        with harness.start_server("accelerator.py", environment) as server:
            run = run_load(
                parse_target(f"{server.url}/functions/accelerator"),
                cell.arrivals_s(length_s, seed),
                lambda index: b'{"id":%d}' % index,
                options=LoadOptions(connections_max=10_000),
            )
        result = summarize(run, duration_s=length_s, slo=OBJECTIVE)
        if result.void:
            print(f"{cell} {policy}: void, again: {result.void_reason}", file=sys.stderr)
            continue
        served = OUTCOMES.index(Outcome.SERVED)
        counted = zip(run.log.intended_at_s, run.log.outcome, run.log.latency_s, strict=True)
        inside = [
            outcome == served and latency_s <= OBJECTIVE.latency_s
            for at_s, outcome, latency_s in counted
            if at_s >= TRANSIENT_S
        ]
        return mean(inside) if inside else None
    return None


def measure(regimes: list[Cell], duration_s: float, seeds: range, workers: int) -> dict[Cell, dict[str, float]]:
    """Mean share over the seeds, by regime and policy."""
    tasks = [(cell, policy, duration_s, seed) for cell, policy, seed in product(regimes, BATCHING_BY_NAME, seeds)]
    shares: dict[Cell, dict[str, list[float]]] = {cell: {name: [] for name in BATCHING_BY_NAME} for cell in regimes}
    with ProcessPoolExecutor(workers) as pool:
        for number, (task, share) in enumerate(zip(tasks, pool.map(simulated, tasks, chunksize=1), strict=True), 1):
            shares[task[0]][task[1]].append(share)
            if number % (len(tasks) // 10 or 1) == 0:
                print(f"{number} of {len(tasks)} runs", file=sys.stderr)
    return {cell: {name: mean(values) for name, values in row.items()} for cell, row in shares.items()}


def relative_to_best(shares: dict[Cell, dict[str, float]]) -> dict[str, float]:
    """Mean over the regimes of each policy's share, relative to the best of its row."""
    return {name: mean(row[name] / max(1e-9, *row.values()) for row in shares.values()) for name in BATCHING_BY_NAME}


def print_shares(shares: dict[Cell, dict[str, float]]) -> None:
    """A row per regime; the best of each row, and what equals it to the digits shown, has a star."""
    rows = []
    for cell, row in shares.items():
        best = max(row.values())
        marked = [f"{share:.3f}{'*' if share >= best - 0.0005 else ' '}" for share in row.values()]
        rows.append([f"{cell.model} n={cell.replicas} noise {cell.noise:g} {cell.arrivals} {cell.load:g}", *marked])
    relative = relative_to_best(shares)
    worst = {name: min(row[name] / max(1e-9, *row.values()) for row in shares.values()) for name in relative}
    rows.append(["mean share of the best", *(f"{value:.3f} " for value in relative.values())])
    rows.append(["least share of the best", *(f"{value:.3f} " for value in worst.values())])
    harness.print_table(["", *(f"{name} " for name in relative)], rows)


def print_default(shares: dict[Cell, dict[str, float]]) -> list[dict[str, object]]:
    """Where the default is more than 3 % behind the best of a regime, and its goodput past saturation."""
    behind = []
    for cell, row in shares.items():
        best = max(row, key=row.__getitem__)
        if row["slo"] < (1 - BEHIND) * row[best]:
            behind.append({**cell._asdict(), "slo": row["slo"], "best": best, "share_in_time": row[best]})
    print(f"\nslo is more than {BEHIND:.0%} behind the best in {len(behind)} of {len(shares)} regimes")
    for place in behind:
        print("  " + ", ".join(f"{name} {value}" for name, value in place.items()))
    goodputs = {(*cell[:3], f"{cell.load:g}"): row["slo"] * cell.load for cell, row in shares.items() if cell.load >= 2}
    told = ", ".join(f"{' '.join(map(str, place[:3]))}: {share:.3f}" for place, share in goodputs.items())
    print(f"slo's goodput at twice the capacity, as a share of capacity (by model, replicas, noise): {told}")
    return behind


def spot_check(duration_s: float) -> list[dict[str, object]]:
    """Simulated and live shares of a few cells, printed and returned."""
    harness.pin_this_process()
    rows, results = [], []
    for cell, policy in LIVE:
        predicted, seen = simulated((cell, policy, duration_s, 0)), live(cell, policy, duration_s, 0)
        told = "void" if seen is None else f"{seen:.3f}"
        rows.append([f"{cell.model} noise {cell.noise:g} load {cell.load:g} {policy}", f"{predicted:.3f}", told])
        results.append({**cell._asdict(), "policy": policy, "simulated": predicted, "live": seen})
    print("\nSpot check against a real server, one replica:")
    harness.print_table(["", "simulated", "live"], rows)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, short runs, fewer loads: about a minute")
    parser.add_argument("--duration", type=float, default=30.0, help="virtual seconds of each run that count")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each cell")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first of them")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes that simulate")
    parser.add_argument("--live", action="store_true", help="also run a few cells against a real server")
    parser.add_argument("--live-only", action="store_true", help="nothing but the cells against a real server")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    duration_s, seeds, loads = (8.0, 1, QUICK_LOADS) if options.quick else (options.duration, options.seeds, LOADS)
    chances = range(options.first_seed, options.first_seed + seeds)
    results: dict[str, object] = {"objective": str(OBJECTIVE), "duration_s": duration_s, "seeds": list(chances)}
    if not options.live_only:
        shares = measure(cells(loads), duration_s, chances, options.workers)
        print_shares(shares)
        results["shares"] = [{**cell._asdict(), "share_in_time": row} for cell, row in shares.items()]
        results["relative_to_best"] = relative_to_best(shares)
        results["default_behind"] = print_default(shares)
    if options.live or options.live_only:
        results["live"] = spot_check(duration_s)
    name = "policies-live" if options.live_only else "policies"  # the shares of all cells are not to be lost
    print(f"written: {harness.save(name, results, keep=options.keep)}")


if __name__ == "__main__":
    main()

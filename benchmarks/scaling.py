"""All scaling policies side by side: share inside the objective, replica time, cold starts, time to recover.

One function on an emulated accelerator (5 ms + 0.5 ms x b, b <= 8, 99 % < 100 ms, up to 8 replicas, a start takes
0.6 s) gets the same arrivals under every policy: Poisson, a step from 100 to 1,500/s, bursts, a day in ten minutes,
and a sparse hour. The production core runs in virtual time (`sojourn.sim`); the best fixed number of replicas stands
beside. With --live the step also runs on a real server.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from random import Random
from typing import NamedTuple

import harness

from sojourn.cli.replica_use import replica_use
from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import (
    SCALING_BY_NAME,
    AdaptiveKeepAlive,
    FixedKeepAlive,
    FixedReplicas,
    KeepAliveSpec,
    ScalingSpec,
)
from sojourn.domain.request import Outcome
from sojourn.domain.resources import Resources
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.record import OUTCOMES
from sojourn.loadgen.result import summarize
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import parse_target
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.sim.result import SimulationResult
from sojourn.workload.arrivals import poisson, steps

SERVICE = ModelledService(alpha_s=0.0005, beta_s=0.005, sigma=0.05, cold_start_s=0.6)
OBJECTIVE = SLO(latency_s=0.1, objective=0.99)
BATCH_MAX, REPLICAS_MAX = 8, 8
WARM_UP_S = 90.0  # so that no policy still remembers its own start; not counted
WORKERS = 2
RECOVERED_SHARE, RECOVERED_CELL_S, RECOVERED_CELLS = 0.99, 0.1, 10
STEP_PER_S = (100.0, 1500.0)
STEP_S = 60.0
BURST = ((300.0, 20.0), (2400.0, 5.0))
DAY_S, DAY_LOW_PER_S, DAY_HIGH_PER_S = 600.0, 100.0, 2000.0
SPARSE_S, SPARSE_GAP_S = 24 * 3600.0, 900.0


class Workload(NamedTuple):
    """Arrivals by name; `judged_from_s` is where a step happens whose recovery is timed, or None."""

    name: str
    seed: int

    def arrivals_s(self) -> Iterable[float]:
        """Instants, the same for every policy."""
        rng = Random(f"{self.name} {self.seed}")  # noqa: S311 - arrivals are no secret
        if self.name.startswith("poisson"):
            return poisson(float(self.name.split()[1]), WARM_UP_S + 120.0, rng)
        if self.name == "step":
            return steps([(STEP_PER_S[0], WARM_UP_S), (STEP_PER_S[1], STEP_S)], rng)
        if self.name == "bursts":
            return steps([(BURST[0][0], WARM_UP_S), *(BURST * 6)], rng)
        if self.name == "day":
            return _thinned(DAY_HIGH_PER_S, WARM_UP_S + DAY_S, _day_per_s, rng)
        return _sparse(rng)


def _day_per_s(at_s: float) -> float:
    swing = (DAY_HIGH_PER_S - DAY_LOW_PER_S) / 2
    return DAY_LOW_PER_S + swing * (1 - math.cos(2 * math.pi * (at_s - WARM_UP_S) / DAY_S))


def _thinned(highest_per_s: float, duration_s: float, per_s: object, rng: Random) -> Iterable[float]:
    """Poisson arrivals at a rate that changes all the time (thinning: Lewis and Shedler, 1979)."""
    assert callable(per_s)
    return (at_s for at_s in poisson(highest_per_s, duration_s, rng) if rng.random() * highest_per_s < per_s(at_s))


def _sparse(rng: Random) -> Iterable[float]:
    """A few requests every few minutes, as from a timer with some that come by themselves."""
    at_s = 0.0
    while at_s < SPARSE_S:
        at_s += rng.gauss(SPARSE_GAP_S, SPARSE_GAP_S / 20) if rng.random() < 0.8 else rng.expovariate(1 / SPARSE_GAP_S)
        for _ in range(rng.choice((1, 1, 2, 5))):
            yield at_s
            at_s += 0.2


class Row(NamedTuple):
    """What one policy came to on one workload."""

    workload: str
    policy: str
    within: float
    misses: int
    replica_seconds: float
    replicas_max: int
    cold_starts: int
    recovered_s: float | None


def simulated(task: tuple[Workload, str, ScalingSpec, KeepAliveSpec]) -> Row:
    """One policy on one workload."""
    workload, policy, scaling, keepalive = task
    settings = FunctionSettings(
        name="f",
        slo=OBJECTIVE,
        max_batch_size=BATCH_MAX,
        max_replicas=REPLICAS_MAX,
        cpus=0.1,
        scaling=scaling,
        keepalive=keepalive,
    )
    rng = Random(workload.seed)  # noqa: S311 - noise is no secret
    run = Simulation(
        Dispatcher(settings, batching_policy(settings.batching)), Controller(rng, Resources(cpus=2.0)), SERVICE, rng
    )
    warm_up_s = 0.0 if workload.name == "sparse" else WARM_UP_S
    result = run.run(workload.arrivals_s(), transient_s=warm_up_s)
    return Row(
        workload.name,
        policy,
        result.within_share,
        result.sent - result.within_slo,
        _replica_seconds(result, warm_up_s),
        max(count for at_s, count in result.replicas if at_s >= warm_up_s or at_s == result.replicas[-1][0]),
        sum(1 for at_s, _ in result.starts if at_s >= warm_up_s),
        _recovered_s(result) if workload.name == "step" else None,
    )


def _replica_seconds(result: SimulationResult, from_s: float) -> float:
    """Replica time from an instant on."""
    total, end_s = 0.0, from_s + result.duration_s
    changes = [*result.replicas, (end_s, 0)]
    for (begin_s, count), (until_s, _) in pairwise(changes):
        total += count * max(min(until_s, end_s) - max(begin_s, from_s), 0.0)
    return total


def _recovered_s(result: SimulationResult) -> float:
    """Seconds from the step until a second without a miss begins; infinite if none does."""
    last_s = WARM_UP_S
    for at_s in sorted(at_s for at_s in result.misses if at_s >= WARM_UP_S):
        if at_s - last_s >= RECOVERED_CELL_S * RECOVERED_CELLS:
            break
        last_s = at_s
    return last_s - WARM_UP_S


def best_fixed(workload: Workload) -> Row:
    """The fewest replicas, always the same number, that hold the objective; the most there may be if none does."""
    for replicas in range(1, REPLICAS_MAX + 1):
        row = simulated((workload, f"best fixed: {replicas}", FixedReplicas(replicas), FixedKeepAlive(math.inf)))
        if row.within >= OBJECTIVE.objective:
            break
    return row


def live(scaling: str) -> Row | None:
    """The step on a real server, or None if the load generator could not keep up."""
    environment = {
        "SOJOURN_FN_ALPHA_S": str(SERVICE.alpha_s),
        "SOJOURN_FN_BETA_S": str(SERVICE.beta_s),
        "SOJOURN_FN_MAX_BATCH": str(BATCH_MAX),
        "SOJOURN_FN_SLO": str(OBJECTIVE),
        "SOJOURN_FN_SCALING": scaling,
        "SOJOURN_FN_MAX_REPLICAS": str(REPLICAS_MAX),
        "SOJOURN_FN_LOAD_S": "0.5",
    }
    with harness.start_server("accelerator.py", environment) as server:
        target = parse_target(f"{server.url}/functions/accelerator")
        rng = Random(1)  # noqa: S311 - arrivals are no secret
        run_load(target, poisson(STEP_PER_S[0], 10.0, rng), _body, options=LoadOptions())
        before = replica_use(server.admin_url, "accelerator")
        run = run_load(target, poisson(STEP_PER_S[1], STEP_S, rng), _body, options=LoadOptions())
        use = replica_use(server.admin_url, "accelerator").since(before)
    result = summarize(run, duration_s=STEP_S, slo=OBJECTIVE)
    if result.void_reason:
        print(f"live {scaling}: void: {result.void_reason}", file=sys.stderr)
        return None
    within = result.within_slo or 0.0
    misses = round((1 - within) * result.sent)
    return Row(
        "step, live",
        scaling,
        within,
        misses,
        use.replica_seconds,
        use.replicas_max,
        use.cold_starts,
        _calm_after_s(run),
    )


def _calm_after_s(run: LoadRun) -> float:
    """Seconds from the step until a second without a miss begins."""
    served, last_s = OUTCOMES.index(Outcome.SERVED), 0.0
    log = run.log
    for intended_s, latency_s, outcome in zip(log.intended_at_s, log.latency_s, log.outcome, strict=True):
        if outcome != served or latency_s > OBJECTIVE.latency_s:
            if intended_s - last_s >= RECOVERED_CELL_S * RECOVERED_CELLS:
                break
            last_s = intended_s
    return last_s


def _body(number: int) -> bytes:
    return b'{"id":%d}' % number


def tasks(seed: int) -> list[tuple[Workload, str, ScalingSpec, KeepAliveSpec]]:
    """All that is simulated, in the order of the table."""
    listed: list[tuple[Workload, str, ScalingSpec, KeepAliveSpec]] = []
    ten_minutes = FixedKeepAlive(600.0)
    for name in ("poisson 300", "poisson 1200", "poisson 2400", "step", "bursts", "day"):
        listed += [
            (Workload(name, seed), policy, spec, ten_minutes)
            for policy, spec in SCALING_BY_NAME.items()
            if policy != "fixed"
        ]
    sparse = Workload("sparse", seed)
    listed.append((sparse, "slo, adaptive keep-alive", SCALING_BY_NAME["slo"], AdaptiveKeepAlive()))
    listed.append((sparse, "slo, fixed 10 min", SCALING_BY_NAME["slo"], ten_minutes))
    return listed


def _table(rows: Sequence[Row]) -> list[list[str]]:
    return [
        [
            row.workload,
            row.policy,
            f"{row.within:.4f}",
            f"{row.misses:,}",
            f"{row.replica_seconds:,.0f}",
            str(row.replicas_max),
            str(row.cold_starts),
            "" if row.recovered_s is None else f"{row.recovered_s:.1f} s",
        ]
        for row in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--live", action="store_true", help="also run the step on a real server")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    listed = tasks(options.seed)
    workloads = list(dict.fromkeys(task[0] for task in listed if task[0].name != "sparse"))
    with ProcessPoolExecutor(WORKERS) as pool:
        rows = list(pool.map(simulated, listed, chunksize=1))
        rows += pool.map(best_fixed, workloads, chunksize=1)
    order = {workload: place for place, workload in enumerate(dict.fromkeys(row.workload for row in rows))}
    rows.sort(key=lambda row: order[row.workload])
    if options.live:
        harness.pin_this_process()
        rows += [row for row in map(live, ("slo", "concurrency", "ongoing")) if row is not None]
    harness.print_table(
        ["workload", "policy", "inside", "misses", "replica s", "most", "starts", "recovered"], _table(rows)
    )
    by_key = {(row.workload, row.policy): row for row in rows}
    ours, knative = by_key["bursts", "slo"], by_key["bursts", "concurrency"]
    ratio = knative.misses / max(ours.misses, 1)
    print(
        f"\nbursts: {ratio:.1f} times fewer misses than `concurrency` (bar: at least 2.3) with "
        f"{ours.replica_seconds / knative.replica_seconds:.2f} of its replica time (bar: at most 1)"
    )
    step = by_key["step", "slo"]
    print(
        f"step: {step.within:.4f} inside (bar: at least 0.97), recovered after {step.recovered_s:.1f} s "
        f"(bar: {SERVICE.cold_start_s + 1:g} s)"
    )
    results = {"rows": [row._asdict() for row in rows], "bursts_fewer_misses": ratio}
    print(f"written: {harness.save('scaling', results, keep=options.keep)}")


if __name__ == "__main__":
    main()

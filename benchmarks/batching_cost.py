"""What one decision of each batching policy costs in processor time, by length of the queue.

The function is an emulated accelerator (20 ms + 1 ms x b, noise 20 %, objective 100 ms). Its queue is what arrived at
1.2 times the capacity and has not been dispatched, so that heads have to be given up once it is long. Each policy is
asked over and over at slightly different moments, for one and for four replicas. The answers are not carried out: what
the dispatcher does with them costs every policy the same. A mean of the default over what a run at the given loads asks
it stands apart: there the production core asks, in virtual time.
"""

from __future__ import annotations

import argparse
import time
from random import Random
from statistics import mean, median

import harness
from policies import BATCH_MAX, OBJECTIVE, Cell

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.function import FunctionSettings
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.estimate.rate import EventRate
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.policy.batching.port import BatchingPolicy, BatchingView, Send, Wait
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService

ALPHA_S, BETA_S, SIGMA = 0.001, 0.020, 0.2
LENGTHS = (1, 3, 10, 30, 100, 300, 1000)
REPLICAS = (1, 4)
OVERLOAD = 1.2
NOW_S = 100.0
ROUNDS, ASKED = 7, 400
RUNS = (
    *(Cell("gpu", n, 0.2, "poisson", load) for n in REPLICAS for load in (0.6, 0.9, 1.1, 2.0)),
    Cell("gpu", 4, 0.2, "bursts", 0.6),
    Cell("cpu", 4, 0.2, "poisson", 1.1),
)


def learnt() -> ServiceTimeModel:
    """Service times as they are known after two hundred batches of all sizes."""
    rng, model = Random(1), ServiceTimeModel(BATCH_MAX)  # noqa: S311 - noise is no secret
    service = ModelledService(ALPHA_S, BETA_S, SIGMA)
    for index in range(200):
        size = index % BATCH_MAX + 1
        model.observe(size, service.duration_s(size, rng), NOW_S - 20.0 + index * 0.1)
    return model


def asked(policy: str, length: int, replicas: int, model: ServiceTimeModel) -> float:
    """Processor time of one decision with this many queued, median over rounds, in microseconds."""
    rate_per_s = OVERLOAD * Cell("gpu", replicas, SIGMA, "poisson", 1.0).capacity_per_s
    arrivals = EventRate(2.0, 80)
    for number in range(int(2 * rate_per_s)):
        arrivals.record(NOW_S - 2.0 + number / rate_per_s)
    arrived_s = [NOW_S - back / rate_per_s for back in range(length - 1, -1, -1)]
    # By turns two queues with heads of their own: a wait that was decided before must not be what is measured.
    queues = [
        [(1, at_s + OBJECTIVE.latency_s, at_s, first + i) for i, at_s in enumerate(arrived_s)] for first in (0, 9999)
    ]
    view = BatchingView(
        now_s=NOW_S,
        queue=queues[0],
        late=[],
        replicas=replicas,
        arrivals=arrivals,
        model=model,
        latency_s=OBJECTIVE.latency_s,
        largest_batch=BATCH_MAX,
    )
    decide = batching_policy(BATCHING_BY_NAME[policy]).decide
    rounds = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        for number in range(ASKED):
            view.queue = queues[number % 2]
            view.now_s = NOW_S + number * 1e-6
            decide(view)
        rounds.append((time.process_time() - began_s) / ASKED * 1e6)
    return median(rounds)


class Timed:
    """A batching policy that notes what its decisions cost and how long the queue was."""

    def __init__(self, policy: BatchingPolicy) -> None:
        self.heeds_deadlines = policy.heeds_deadlines
        self.costs_us: list[float] = []
        self.lengths: list[int] = []
        self._policy = policy
        self._clock_ns = min(-(time.process_time_ns() - time.process_time_ns()) for _ in range(1000))

    @property
    def room(self) -> int:
        """What the policy says."""
        return self._policy.room

    def decide(self, view: BatchingView) -> Send | Wait:
        """Ask the policy."""
        self.lengths.append(len(view.queue))
        began_ns = time.process_time_ns()
        answer = self._policy.decide(view)
        self.costs_us.append((time.process_time_ns() - began_ns - self._clock_ns) / 1000)
        return answer


def in_a_run(cell: Cell, duration_s: float) -> dict[str, float]:
    """What the default's decisions cost in a run of the production core, and how many there were per batch."""
    spec = BATCHING_BY_NAME["slo"]
    policy = Timed(batching_policy(spec))
    settings = FunctionSettings(
        name="f",
        slo=OBJECTIVE,
        max_batch_size=BATCH_MAX,
        min_replicas=cell.replicas,
        max_replicas=cell.replicas,
        batching=spec,
    )
    rng = Random(1)  # noqa: S311 - noise is no secret
    alpha_s, beta_s = (0.008, 0.002) if cell.model == "cpu" else (ALPHA_S, BETA_S)
    run = Simulation(
        Dispatcher(settings, policy), Controller(rng), ModelledService(alpha_s, beta_s, sigma=cell.noise), rng
    )
    result = run.run(cell.arrivals_s(duration_s, 1))
    batches = max(len(result.batch_sizes), 1)
    return {
        "us_per_decision": mean(policy.costs_us),
        "us_per_dispatch": sum(policy.costs_us) / batches,
        "decisions_per_dispatch": len(policy.costs_us) / batches,
        "queue_mean": mean(policy.lengths),
        "queue_max": max(policy.lengths),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=20.0, help="virtual seconds of each run")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    model = learnt()
    costs = [
        {"policy": policy, "replicas": n, "us": {length: asked(policy, length, n, model) for length in LENGTHS}}
        for policy in BATCHING_BY_NAME
        for n in REPLICAS
    ]
    print("us per decision, by requests queued:")
    rows = [[f"{row['policy']} n={row['replicas']}", *(f"{us:.1f}" for us in row["us"].values())] for row in costs]
    harness.print_table(["", *map(str, LENGTHS)], rows)
    runs = [{**cell._asdict(), **in_a_run(cell, options.duration)} for cell in RUNS]
    print("\nslo in runs of the production core, us per dispatch (a batch sent), with the decisions to wait:")
    columns = ("us_per_dispatch", "us_per_decision", "decisions_per_dispatch", "queue_mean", "queue_max")
    told = [
        [f"{run['model']} n={run['replicas']} {run['arrivals']} {run['load']:g}", *(f"{run[c]:.1f}" for c in columns)]
        for run in runs
    ]
    harness.print_table(["", *columns], told)
    results: dict[str, object] = {"us_per_decision": costs, "slo_in_runs": runs}
    print(f"written: {harness.save('batching_cost', results, keep=options.keep)}")


if __name__ == "__main__":
    main()

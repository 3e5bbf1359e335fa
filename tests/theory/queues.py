"""Queues of the textbook, run on the production core in virtual time: nothing is batched, refused or scaled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import fsum, sqrt
from random import Random

from sojourn.core.admission import QueueBounds
from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.function import FunctionSettings
from sojourn.domain.policy import FixedReplicas, NoBatching
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.arrival import Arrival
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService

SERVICE_S = 0.001  # so short that no service, however unlucky, looks like a replica that hangs
OPEN = QueueBounds(requests=1_000_000, predicts=False)


def mean_wait_s(
    *, servers: int, load: float, requests: int, seed: int, service: ModelledService, exponential: bool = False
) -> float:
    """Mean time from arrival to start of service in one run that starts and ends empty.

    Args:
        servers: Replicas.
        load: Arrival rate x mean service time over `servers`, in (0, 1).
        requests: How many Poisson arrivals.
        seed: Of arrivals and service times.
        service: Their service times.
        exponential: Whether they are multiplied with exponential numbers of mean 1.
    """
    settings = FunctionSettings(
        name="queue", max_batch_size=1, batching=NoBatching(), scaling=FixedReplicas(servers), timeout_s=1000.0
    )
    dispatcher = Dispatcher(settings, batching_policy(settings.batching), OPEN)
    simulation = Simulation(dispatcher, Controller(Random(seed)), service, Random(f"{seed} times"))
    rate_per_s = servers * load / service.mean_s(1)

    def arrivals() -> Iterator[Arrival]:
        rng, at_s = Random(f"{seed} arrivals"), 0.0
        for _ in range(requests):
            at_s += rng.expovariate(rate_per_s)
            weight = rng.expovariate(1.0) if exponential else 1.0
            yield Arrival(at_s, weight=weight)

    result = simulation.run(arrivals())

    assert len(result.latencies_s) == requests, "everybody is served"
    return (fsum(result.latencies_s) - result.busy_s) / requests


def standard_errors_off(values: Sequence[float], expected: float) -> float:
    """By how many standard errors the mean of independent replications misses what theory says."""
    count = len(values)
    mean = fsum(values) / count
    variance = fsum((value - mean) ** 2 for value in values) / (count - 1)
    return abs(mean - expected) / sqrt(variance / count)

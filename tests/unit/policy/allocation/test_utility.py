"""The predicted utility against the production core in virtual time."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.demand import ServiceTimes
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import FixedReplicas
from sojourn.domain.resources import Resources
from sojourn.policy.allocation.port import Demand
from sojourn.policy.allocation.utility import _wait_s, utility
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.workload.arrivals import poisson

LATENCY_S, LARGEST = 0.1, 64


def predicted(alpha_s, beta_s, arrivals_per_s):
    """The fewest replicas with which the utility says all is well."""
    table_s = (0.0, *(beta_s + alpha_s * size for size in range(1, LARGEST + 1)))
    demand = Demand(
        function="f",
        claim=Resources(cpus=1),
        wanted=20,
        arrivals_per_s=arrivals_per_s,
        service=ServiceTimes(1, table_s, table_s, LARGEST, 1000),
        latency_s=LATENCY_S,
    )
    return next(replicas for replicas in count(1) if utility(demand, replicas) > 0.999)


def simulated(alpha_s, beta_s, arrivals_per_s):
    """The fewest replicas with which 99 % of Poisson arrivals are answered in time."""
    for replicas in count(1):
        fixed = FixedReplicas(replicas)
        settings = FunctionSettings(name="f", slo=SLO(LATENCY_S, 0.99), max_batch_size=LARGEST, scaling=fixed)
        rng = Random(1)
        simulation = Simulation(
            Dispatcher(settings, batching_policy(settings.batching)),
            Controller(rng),
            ModelledService(alpha_s, beta_s, sigma=0.0),
            rng,
        )
        if simulation.run(poisson(arrivals_per_s, 15.0, Random(2)), transient_s=5.0).within_share >= 0.99:
            return replicas
    raise AssertionError


def test_a_request_waits_for_the_next_of_the_staggered_replicas():
    """Half busy with full batches: next to no queue, but up to a batch's time, or a quarter of it with four replicas."""
    assert _wait_s(0.040, 1, 0.5 / 0.040, 32) == pytest.approx(0.040, rel=0.15)
    assert _wait_s(0.040, 4, 2.0 / 0.040, 32) == pytest.approx(0.010, rel=0.15)
    assert _wait_s(0.040, 4, 0.1 / 0.040, 32) == 0.0


@pytest.mark.parametrize(
    ("alpha_s", "beta_s", "arrivals_per_s"),
    [(0.008, 0.002, 50), (0.008, 0.002, 400), (0.004, 0.008, 400), (0.001, 0.020, 150), (0.001, 0.020, 1000)],
)
def test_enough_replicas_by_the_formula_are_enough_in_the_simulator(alpha_s, beta_s, arrivals_per_s):
    """For models like a processor's and an accelerator's, the two agree within one replica."""
    assert abs(predicted(alpha_s, beta_s, arrivals_per_s) - simulated(alpha_s, beta_s, arrivals_per_s)) <= 1

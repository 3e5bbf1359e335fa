"""The same arrivals live and simulated: real processes under an emulated accelerator, and the core in virtual time.

How near the two are is measured by `benchmarks/fidelity.py`, on two cores of their own. Here it is only shown that they tell
the same story, with room for a busy machine.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import Server

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.result import summarize
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import parse_target
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.workload.arrivals import on_off, poisson, steps

ALPHA_S, BETA_S, BATCH_MAX, LATENCY_S, LENGTH_S = 0.004, 0.040, 16, 0.3, 8.0
APP = f"""
import time
import sojourn

@sojourn.function(slo="99% < 300ms", max_batch_size={BATCH_MAX}, max_replicas=1, min_replicas=1, examples=[1])
def naps(items: list[int]) -> list[int]:
    time.sleep({BETA_S} + {ALPHA_S} * len(items))
    return items
"""
SHAPES = {
    "poisson": lambda rng: poisson(90.0, LENGTH_S, rng),
    "bursts": lambda rng: on_off(60.0, LENGTH_S, rng, on_share=0.4, period_s=2.0, phases="fixed"),
    "past capacity": lambda rng: steps([(50.0, LENGTH_S / 2), (300.0, LENGTH_S / 2)], rng),
}


def live(arrivals_s, directory):
    """Share in time, mean batch and requests of a real server."""
    with Server(directory, APP) as server:
        url = f"{server.inference.geturl()}/functions/naps"
        run = run_load(parse_target(url), iter(arrivals_s), [b"1"], options=LoadOptions(connections_max=2000))
        result = summarize(run, duration_s=LENGTH_S, slo=SLO(LATENCY_S))
    return result.within_slo, result.batch_size_mean, result.sent


def simulated(arrivals_s):
    """The same in virtual time; the server was ready for a while before the first request."""
    settings = FunctionSettings(
        name="naps", slo=SLO(LATENCY_S), max_batch_size=BATCH_MAX, min_replicas=1, max_replicas=1
    )
    simulation = Simulation(
        Dispatcher(settings, batching_policy(settings.batching)),
        Controller(Random(1)),
        ModelledService(ALPHA_S, BETA_S, sigma=0.01, overhead_s=0.001),
        Random(1),
    )
    result = simulation.run([1.0 + at_s for at_s in arrivals_s])
    return result.within_share, result.batch_size_mean, result.sent


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_live_and_simulated_tell_the_same_story(shape, tmp_path):
    """Share in time within ten points, mean batch within a third, on three shapes of arrivals."""
    arrivals_s = list(SHAPES[shape](Random(3)))
    within, batch, sent = live(arrivals_s, tmp_path)
    within_there, batch_there, sent_there = simulated(arrivals_s)
    assert sent == sent_there == len(arrivals_s)
    assert abs(within - within_there) < 0.1
    assert abs(batch - batch_there) < batch / 3

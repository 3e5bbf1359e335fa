"""A whole day of ten functions in one pool, with the defaults: how long it takes, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from studied.models import BATCH_MAX, MODELS, OBJECTIVE
from studied.record import Fact, Trial
from studied.traces import DAY_S, TEN_FUNCTIONS, played, source

from sojourn.domain.function import FunctionSettings
from sojourn.domain.resources import Resources
from sojourn.sim.scenario import Scenario, SimulatedFunction, streams_of

SEED = 7
_MODEL, _NOISE, _COLD_START_S, _CPUS = "cpu", 0.1, 2.0, 32.0


def facts() -> dict[str, Fact]:
    """How the part was made."""
    return {"trace": source(TEN_FUNCTIONS).told, "seed": SEED, "model": _MODEL, "cold_start_s": _COLD_START_S}


def chunks(length_s: float = DAY_S) -> Iterator[list[Trial]]:
    """The one run: the beginning of the recording in its own rate and time.

    Args:
        length_s: How much of it.
    """
    piece = source(TEN_FUNCTIONS).trace.between(0.0, length_s)
    streams, _ = streams_of(played(piece), None, Random(SEED))  # noqa: S311 - arrivals are no secret
    functions = tuple(
        SimulatedFunction(
            settings=FunctionSettings(name=name.replace("_", "-"), slo=OBJECTIVE, max_batch_size=BATCH_MAX),
            service=MODELS[_MODEL].service(_NOISE, _COLD_START_S),
            traffic=traffic,
        )
        for name, traffic in streams.items()
    )
    scenario = Scenario(functions=functions, duration_s=length_s, seed=SEED, capacity=Resources(cpus=_CPUS))
    yield [Trial((_MODEL, "day"), "slo", SEED, scenario, {"duration": length_s, "functions": float(len(functions))})]

"""The batching part: every policy in every place, on pools whose number of replicas is fixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from studied.models import BATCH_MAX, MODELS, OBJECTIVE, Model
from studied.record import Fact, Trial
from studied.traces import LLM, TEN_FUNCTIONS, source
from studied.workloads import TRANSIENT_S, WORKLOADS, Workload

from sojourn.domain.function import FunctionSettings
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.sim.scenario import Scenario, SimulatedFunction

DEFAULT = "slo"
POLICIES = tuple(BATCHING_BY_NAME)
NAMES = tuple(each.name for each in WORKLOADS)


class Grid(NamedTuple):
    """How large the part is.

    Args:
        models: Names of the models.
        replicas: Sizes of the pools.
        noises: Standard deviations of the logarithm of service times.
        workloads: Names of the shapes.
        policies: Names of the policies.
        seeds: Of the replications.
        scale: Lengths of runs are multiplied with this.
    """

    models: Sequence[str] = tuple(MODELS)
    replicas: Sequence[int] = (1, 4)
    noises: Sequence[float] = (0.1, 0.2)
    workloads: Sequence[str] = NAMES
    policies: Sequence[str] = POLICIES
    seeds: Sequence[int] = (11, 12, 13, 14, 15)
    scale: float = 1.0

    def counted_s(self, model: Model, replicas: int) -> float:
        """Length of a run that counts: shorter where more arrive."""
        many = replicas > 1
        return self.scale * (4.0 if many and model.name == "gpu" else 6.0 if many else 12.0)


def chunks(grid: Grid) -> Iterator[list[Trial]]:
    """The trials, pool by pool; policies under one seed stand together, for they share the bounds."""
    by_name = {workload.name: workload for workload in WORKLOADS}
    for model, replicas, noise in product(grid.models, grid.replicas, grid.noises):
        trials = []
        for name, (number, seed) in product(grid.workloads, enumerate(grid.seeds)):
            if replicas in by_name[name].replicas:
                where = _Pool(MODELS[model], replicas, noise)
                trials += _trials(where, by_name[name], grid, number, seed)
        if trials:
            yield trials


class _Pool(NamedTuple):
    model: Model
    replicas: int
    noise: float


def _trials(pool: _Pool, workload: Workload, grid: Grid, number: int, seed: int) -> list[Trial]:
    model, replicas, noise = pool
    rate_per_s = workload.rate_per_s(model, replicas)
    span = workload.span(grid.counted_s(model, replicas))
    traffic = workload.make(rate_per_s, span, number)
    trials = []
    for policy in grid.policies:
        settings = FunctionSettings(
            name="f",
            slo=OBJECTIVE,
            max_batch_size=BATCH_MAX,
            min_replicas=replicas,
            max_replicas=replicas,
            batching=BATCHING_BY_NAME[policy],
        )
        function = SimulatedFunction(settings=settings, service=model.service(noise), traffic=traffic)
        scenario = Scenario(functions=(function,), duration_s=span.length_s, transient_s=span.transient_s, seed=seed)
        place = (model.name, str(replicas), f"{noise:g}", workload.name)
        trials.append(Trial(place, policy, seed, scenario, {"rate_wanted": rate_per_s}))
    return trials


QUICK = Grid(
    models=("cpu", "gpu"),
    replicas=(1,),
    noises=(0.2,),
    workloads=("steady-0.9", "steady-2", "on-off", "azure-minutes"),
    seeds=(11, 12),
    scale=0.5,
)
TINY = QUICK._replace(models=("gpu",), workloads=("steady-2", "azure-llm"), scale=0.05)


def count(grid: Grid) -> int:
    """How many chunks there are."""
    return len(grid.models) * len(grid.replicas) * len(grid.noises)


def facts(grid: Grid) -> dict[str, Fact]:
    """How the part was made."""
    minutes, llm = source(TEN_FUNCTIONS), source(LLM)
    return {
        "seeds": ", ".join(map(str, grid.seeds)),
        "transient_s": TRANSIENT_S,
        "azure-minutes": minutes.told,
        "azure-llm": llm.told,
    }

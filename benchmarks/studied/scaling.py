"""The scaling part: every scaling policy, with every keep-alive where replicas may be idle, at cold starts of seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

import msgspec
from studied.models import BATCH_MAX, MODELS, OBJECTIVE, Model
from studied.record import Fact, Trial
from studied.traces import DAY_S, MANY_FUNCTIONS, MINUTE_S, TEN_FUNCTIONS, played, source, sparse_functions

from sojourn.domain.function import FunctionSettings
from sojourn.domain.policy import (
    AdaptiveKeepAlive,
    ConcurrencyScaling,
    FixedKeepAlive,
    FixedReplicas,
    KeepAliveSpec,
    OngoingScaling,
    RPSScaling,
    ScalingSpec,
    SLOScaling,
    UtilizationScaling,
)
from sojourn.domain.resources import Resources
from sojourn.sim.scenario import Scenario, SimulatedFunction, Traffic
from sojourn.study.runs import Runs
from sojourn.workload.spec import parse_arrivals

DEFAULT = "slo"
NOISE = 0.1
POOL = 16  # replicas there is room for
USED = 0.7  # share of a replica's capacity that the rules of others are aimed at
SPEEDUP = 10.0  # of the per-minute trace
KEEP_ALIVES: dict[str, KeepAliveSpec] = {
    "adaptive": AdaptiveKeepAlive(),
    "60 s": FixedKeepAlive(60.0),
    "10 min": FixedKeepAlive(600.0),
}
KEPT = FixedKeepAlive(inf)  # a fixed number of replicas is one that is never let go
_PROBE_S, _PROBE_SEED = 30.0, 1
_SPARSE_FUNCTIONS = 10


class Place(NamedTuple):
    """Where scaling policies are compared.

    Args:
        model: Its name.
        cold_start_s: From the decision to start until ready.
        workload: Its name.
        arrivals: Text of the arrivals; empty for a slice of a trace.
        rate_per_s: Mean arrival rate.
        duration_s: Length of a run.
    """

    model: str
    cold_start_s: float
    workload: str
    arrivals: str
    rate_per_s: float
    duration_s: float

    @property
    def name(self) -> tuple[str, ...]:
        """As rows are kept by."""
        return self.model, f"{self.cold_start_s:g}", self.workload

    @property
    def has_idle_times(self) -> bool:
        """Whether keep-alives can make a difference."""
        return "sparse" in self.workload


ON_OFF, MMPP = "bursty:on=0.3333,period=60s", "mmpp:rates=1/6,stays=60s/10s"
DAY, FLASH = "diurnal:swing=0.9,period={day}", "flash:peak=8"
PLACES = (
    Place("cpu", 2.0, "steady", "poisson", 120.0, 240.0),
    Place("cpu", 2.0, "on-off", ON_OFF, 120.0, 240.0),
    Place("cpu", 0.5, "on-off", ON_OFF, 120.0, 240.0),
    Place("cpu", 2.0, "mmpp", MMPP, 120.0, 240.0),
    Place("cpu", 2.0, "diurnal", DAY, 120.0, 240.0),
    Place("cpu", 2.0, "flash", FLASH, 100.0, 240.0),
    Place("cpu", 2.0, "azure-minutes", "", 120.0, 240.0),
    Place("cpu", 2.0, "sparse", "poisson", 1 / 180.0, 6 * 3600.0),
    Place("cpu", 2.0, "azure-sparse", "", 0.0, 8 * 3600.0),
    Place("mid", 2.0, "on-off", ON_OFF, 300.0, 180.0),
    Place("mid", 2.0, "diurnal", DAY, 300.0, 180.0),
    Place("gpu", 2.0, "on-off", ON_OFF, 700.0, 120.0),
)


class Grid(NamedTuple):
    """How large the part is.

    Args:
        places: Those that are run.
        seeds: Of the replications.
        scale: Lengths of runs are multiplied with this.
    """

    places: Sequence[Place] = PLACES
    seeds: Sequence[int] = (21, 22, 23, 24, 25)
    scale: float = 1.0


QUICK = Grid(places=(PLACES[1], PLACES[7]), seeds=(21, 22), scale=0.25)
TINY = Grid(places=(PLACES[0], PLACES[7]), seeds=(11, 12), scale=0.05)


def count(grid: Grid) -> int:
    """How many chunks there are."""
    return len(grid.places)


def facts(grid: Grid) -> dict[str, Fact]:
    """How the part was made."""
    minutes, many = source(TEN_FUNCTIONS), source(MANY_FUNCTIONS)
    return {
        "seeds": ", ".join(map(str, grid.seeds)),
        "azure-minutes": minutes.told,
        "azure-sparse": many.told,
        "speedup": SPEEDUP,
        "sparse_functions": _SPARSE_FUNCTIONS,
    }


def chunks(grid: Grid, runs: Runs) -> Iterator[list[Trial]]:
    """The trials, place by place: before them short runs find out what an operator would have tuned."""
    for place in grid.places:
        place = place._replace(duration_s=place.duration_s * grid.scale)  # noqa: PLW2901 - the same place, shorter
        policies = _policies(place, runs)
        best = _best_fixed(place, grid.seeds[0], runs)
        if best is not None:
            policies["fixed"] = (FixedReplicas(best), KEPT)
        yield [
            Trial(place.name, name, seed, _scenario(place, number, seed, *specs), {"fixed": float(best or 0)})
            for number, seed in enumerate(grid.seeds)
            for name, specs in policies.items()
        ]


def _policies(place: Place, runs: Runs) -> dict[str, tuple[ScalingSpec, KeepAliveSpec]]:
    scalings = _tuned(MODELS[place.model], runs)
    if not place.has_idle_times:
        return {name: (spec, AdaptiveKeepAlive()) for name, spec in scalings.items()}
    return {
        f"{name}, {kept}": (spec, keepalive)
        for name, spec in scalings.items()
        for kept, keepalive in KEEP_ALIVES.items()
    }


def _tuned(model: Model, runs: Runs) -> dict[str, ScalingSpec]:
    """The rules, those of others aimed at what one replica shows at 0.7 of its capacity.

    In flight there are, by Little's law, rate times latency; the median stands for the mean.
    """
    capacity_per_s = model.capacity_per_s(1)
    probe = Place(model.name, 0.0, "probe", "poisson", USED * capacity_per_s, _PROBE_S)
    found = runs.run([_scenario(probe, 0, _PROBE_SEED, FixedReplicas(1), AdaptiveKeepAlive())], bounds=False)[0]
    latency_s = (found.total.latency_s.p50 if found else None) or OBJECTIVE.latency_s / 2
    in_flight = max(USED * capacity_per_s * latency_s, 0.5)
    return {
        "slo": SLOScaling(),
        "concurrency": ConcurrencyScaling(target=in_flight / USED, utilization=USED),
        "ongoing": OngoingScaling(target=in_flight),
        "utilization": UtilizationScaling(target=USED),
        "rps": RPSScaling(target_per_s=capacity_per_s, utilization=USED),
    }


def _best_fixed(place: Place, seed: int, runs: Runs) -> int | None:
    """The fewest replicas, always the same number, that hold the objective under the first seed; else all there are.

    Found by halving: more replicas answer no fewer in time.
    """
    low, high = 1, max(POOL // len(_traffic(place, 0)), 1)
    while low < high:
        middle = (low + high) // 2
        scenario = _scenario(place, 0, seed, FixedReplicas(middle), KEPT)
        # Who comes before they have started is not the number's fault.
        scenario = msgspec.structs.replace(scenario, transient_s=2.0 * place.cold_start_s)
        found = runs.run([scenario], bounds=False)[0]
        if found is None:
            return None
        if (found.total.within_slo or 0.0) >= OBJECTIVE.objective:
            high = middle
        else:
            low = middle + 1
    return low


def _scenario(place: Place, number: int, seed: int, scaling: ScalingSpec, keepalive: KeepAliveSpec) -> Scenario:
    model = MODELS[place.model]
    functions = tuple(
        SimulatedFunction(
            settings=FunctionSettings(
                name=name, slo=OBJECTIVE, max_batch_size=BATCH_MAX, scaling=scaling, keepalive=keepalive
            ),
            service=model.service(NOISE, place.cold_start_s),
            traffic=traffic,
        )
        for name, traffic in _traffic(place, number).items()
    )
    return Scenario(
        functions=functions, duration_s=place.duration_s, seed=seed, capacity=Resources(cpus=max(POOL, len(functions)))
    )


def _traffic(place: Place, number: int) -> dict[str, Traffic]:
    """What arrives at each function; another slice of a trace for each replication."""
    if place.workload == "azure-minutes":
        trace = source(TEN_FUNCTIONS).trace
        start_s = (2 * number + 1) % 14 * DAY_S + 8 * 60 * MINUTE_S
        piece = trace.between(start_s, start_s + place.duration_s * SPEEDUP).faster(SPEEDUP)
        return {"f": Traffic(played(piece, scale="rate"), place.rate_per_s)}
    if place.workload == "azure-sparse":
        trace = sparse_functions(source(MANY_FUNCTIONS).trace, _SPARSE_FUNCTIONS, number)
        return {name.replace("_", "-"): Traffic(played(trace.select([name]))) for name in trace.functions}
    text = place.arrivals.format(day=f"{place.duration_s:g}s")
    return {"f": Traffic(parse_arrivals(text), place.rate_per_s)}

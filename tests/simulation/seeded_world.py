"""A platform drawn from a seed: functions, traffic, machines, and all that goes wrong with them.

The same seed is the same world on every machine, so that a failure can be played again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from random import Random

from msgspec.structs import replace

from sojourn.core.admission import QueueBounds
from sojourn.domain.event import ScaleRequested
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME, SCALING_BY_NAME, AdaptiveKeepAlive, FixedKeepAlive
from sojourn.domain.resources import Resources
from sojourn.sim.arrival import Arrival
from sojourn.sim.mishap import MachineLost, MishapRates, SomeReplicaLost
from sojourn.sim.replica import ColdStart, ModelledService
from sojourn.workload.arrivals import on_off, poisson

LENGTH_S = 15.0
ARRIVALS_MAX = 500


@dataclass
class FunctionWorld:
    """One function with its replicas' behaviour and its requests."""

    settings: FunctionSettings
    service: ModelledService
    arrivals: list[Arrival]


@dataclass
class SeededWorld:
    """All that a run depends on."""

    seed: int
    functions: list[FunctionWorld]
    machines: list[Resources]
    bounds: QueueBounds
    rates: MishapRates
    mishaps: list[tuple[float, MachineLost | SomeReplicaLost]] = field(default_factory=list)
    stalls: list[tuple[float, float]] = field(default_factory=list)
    scalings: list[tuple[float, ScaleRequested]] = field(default_factory=list)
    is_calm: bool = False

    @property
    def stalled_s(self) -> float:
        """How long the server stands still in all."""
        return sum(duration_s for _, duration_s in self.stalls)


def draw_world(seed: int) -> SeededWorld:
    """The world of a seed. One in eight is calm: nothing goes wrong and there is time for everyone."""
    rng = Random(seed)
    is_calm = seed % 8 == 0
    machines = [
        Resources(float(rng.choice((2, 4, 8))), float(rng.choice((0, 0, 2))), 2**36) for _ in range(rng.randint(1, 4))
    ]
    functions = [_function(f"f{number}", rng, is_calm=is_calm) for number in range(rng.randint(1, 4))]
    if is_calm:  # room for all that may be wanted
        machines = [Resources(1000.0, 0.0, 2**40)]
    world = SeededWorld(
        seed=seed,
        functions=functions,
        machines=machines,
        bounds=QueueBounds() if is_calm or rng.random() < 0.7 else QueueBounds(requests=rng.choice((1, 20, 200))),
        rates=MishapRates(),
        is_calm=is_calm,
    )
    if not is_calm:
        _draw_mishaps(world, rng)
        _go_to_extremes(world, Random(f"{seed} to the extreme"))
    return world


def _go_to_extremes(world: SeededWorld, rng: Random) -> None:
    """What the ordinary draws hardly ever reach: bounds in bytes, epidemics, starts too slow, an operator who scales.

    Chance of its own, so that a world keeps all else.
    """
    if rng.random() < 0.3:
        world.bounds = replace(
            world.bounds, bytes=rng.choice((25_000_000, 2**28)), batch_bytes=rng.choice((5_000, 12_000_000))
        )
    if rng.random() < 0.15:
        world.rates = replace(world.rates, death=rng.choice((0.1, 0.4)))
    if rng.random() < 0.15:
        world.rates = replace(world.rates, hang=0.05)
    if rng.random() < 0.2:
        world.scalings += [
            (rng.random() * LENGTH_S, _some_command(rng.choice(world.functions).settings.name, rng)) for _ in range(3)
        ]
    for each in world.functions:
        if rng.random() < 0.1:
            each.settings = replace(each.settings, start_timeout_s=5.0)
            starts = ColdStart(0.05, 1.0, 3.0, 0.02, sigma=0.6)
            each.service = replace(each.service, start_phases=starts)


def _some_command(name: str, rng: Random) -> ScaleRequested:
    """An operator sets the floor, the ceiling, or both."""
    most = rng.randint(1, 4)
    floor = rng.choice((None, 0, most))
    return ScaleRequested(name, floor, most if floor is None or rng.random() < 0.5 else None)


def _draw_mishaps(world: SeededWorld, rng: Random) -> None:
    def share(most: float) -> float:
        return rng.random() * most if rng.random() < 0.4 else 0.0

    world.rates = MishapRates(
        death=share(0.02), hang=share(0.005), lost_reply=share(0.005), late_reply=share(0.05), killer=share(0.003)
    )
    for _ in range(rng.choice((0, 0, 1, 3))):
        world.mishaps.append((rng.random() * LENGTH_S, SomeReplicaLost(rng.random())))
    if rng.random() < 0.2:
        world.mishaps.append((rng.random() * LENGTH_S, MachineLost(rng.randrange(len(world.machines)))))
    at_s = 0.0
    for _ in range(rng.choice((0, 0, 1, 2))):
        at_s += rng.random() * LENGTH_S / 2
        duration_s = rng.choice((0.02, 0.2, 1.5, 4.0))
        world.stalls.append((at_s, duration_s))
        at_s += duration_s
    for _ in range(rng.choice((0, 0, 1))):
        name = rng.choice(world.functions).settings.name
        most = rng.randint(1, 4)
        world.scalings.append((rng.random() * LENGTH_S, ScaleRequested(name, rng.randint(0, most), most)))


def _function(name: str, rng: Random, *, is_calm: bool) -> FunctionWorld:
    alpha_s, beta_s = rng.choice(((0.0005, 0.005), (0.004, 0.008), (0.001, 0.02), (0.0, 0.05), (0.02, 0.1)))
    largest = rng.choice((1, 4, 16, 64))
    latency_s = max(rng.choice((0.05, 0.1, 0.5)), 6 * (alpha_s + beta_s))
    slo = None if rng.random() < 0.1 and not is_calm else SLO(latency_s, rng.choice((0.9, 0.99, 0.999)))
    settings = FunctionSettings(
        name=name,
        slo=slo,
        max_batch_size=largest,
        batchable=rng.random() < 0.9,
        min_replicas=2 if is_calm else rng.choice((0, 0, 0, 1)),
        max_replicas=None if is_calm else rng.choice((None, 1, 3, 6)),
        cpus=rng.choice((0.5, 1.0, 2.0)),
        batching=BATCHING_BY_NAME["slo" if is_calm else rng.choice(list(BATCHING_BY_NAME))],
        scaling=SCALING_BY_NAME["slo" if is_calm else rng.choice(list(SCALING_BY_NAME))],
        keepalive=AdaptiveKeepAlive() if rng.random() < 0.5 else FixedKeepAlive(rng.choice((1.0, 5.0, 60.0))),
        overload=rng.choice(("late", "shed")),
        timeout_s=None if rng.random() < 0.6 else max(latency_s, rng.choice((0.5, 2.0, 10.0))),
        start_timeout_s=rng.choice((5.0, 20.0, 60.0)),
        retry=rng.random() < 0.8,
        weight=rng.choice((1.0, 1.0, 3.0)),
    )
    starts = ColdStart(0.05, rng.choice((0.1, 1.0)), rng.choice((0.0, 0.3, 2.0)), 0.02, sigma=0.2)
    service = ModelledService(alpha_s, beta_s, sigma=0.05, start_phases=starts, jitter_s=0.0001)
    if not is_calm:
        service = ModelledService(
            alpha_s,
            beta_s,
            sigma=rng.choice((0.0, 0.1, 0.4)),
            start_phases=starts,
            jitter_s=rng.choice((0.0, 0.001)),
            drift=((0.0, 1.0), (rng.random() * LENGTH_S, rng.choice((0.5, 1.0, 3.0)))),
            straggler_share=rng.choice((0.0, 0.0, 0.2)),
            straggler_factor=rng.choice((3.0, 10.0)),
            start_failure=rng.choice((0.0, 0.0, 0.2, 0.9)),
            lifetime_s=rng.choice((inf, inf, 30.0)),
            item_failure=rng.choice((0.0, 0.0, 0.01, 0.1)),
        )
    size = largest if settings.batchable else 1
    capacity_per_s = size / (alpha_s * size + beta_s)
    load = 0.15 if is_calm else rng.choice((0.01, 0.3, 0.8, 1.2, 3.0))
    rate_per_s = min(load * capacity_per_s / (size if is_calm else 1), ARRIVALS_MAX / LENGTH_S)
    return FunctionWorld(settings, service, list(_arrivals(rate_per_s, rng, is_calm=is_calm)))


def _arrivals(rate_per_s: float, rng: Random, *, is_calm: bool) -> Iterator[Arrival]:
    kind = "poisson" if is_calm else rng.choice(("poisson", "bursts", "together"))
    chance = Random(rng.random())
    if kind == "bursts":
        instants = on_off(rate_per_s, LENGTH_S, chance, on_share=0.2, period_s=3.0)
    elif kind == "together":
        instants = (at_s for at_s in poisson(rate_per_s / 20, LENGTH_S, chance) for _ in range(20))
    else:
        instants = poisson(rate_per_s, LENGTH_S, chance)
    storms = [] if is_calm or rng.random() < 0.6 else [rng.random() * LENGTH_S for _ in range(2)]
    impatient = 0.0 if is_calm else rng.choice((0.0, 0.02, 0.3))
    for at_s in instants:
        if is_calm:
            yield Arrival(at_s + 5.0)  # the first replicas are there by then
            continue
        patience_s = chance.expovariate(2.0) if chance.random() < impatient else None
        for storm_at_s in storms:  # clients who leave all at once
            if storm_at_s - 1.0 < at_s < storm_at_s:
                patience_s = storm_at_s - at_s
        yield Arrival(
            at_s,
            weight=1.0 if chance.random() < 0.9 else chance.paretovariate(2.0),
            body_bytes=chance.choice((10, 1000, 10_000_000)),
            priority=chance.choice((0, 1, 1, 1, 2)),
            client_timeout_s=None if chance.random() < 0.9 else chance.choice((0.001, 0.05, 1.0)),
            patience_s=patience_s,
        )

"""One simulated run as plain data: functions, how their replicas behave, their traffic, the pool, the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import inf
from random import Random

import msgspec

from sojourn.core.admission import QueueBounds
from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.core.pool import UNBOUNDED
from sojourn.domain.function import FunctionSettings
from sojourn.domain.resources import Resources
from sojourn.errors import ConfigurationError
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.arrival import Arrival, Arriving
from sojourn.sim.driver import Observer, Simulation
from sojourn.sim.machines import Machines
from sojourn.sim.replica import ModelledService
from sojourn.sim.summary import RunSummary, sum_of, summary_of
from sojourn.sim.timeline import Timeline
from sojourn.sim.watch import Watch
from sojourn.telemetry.journal import Journal
from sojourn.workload.size_spec import SizeSpec
from sojourn.workload.spec import ArrivalSpec
from sojourn.workload.trace import Trace
from sojourn.workload.trace_file import ONLY_FUNCTION

_TIMELINE_CELLS = 200
DURATION_S_MAX = 366 * 86_400.0  # beyond it, instants of microseconds cannot be told apart
_TELL_EVERY = 5000  # arrivals between two signs of progress

Progress = Callable[[float, int], None]


class Traffic(msgspec.Struct, frozen=True):
    """The arrivals of one function.

    Args:
        spec: Their kind.
        rate_per_s: Mean arrival rate; None where the kind brings its own. Of a trace with several functions it is the
            rate of all together.
        stream: Which function of a trace with several; empty takes all of them as one.
        recorded: Requests of a journal, with all that is known of them, ascending; they take the place of `spec`.
        sizes: How unequal their items are; None: all alike.
    """

    spec: ArrivalSpec
    rate_per_s: float | None = None
    stream: str = ""
    recorded: tuple[Arrival, ...] = ()
    sizes: SizeSpec | None = None

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[Arriving]:
        """The requests; as `instants`, but those of a journal come whole, and those with sizes have theirs."""
        if self.recorded:
            return (arrival for arrival in self.recorded if arrival.at_s < duration_s)
        if self.sizes is None:
            return self.instants(duration_s, rng)
        weights = self.sizes.weights(Random(rng.random()))  # noqa: S311 - repeatable, not secret
        return map(Arrival, self.instants(duration_s, rng), weights)

    def instants(self, duration_s: float, rng: Random) -> Iterator[float]:
        """When requests arrive, in seconds from the start, ascending.

        Raises:
            ConfigurationError: A rate is missing or out of range, or the trace has no such function.
        """
        if self.recorded:
            return (arrival.at_s for arrival in self.recorded if arrival.at_s < duration_s)
        if not self.stream:
            return self.spec.times(self.rate_per_s, duration_s, rng)
        by_function = self.spec.by_function(self.rate_per_s, duration_s, rng)
        if self.stream not in by_function:
            raise ConfigurationError(f"the trace has no function {self.stream!r}, only {', '.join(by_function)}")
        return by_function[self.stream]

    def requests_expected(self, duration_s: float, rng: Random, *, looked_at: int = 100_000) -> float:
        """About how many requests arrive; exact if there are few.

        Args:
            duration_s: Length of the arrivals, in seconds, > 0.
            rng: Source of chance.
            looked_at: Arrivals drawn at most to find out, >= 1; beyond them the mean rate is taken.
        """
        if self.rate_per_s is not None and not self.stream and self.spec.trace is None:
            most = self.rate_per_s * duration_s
            if most > looked_at:
                return most
        count, last_s = 0, 0.0
        for at_s in islice(self.instants(duration_s, rng), looked_at):
            count, last_s = count + 1, at_s
        return float(count) if count < looked_at else count * max(duration_s / max(last_s, 1e-9), 1.0)


def streams_of(spec: ArrivalSpec, rate_per_s: float | None, rng: Random) -> tuple[dict[str, Traffic], float | None]:
    """The traffic of each function of a trace by name, ready to be played, and the trace's length in seconds.

    Functions without a request are left out. Arrivals that are generated are one stream, `all`, without a length.

    Args:
        spec: What is played.
        rate_per_s: Mean rate of all together; None as recorded.
        rng: Chance for what is left out or repeated to reach it.

    Raises:
        ConfigurationError: The rate is out of range, or nothing would be left of the trace.
    """
    if spec.trace is None:
        return {ONLY_FUNCTION: Traffic(spec, rate_per_s)}, None
    played = spec.played(spec.trace, rate_per_s, rng)
    values = {**spec.values, "share": 1.0}  # it is done
    streams = {
        name: Traffic(ArrivalSpec(spec.kind, values, Trace({name: recorded}, played.duration_s)))
        for name, recorded in played.functions.items()
        if recorded.requests
    }
    return streams, played.duration_s


class SimulatedFunction(msgspec.Struct, frozen=True, kw_only=True):
    """One function of a run.

    Args:
        settings: Its options, policies included.
        service: How its replicas behave.
        traffic: Its arrivals.
    """

    settings: FunctionSettings
    service: ModelledService
    traffic: Traffic


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides a run: the same scenario gives the same run.

    Args:
        functions: At least one, with different names.
        duration_s: Length of the arrivals, in seconds, > 0.
        transient_s: Requests that arrive before this are served but not counted, in seconds, in [0, duration_s).
        seed: Of arrivals, times and the controller. Arrivals and times of a function have chance of their own, so that
            two policies under the same seed see the same arrivals.
        capacity: What all replicas share; None is without bound, or what `machines` have together.
        machines: Where replicas are placed; empty: one place with all the capacity.
        bounds: Limits of each queue.
    """

    functions: tuple[SimulatedFunction, ...]
    duration_s: float
    transient_s: float = 0.0
    seed: int = 1
    capacity: Resources | None = None
    machines: tuple[Resources, ...] = ()
    bounds: QueueBounds = QueueBounds()

    def __post_init__(self) -> None:
        names = [each.settings.name for each in self.functions]
        faults = []
        if not names:
            faults.append("there is no function")
        if len(set(names)) != len(names):
            faults.append(f"each function needs a name of its own; {sorted(names)} has one twice")
        if not 0.0 < self.duration_s <= DURATION_S_MAX:
            faults.append(f"duration_s must be in (0, {DURATION_S_MAX:g}] seconds (366 days), not {self.duration_s!r}")
        if not 0.0 <= self.transient_s < max(self.duration_s, 1e-9):
            faults.append(f"transient_s must be in [0, duration_s={self.duration_s:g}), not {self.transient_s!r}")
        if faults:
            raise ConfigurationError(f"scenario: {'; '.join(faults)}")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run.

    Args:
        total: All functions together.
        functions: Each by name.
        timelines: Each by name, if asked for.
        watches: What became of each objective, by function, if asked for.
        simulated_s: Virtual time it took.
        steps: Steps of the two machines.
    """

    total: RunSummary
    functions: dict[str, RunSummary]
    timelines: dict[str, Timeline]
    watches: dict[str, Watch]
    simulated_s: float
    steps: int


def simulate(
    scenario: Scenario,
    *,
    charts: bool = False,
    watches: bool = False,
    observe: Observer | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run a scenario to its end.

    Args:
        scenario: What to run.
        charts: Whether timelines are kept.
        watches: Whether objectives are watched as a server does: causes and alerts.
        observe: As of `Simulation`.
        progress: Called now and then with (virtual seconds, requests so far); may raise to stop the run.
    """
    run = Prepared(scenario, charts=charts, watches=watches, observe=observe, progress=progress)
    run.go()
    return run.finished()


class Prepared:
    """A run ready to go; `finished` may be asked even if `go` was interrupted, and tells what there is by then.

    Args:
        scenario: What to run.
        charts: As of `simulate`.
        watches: As of `simulate`.
        journal_steps: How many of the last steps of the first function's dispatcher are kept in `journal`; 0 keeps none.
        observe: As of `Simulation`.
        progress: As of `simulate`.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        charts: bool = False,
        watches: bool = False,
        journal_steps: int = 0,
        observe: Observer | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.scenario = scenario
        self._progress = progress
        self._sent = 0
        self._is_finished = False
        machines = Machines(scenario.machines) if scenario.machines else None
        capacity = scenario.capacity or (machines.total if machines else UNBOUNDED)
        self.controller = Controller(_rng(scenario.seed, "controller"), capacity)
        self.simulation: Simulation | None = None
        self.timelines: dict[str, Timeline] = {}
        self.watches: dict[str, Watch] = {}
        for each in scenario.functions:
            name, settings = each.settings.name, each.settings
            dispatcher = Dispatcher(settings, batching_policy(settings.batching), scenario.bounds)
            timeline = Timeline(max(scenario.duration_s / _TIMELINE_CELLS, 1e-3)) if charts else None
            if timeline is not None:
                self.timelines[name] = timeline
            watch = Watch(settings.slo) if watches and settings.slo is not None else None
            if watch is not None:
                self.watches[name] = watch
            rng = _rng(scenario.seed, f"{name} times")
            if self.simulation is None:
                self.simulation = Simulation(
                    dispatcher,
                    self.controller,
                    each.service,
                    rng,
                    observe,
                    machines=machines,
                    timeline=timeline,
                    watch=watch,
                )
            else:
                self.simulation.add(dispatcher, each.service, rng, timeline=timeline, watch=watch)

        self.journal = Journal(journal_steps) if journal_steps else None
        if self.journal is not None and self.simulation is not None:
            self.simulation.keep_journal(self.journal)

    def go(self, *, limit_s: float = inf) -> None:
        """Run to the end, or until virtual time `limit_s`."""
        scenario, simulation = self.scenario, self.simulation
        assert simulation is not None, "a scenario has a function"
        arrivals = {each.settings.name: self._arrivals(each) for each in scenario.functions}
        simulation.run_all(
            arrivals, transient_s=scenario.transient_s, until_s=min(scenario.duration_s, limit_s), limit_s=limit_s
        )
        self._is_finished = limit_s == inf

    def _arrivals(self, function: SimulatedFunction) -> Iterable[Arriving]:
        scenario, name = self.scenario, function.settings.name
        arrivals = function.traffic.arrivals(scenario.duration_s, _rng(scenario.seed, f"{name} arrivals"))
        return arrivals if self._progress is None else self._told(arrivals, self._progress)

    def _told(self, arrivals: Iterator[Arriving], progress: Progress) -> Iterator[Arriving]:
        for arriving in arrivals:
            self._sent += 1
            if self._sent % _TELL_EVERY == 0:
                progress(arriving.at_s if isinstance(arriving, Arrival) else arriving, self._sent)
            yield arriving

    def finished(self) -> Run:
        """What has come of it so far."""
        simulation, scenario = self.simulation, self.scenario
        assert simulation is not None, "a scenario has a function"
        until_s = scenario.duration_s if self._is_finished else min(simulation.now_s, scenario.duration_s)
        length_s = until_s - scenario.transient_s
        settings_of = {each.settings.name: each.settings for each in scenario.functions}
        for result in simulation.results.values():
            if not self._is_finished:
                result.replica_seconds = result.replica_seconds_until(simulation.now_s)
        functions = {
            name: summary_of(result, settings_of[name].slo, max(length_s, 1e-9))
            for name, result in simulation.results.items()
        }
        return Run(
            total=sum_of(list(simulation.results.values()), list(functions.values()), max(length_s, 1e-9)),
            functions=functions,
            timelines=self.timelines,
            watches=self.watches,
            simulated_s=simulation.now_s,
            steps=simulation.steps,
        )


def _rng(seed: int, purpose: str) -> Random:
    """Chance of its own for each purpose, the same for the same seed."""
    return Random(f"{seed} {purpose}")  # noqa: S311 - repeatable, not secret

"""Plays the story of a fleet in virtual time: commands at the margin, what the controller did below.

```
pool cpus=4                                              what all replicas share; without it there is no bound
function name=a latency=0.1 cold_start=2 keepalive=30    options below; arrivals and faults follow in any order
traffic a from=0 until=60 per_s=100                      Poisson arrivals
arrive a at=90 count=5                                   together
kill a at=30 replica=1                                   its link closes and its process exits
scale a at=20 min=2 max=4                                an operator's command
run seed=1                                               must come last
```
Options of a function: `latency max_batch min max cpus gpus weight timeout start_timeout keepalive` are its
settings; `alpha beta sigma cold_start` its modelled replicas; `fails=odd|all|first:N` which starts fail, each
`fails_after` seconds after it was ordered. Everything is in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from random import Random

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.core.pool import UNBOUNDED
from sojourn.domain.action import DrainReplica, RecordScaling, ResumeStarts, StartReplica, StopReplica, SuspendStarts
from sojourn.domain.event import ReplicaExited, ReplicaReady, ScaleRequested
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import FixedKeepAlive
from sojourn.domain.request import Outcome
from sojourn.domain.resources import Resources
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService, ModelledStart
from sojourn.sim.result import SimulationResult

_ORDERS = {StartReplica: "start", DrainReplica: "drain", StopReplica: "stop"}


def play(commands: list[str]) -> list[str]:
    """The transcript of these commands: they themselves, then what happened line by line."""
    player = _Player()
    for command in commands:
        player.take(command)
    return [*commands, *player.lines]


class _Player:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self._capacity = UNBOUNDED
        self._sites: dict[str, tuple[Dispatcher, ModelledService]] = {}
        self._traffic: dict[str, list[tuple[float, float, float]]] = {}
        self._instants: dict[str, list[float]] = {}
        self._events: list[tuple[str, str, dict[str, str]]] = []
        self._function_of: dict[int, str] = {}

    def take(self, command: str) -> None:
        words = command.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        what, *names = (word for word in words if "=" not in word)
        if what == "pool":
            self._capacity = Resources(float(options.get("cpus", "1e9")), float(options.get("gpus", "0")), 2**62)
        elif what == "function":
            self._sites[options["name"]] = _site(options)
        elif what == "traffic":
            piece = (float(options["from"]), float(options["until"]), float(options["per_s"]))
            self._traffic.setdefault(names[0], []).append(piece)
        elif what == "arrive":
            instants = [float(options["at"])] * int(options.get("count", "1"))
            self._instants.setdefault(names[0], []).extend(instants)
        elif what == "run":
            self._run(int(options["seed"]))
        else:
            self._events.append((what, names[0], options))

    def _run(self, seed: int) -> None:
        controller = Controller(Random(seed), self._capacity)

        def observe(event: object, now_s: float, actions: list[object]) -> None:
            if controller.next_wake_at_s is None or controller.next_wake_at_s > now_s:
                controller.check(now_s)
            self._tell(event, now_s, actions)

        (first, *others) = self._sites.values()
        simulation = Simulation(first[0], controller, first[1], Random(seed + 1), observe)
        for other in others:
            simulation.add(*other)
        for what, name, options in self._events:
            at_s = float(options["at"])
            if what == "kill":
                simulation.kill(at_s, int(options["replica"]), name)
            else:
                assert what == "scale", what
                limits = [int(options[bound]) if bound in options else None for bound in ("min", "max")]
                simulation.at(at_s, ScaleRequested(name, *limits))
        arrivals = {name: self._arrivals(name, seed + index) for index, name in enumerate(self._sites)}
        for name, result in simulation.run_all(arrivals).items():
            self.lines.append(f"    {name}: {_summary(result)}")

    def _arrivals(self, name: str, seed: int) -> Iterator[float]:
        rng = Random(1000 + seed)
        pieces = [
            _poisson(begin_s, end_s, per_s, Random(rng.random()))
            for begin_s, end_s, per_s in self._traffic.get(name, [])
        ]
        return merge(sorted(self._instants.get(name, [])), *pieces)

    def _tell(self, event: object, now_s: float, actions: list[object]) -> None:
        for action in actions:
            if isinstance(action, StartReplica):
                self._function_of[action.replica_id] = action.function
        if isinstance(event, ReplicaReady):
            self._line(now_s, self._function_of[event.replica_id], f"ready {event.replica_id}")
        elif isinstance(event, ReplicaExited):
            self._line(now_s, self._function_of[event.replica_id], f"exit {event.replica_id}: {event.cause}")
        self._tell_actions(now_s, actions)

    def _tell_actions(self, now_s: float, actions: list[object]) -> None:
        orders: dict[tuple[str, str], list[str]] = {}
        for action in actions:
            if isinstance(action, RecordScaling):
                self._line(now_s, action.function, f"[{action.decision.cause}] {action.decision.sentence()}")
            elif type(action) in _ORDERS:
                gpus = "".join(f" (gpu {number})" for number in getattr(action, "gpus", ()))
                key = (action.function, _ORDERS[type(action)])
                orders.setdefault(key, []).append(f"{action.replica_id}{gpus}")
            elif isinstance(action, SuspendStarts):
                self._line(now_s, action.function, f"crash loop: {action.cause}")
            elif isinstance(action, ResumeStarts):
                self._line(now_s, action.function, "crash loop is over")
        for (function, order), replicas in orders.items():
            self._line(now_s, function, f"{order} {' '.join(replicas)}")

    def _line(self, now_s: float, function: str, text: str) -> None:
        self.lines.append(f"    {now_s:.3f} {function}: {text}")


def _poisson(begin_s: float, end_s: float, per_s: float, rng: Random) -> Iterator[float]:
    at_s = begin_s + rng.expovariate(per_s)
    while at_s < end_s:
        yield at_s
        at_s += rng.expovariate(per_s)


def _site(options: dict[str, str]) -> tuple[Dispatcher, ModelledService]:
    numbers = {key: float(text) for key, text in options.items() if key not in {"name", "fails"}}
    whole = {key: int(value) for key, value in numbers.items() if value == int(value)}
    settings = FunctionSettings(
        name=options["name"],
        slo=SLO(numbers["latency"]) if "latency" in options else None,
        max_batch_size=whole.get("max_batch", 8),
        min_replicas=whole.get("min", 0),
        max_replicas=whole.get("max"),
        cpus=numbers.get("cpus", 1.0),
        gpus=numbers.get("gpus", 0.0),
        weight=numbers.get("weight", 1.0),
        timeout_s=numbers.get("timeout"),
        start_timeout_s=numbers.get("start_timeout", 60.0),
        keepalive=FixedKeepAlive(numbers.get("keepalive", 600.0)),
    )
    cold_start_s = numbers.get("cold_start", 2.0)
    failed = ModelledStart(numbers.get("fails_after", 0.5), "OSError: weights.bin is truncated")

    def start(number: int) -> ModelledStart:
        return failed if _fails(options.get("fails", "none"), number) else ModelledStart(cold_start_s)

    service = ModelledService(
        numbers.get("alpha", 0.0005), numbers.get("beta", 0.005), numbers.get("sigma", 0.0), starts=start
    )
    return Dispatcher(settings, batching_policy(settings.batching)), service


def _fails(which: str, number: int) -> bool:
    kind, _, count = which.partition(":")
    return {"none": False, "odd": number % 2 == 1, "all": True, "first": number <= int(count or 0)}[kind]


def _summary(result: SimulationResult) -> str:
    ends = ", ".join(f"{result.outcomes[outcome]} {outcome}" for outcome in Outcome if result.outcomes[outcome])
    return (
        f"{result.sent} sent: {ends or 'none ended'}; inside {result.within_share:.4f}; "
        f"{result.cold_starts} starts, {result.replica_seconds:.1f} replica-seconds"
    )

"""A platform in virtual time that is checked after every step of every machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import Finish, LeaseReplica, StartReplica, StopReplica
from sojourn.domain.event import ReplicaExited, ReplicaReady, RequestArrived, ScaleRequested
from sojourn.domain.function import FunctionSettings
from sojourn.domain.replica import ReplicaState
from sojourn.domain.resources import Resources
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService


@dataclass
class Platform:
    """Functions on one pool, with what may go wrong, and the books of what happened."""

    capacity: Resources
    functions: list[tuple[FunctionSettings, ModelledService]]
    kills: list[tuple[float, int]] = field(default_factory=list)
    scalings: list[tuple[float, ScaleRequested]] = field(default_factory=list)
    seed: int = 1

    def run(self, arrivals: dict[str, list[float]]) -> Platform:
        """Replay the arrivals; every invariant is asserted at every step."""
        self.controller = Controller(Random(self.seed), self.capacity)
        self.dispatchers = {
            settings.name: Dispatcher(settings, batching_policy(settings.batching)) for settings, _ in self.functions
        }
        for machine in (self.controller, *self.dispatchers.values()):
            self._note_steps_of(machine)
        self.function_of: dict[int, str] = {}
        self.started_at_s: dict[int, float] = {}
        self.ready_at_s: dict[int, float] = {}
        self.exited_at_s: dict[int, float] = {}
        self.leased: set[int] = set()
        self.stops: set[int] = set()
        self.arrived: set[int] = set()
        self.finished: Counter[int] = Counter()
        self.trace: list[tuple[float, object, list[object]]] = []
        self.now_s = 0.0
        (first, service), *others = self.functions
        simulation = Simulation(
            self.dispatchers[first.name], self.controller, service, Random(self.seed + 1), self._stepped
        )
        for settings, other in others:
            simulation.add(self.dispatchers[settings.name], other)
        for at_s, replica_id in self.kills:
            for settings, _ in self.functions:  # only the one that has it is concerned
                simulation.kill(at_s, replica_id, settings.name)
        for at_s, event in self.scalings:
            simulation.at(at_s, event)
        self.results = simulation.run_all(arrivals)
        return self

    def _note_steps_of(self, machine: Controller | Dispatcher) -> None:
        step = machine.step

        def noted(event: object, now_s: float) -> list[object]:
            self.stepped_last = machine
            return step(event, now_s)

        machine.step = noted

    def _stepped(self, event: object, now_s: float, actions: list[object]) -> None:
        assert now_s >= self.now_s, "time went back"
        self.now_s = now_s
        self.trace.append((now_s, event, actions))
        # The others are as they were; what is due in them is stepped next.
        self.stepped_last.check(now_s)
        if isinstance(event, RequestArrived):
            self.arrived.add(event.request_id)
        elif isinstance(event, ReplicaReady):
            assert event.replica_id not in self.ready_at_s, "ready twice"
            self.ready_at_s[event.replica_id] = now_s
        elif isinstance(event, ReplicaExited):
            assert event.replica_id not in self.exited_at_s, "gone twice"
            self.exited_at_s[event.replica_id] = now_s
        self._ordered(actions, now_s)
        self._check_limits(now_s)

    def _ordered(self, actions: list[object], now_s: float) -> None:
        for action in actions:
            if isinstance(action, StartReplica):
                assert action.replica_id not in self.started_at_s, "a number is used once"
                self.started_at_s[action.replica_id] = now_s
                self.function_of[action.replica_id] = action.function
            elif isinstance(action, LeaseReplica):
                assert action.replica_id in self.ready_at_s
                assert action.replica_id not in self.leased, "leased twice"
                self.leased.add(action.replica_id)
            elif isinstance(action, StopReplica):
                assert action.replica_id not in self.exited_at_s, "it is gone"
                assert action.replica_id not in self.stops, "stopped twice"
                self.stops.add(action.replica_id)
            elif isinstance(action, Finish):
                assert action.request_id in self.arrived
                self.finished[action.request_id] += 1

    def _check_limits(self, now_s: float) -> None:
        controller = self.controller
        assert controller.held.fits(self.capacity)
        living = Resources()
        for replica_id, function in self.function_of.items():
            if replica_id not in self.exited_at_s:
                living = living.plus(controller._deployments[function].claim)
        assert abs(living.cpus - controller.held.cpus) < 1e-6, "what lives holds its claim, and nothing else does"
        starting = sum(
            member.state is ReplicaState.STARTING
            for name in self.dispatchers
            if name in controller._deployments
            for member in controller.members(name)
        )
        for name, deployment in controller._deployments.items():
            floor, ceiling = controller.limits(name)
            count = len(controller._fleet.living(name))
            assert floor <= controller.target(name) <= ceiling
            assert count <= ceiling
            if count < controller.target(name) and now_s >= deployment.succession.start_after_s:
                is_full = not controller._pool.has_room(deployment.claim)
                assert is_full or starting >= controller._shortage._starts_at_once, (
                    "a start is due and nothing holds it up"
                )

    def check_books(self) -> None:
        """At the end: each request has one outcome, each start one fate, and the replica-seconds add up."""
        assert set(self.finished) == self.arrived
        assert set(self.finished.values()) <= {1}
        for dispatcher in self.dispatchers.values():
            assert dispatcher.in_flight == 0
            assert dispatcher.ledger.accepted == sum(dispatcher.ledger.ended.values())
        alive = {member.replica_id for name in self.dispatchers for member in self.controller.members(name)}
        assert alive == set(self.started_at_s) - set(self.exited_at_s)
        assert self.leased <= set(self.ready_at_s) <= set(self.started_at_s)
        for name in self.dispatchers:
            lived_s = sum(
                self.exited_at_s.get(replica_id, self.now_s) - at_s
                for replica_id, at_s in self.started_at_s.items()
                if self.function_of[replica_id] == name
            )
            assert abs(self.controller.replica_seconds(name, self.now_s) - lived_s) < 1e-6

"""A seeded world run with every step checked, whatever goes wrong in it."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from random import Random

from batch_rules import BatchRules
from books import Books, Step
from replica_rules import ReplicaRules
from request_rules import RequestRules
from seeded_world import SeededWorld

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.request import Outcome
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.machines import Machines
from sojourn.sim.mishap import SeededFates

_LIMIT_S = 600.0
_CALM_SHARE = 0.99


class Watched:
    """A run of a seeded world in which every step is checked.

    Args:
        world: What to run.
        digests: Whether all that happens is to be named by `digest`.
    """

    def __init__(self, world: SeededWorld, *, digests: bool = False) -> None:
        self.world = world
        self.now_s = 0.0
        self.last_steps: deque[Step] = deque(maxlen=12)
        self._hash = blake2b(digest_size=16) if digests else None
        self.machines = machines = Machines(world.machines)
        self.controller = Controller(Random(world.seed + 2), machines.total)
        self.dispatchers = {
            each.settings.name: Dispatcher(each.settings, batching_policy(each.settings.batching), world.bounds)
            for each in world.functions
        }
        self._stepped_last: Controller | Dispatcher = self.controller
        for machine in (self.controller, *self.dispatchers.values()):
            self._note_steps_of(machine)
        self.books = Books(world)
        self._requests = RequestRules(self.books, self.dispatchers)
        self._rules = (
            self._requests,
            BatchRules(self.books, self.dispatchers),
            ReplicaRules(self.books, self.controller, machines),
        )
        first, *others = world.functions
        self.simulation = Simulation(
            self.dispatchers[first.settings.name],
            self.controller,
            first.service,
            Random(world.seed + 3),
            self._stepped,
            machines=machines,
            fates=SeededFates(world.rates, Random(world.seed + 1)),
        )
        for number, each in enumerate(others):
            self.simulation.add(
                self.dispatchers[each.settings.name], each.service, Random(f"{world.seed} times {number}")
            )
        for at_s, mishap in world.mishaps:
            self.simulation.at(at_s, mishap)
        for at_s, duration_s in world.stalls:
            self.simulation.stall(at_s, duration_s)
        for at_s, event in world.scalings:
            self.simulation.at(at_s, event)

    def _note_steps_of(self, machine: Controller | Dispatcher) -> None:
        step = machine.step

        def noted(event: object, now_s: float) -> list[object]:
            self._stepped_last = machine
            return step(event, now_s)

        machine.step = noted

    @property
    def digest(self) -> str:
        """A name of all events, instants and actions of the run; empty if not asked for."""
        return self._hash.hexdigest() if self._hash is not None else ""

    @property
    def tail(self) -> list[str]:
        """The last steps, for people."""
        return [f"{step.now_s:.6f} {step.event} -> {step.actions}"[:600] for step in self.last_steps]

    def run(self) -> Watched:
        """Go to the end; every violation is an AssertionError."""
        arrivals = {each.settings.name: each.arrivals for each in self.world.functions}
        self.simulation.run_all(arrivals, limit_s=_LIMIT_S)
        self._check_end()
        return self

    def _stepped(self, event: object, now_s: float, actions: list[object]) -> None:
        step = Step(event, now_s, actions)
        self.last_steps.append(step)
        if self._hash is not None:
            self._hash.update(f"{now_s!r}{event}{actions}".encode())
        assert now_s >= self.now_s, "time went back"
        self.now_s = now_s
        # The others are as they were; what is due in them is stepped next.
        self._stepped_last.check(now_s)
        for rule in self._rules:
            rule.before(step)
        self.books.happened(step)
        for action in actions:
            for rule in self._rules:
                rule.ordered(action, step)
            self.books.ordered(action, now_s)
        for rule in self._rules:
            rule.after(step)
        self.machines.check()

    def _check_end(self) -> None:
        for rule in self._rules:
            rule.at_end(self.now_s)
        self._requests.check_poison(set().union(*(site.bad for site in self.simulation._sites.values())))
        for dispatcher in self.dispatchers.values():
            assert dispatcher.in_flight == 0
            assert dispatcher.ledger.accepted == sum(dispatcher.ledger.ended.values())
        for name, result in self.simulation.results.items():
            assert sum(result.outcomes.values()) == result.sent, f"{name}: outcomes do not add up"
            lived_s = result.replica_seconds_until(self.now_s)
            assert abs(self.controller.replica_seconds(name, self.now_s) - lived_s) < 1e-6, "replica time is lost"
        if self.world.is_calm:
            self._check_calm()

    def _check_calm(self) -> None:
        """With time for everyone, everyone is served, and all but a few in time."""
        for name, result in self.simulation.results.items():
            assert result.outcomes[Outcome.SERVED] == result.sent, f"{name}: {result.outcomes}"
            late = result.sent - result.within_slo
            assert late <= max((1 - _CALM_SHARE) * result.sent, 2), f"{name}: {late} of {result.sent} late"

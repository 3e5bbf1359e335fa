"""What must hold after every event of a simulated run, whatever goes wrong."""

from __future__ import annotations

from collections import Counter, deque
from hashlib import blake2b
from math import ceil, inf, log2
from random import Random

from seeded_world import SeededWorld

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import DispatchBatch, Finish, LeaseReplica, StartReplica, StopReplica
from sojourn.domain.event import (
    BatchCompleted,
    ClientGone,
    ReplicaExited,
    ReplicaLeased,
    ReplicaLost,
    ReplicaReady,
    RequestArrived,
)
from sojourn.domain.request import OUTCOME_OF_FAULT, Fault, Outcome
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.machines import Machines
from sojourn.sim.mishap import SeededFates

_HASTE_S = 1e-6
_TOLD_LATE_S = 0.1  # a wake-up may find its driver busy; in virtual time it never is but for stalls
_LOSSES_MAX = 3
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
        self.arrived_at_s: dict[int, float] = {}
        self.arrival_of: dict[int, RequestArrived] = {}
        self.function_of: dict[int, str] = {}
        self.finished: dict[int, Finish] = {}
        self.gone: set[int] = set()
        self.runs: Counter[int] = Counter()
        self.running: dict[int, set[int]] = {}  # replica -> its batches
        self.leased: dict[int, str] = {}
        self.started: dict[int, str] = {}
        self.ready: set[int] = set()
        self.exited: set[int] = set()
        self.stopped: set[int] = set()
        self.last_steps: deque[tuple[float, object, list[object]]] = deque(maxlen=12)
        self._hash = blake2b(digest_size=16) if digests else None
        self.fates = SeededFates(world.rates, Random(world.seed + 1))
        self.machines = machines = Machines(world.machines)
        self.controller = Controller(Random(world.seed + 2), machines.total)
        self.dispatchers = {
            each.settings.name: Dispatcher(each.settings, batching_policy(each.settings.batching), world.bounds)
            for each in world.functions
        }
        self.settings = {each.settings.name: each.settings for each in world.functions}
        self._of_step: Dispatcher | None = None
        first, *others = world.functions
        self.simulation = Simulation(
            self.dispatchers[first.settings.name],
            self.controller,
            first.service,
            Random(world.seed + 3),
            self._stepped,
            machines=machines,
            fates=self.fates,
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

    @property
    def digest(self) -> str:
        """A name of all events, instants and actions of the run; empty if not asked for."""
        return self._hash.hexdigest() if self._hash is not None else ""

    @property
    def tail(self) -> list[str]:
        """The last steps, for people."""
        return [f"{now_s:.6f} {event} -> {actions}"[:600] for now_s, event, actions in self.last_steps]

    def run(self) -> Watched:
        """Go to the end; every violation is an AssertionError."""
        arrivals = {each.settings.name: each.arrivals for each in self.world.functions}
        self.simulation.run_all(arrivals, limit_s=_LIMIT_S)
        self._check_end()
        return self

    # ---- after each step

    def _stepped(self, event: object, now_s: float, actions: list[object]) -> None:
        self.last_steps.append((now_s, event, actions))
        if self._hash is not None:
            self._hash.update(f"{now_s!r}{event}{actions}".encode())
        assert now_s >= self.now_s, "time went back"
        self.now_s = now_s
        for machine in (self.controller, *self.dispatchers.values()):
            wake_at_s = machine.next_wake_at_s
            # What is due at this very instant is stepped next; while the server stood still, all may be overdue.
            if wake_at_s is None or wake_at_s > now_s:
                machine.check(now_s)
        self._note(event, now_s)
        for action in actions:
            self._check_action(action, now_s)
        self.machines.check()
        held = self.controller.held
        assert held.fits(self.controller.capacity), f"{held} is held of {self.controller.capacity}"

    def _note(self, event: object, now_s: float) -> None:
        match event:
            case RequestArrived(request_id=request_id):
                assert request_id not in self.arrived_at_s, "a number is used once"
                self.arrived_at_s[request_id] = now_s
                self.arrival_of[request_id] = event
            case ClientGone(request_id=request_id):
                self.gone.add(request_id)
            case BatchCompleted(replica_id=replica_id, batch_id=batch_id):
                self.running.get(replica_id, set()).discard(batch_id)
            case ReplicaLeased(replica_id=replica_id):
                assert replica_id in self.ready, "leased before it was ready"
                assert replica_id not in self.exited, "leased after its end"
                self.running[replica_id] = set()
            case ReplicaLost(replica_id=replica_id):
                self.running.pop(replica_id, None)
            case ReplicaReady(replica_id=replica_id):
                assert replica_id not in self.ready, "ready twice"
                self.ready.add(replica_id)
            case ReplicaExited(replica_id=replica_id):
                assert replica_id not in self.exited, "gone twice"
                self.exited.add(replica_id)

    def _check_action(self, action: object, now_s: float) -> None:
        match action:
            case StartReplica(function=function, replica_id=replica_id):
                assert replica_id not in self.started, "a replica's number is used once"
                self.started[replica_id] = function
            case LeaseReplica(function=function, replica_id=replica_id):
                assert replica_id not in self.leased, "leased twice"
                self.leased[replica_id] = function
            case StopReplica(replica_id=replica_id):
                assert replica_id not in self.exited, "stopped after its end"
                assert replica_id not in self.stopped, "stopped twice"
                self.stopped.add(replica_id)
            case DispatchBatch():
                self._check_batch(action, now_s)
            case Finish(request_id=request_id):
                assert request_id in self.arrived_at_s, "an end without an arrival"
                assert request_id not in self.finished, "a second end"
                whole_s = now_s - self.arrived_at_s[request_id]
                assert abs(action.latency_s - whole_s) < 1e-6, "latency is from the arrival to the end"
                self.finished[request_id] = action

    def _check_batch(self, batch: DispatchBatch, now_s: float) -> None:
        function = self.leased[batch.replica_id]
        settings, dispatcher = self.settings[function], self.dispatchers[function]
        assert batch.replica_id not in self.exited, "sent to a replica that is gone"
        assert 1 <= len(batch.request_ids) <= settings.largest_batch
        assert len(set(batch.request_ids)) == len(batch.request_ids), "twice in one batch"
        own = self.running.setdefault(batch.replica_id, set())
        own.add(batch.batch_id)
        assert len(own) == 1, "more than one batch on a replica with one slot"
        for request_id in batch.request_ids:
            assert request_id not in self.finished, "what has ended runs"
            assert request_id not in self.gone, "runs although its client is gone"
            assert self.function_of.setdefault(request_id, function) == function, "another function's request"
            request = dispatcher._backlog.requests[request_id]
            assert request.give_up_at_s > now_s - _HASTE_S, "runs after its give-up time"
            self.runs[request_id] += 1
            splits = ceil(log2(settings.largest_batch)) + 1 if settings.largest_batch > 1 else 1
            assert self.runs[request_id] <= (_LOSSES_MAX + 1) * (splits + 1), "runs again and again"
            if not settings.retry:
                assert self.runs[request_id] == 1, "retry=False runs once"

    # ---- at the end

    def _check_end(self) -> None:
        unfinished = set(self.arrived_at_s) - set(self.finished)
        assert not unfinished, f"{len(unfinished)} requests never ended, such as {sorted(unfinished)[:5]}"
        sent = sum(len(each.arrivals) for each in self.world.functions)
        assert len(self.arrived_at_s) == sent, "an arrival was lost"
        for dispatcher in self.dispatchers.values():
            assert dispatcher.in_flight == 0
            assert dispatcher.ledger.accepted == sum(dispatcher.ledger.ended.values())
        for name, result in self.simulation.results.items():
            assert sum(result.outcomes.values()) == result.sent, f"{name}: outcomes do not add up"
            lived_s = result.replica_seconds_until(self.now_s)
            assert abs(self.controller.replica_seconds(name, self.now_s) - lived_s) < 1e-6, "replica time is lost"
        self._check_ends()
        self._check_poison()
        if self.world.is_calm:
            self._check_calm()

    def _check_ends(self) -> None:
        """Nobody is told later than the moment it became hopeless, but for what a stalled server could not help."""
        for request_id, end in self.finished.items():
            assert end.latency_s >= 0.0, "a negative latency"
            assert end.fault is None or end.outcome is OUTCOME_OF_FAULT[end.fault]
            settings = self.settings[self._function(request_id)]
            patience_s = max(settings.start_timeout_s, settings.effective_timeout_s)
            client_s = self.arrival_of[request_id].client_timeout_s
            if client_s is not None:
                patience_s = min(patience_s, client_s)
            allowed_s = patience_s + self.world.stalled_s + _TOLD_LATE_S
            assert end.latency_s <= allowed_s, f"{end} came after {allowed_s:.3g} s"
            if end.outcome is Outcome.CANCELLED:
                assert request_id in self.gone
            if end.outcome is Outcome.SERVED:
                assert request_id in self.runs, "served without a run"

    def _check_poison(self) -> None:
        """K bad of n give k errors; nobody good is told that the function raised, unless there was no time to find out."""
        bad = set().union(*(site.bad for site in self._books()))
        for request_id, end in self.finished.items():
            settings = self.settings[self._function(request_id)]
            if end.fault is Fault.FUNCTION_RAISED and request_id not in bad and settings.retry:
                patience_s = self.arrival_of[request_id].client_timeout_s
                least_s = min(settings.effective_timeout_s, inf if patience_s is None else patience_s)
                assert end.latency_s >= least_s - _HASTE_S, (
                    "a good request was blamed for a bad one in time to find out"
                )
            if request_id in bad:
                assert end.outcome is not Outcome.SERVED, "the function raised, yet it was served"
            if end.fault is Fault.POISONED:
                assert end.losses == _LOSSES_MAX, "poisoned without having killed"
            assert end.losses <= _LOSSES_MAX

    def _check_calm(self) -> None:
        """With time for everyone, everyone is served, and all but a few in time."""
        for name, result in self.simulation.results.items():
            assert result.outcomes[Outcome.SERVED] == result.sent, f"{name}: {result.outcomes}"
            late = result.sent - result.within_slo
            assert late <= max((1 - _CALM_SHARE) * result.sent, 2), f"{name}: {late} of {result.sent} late"

    def _function(self, request_id: int) -> str:
        found = self.function_of.get(request_id)
        return found if found is not None else self._functions_of_arrivals()[request_id]

    def _functions_of_arrivals(self) -> dict[int, str]:
        """Of those that never ran: requests are numbered in order of time over all functions."""
        if not hasattr(self, "_by_arrival"):
            merged = sorted(
                (
                    (arrival.at_s, place, name)
                    for place, (name, arrivals) in enumerate(self._streams())
                    for arrival in arrivals
                ),
                key=lambda entry: entry[0],
            )
            self._by_arrival = {number: name for number, (_, _, name) in enumerate(merged, start=1)}
        return self._by_arrival

    def _streams(self):
        return [(each.settings.name, each.arrivals) for each in self.world.functions]

    def _books(self):
        return self.simulation._sites.values()

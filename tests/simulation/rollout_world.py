"""Rollouts in virtual time: whole platforms with two revisions side by side, and counters alone where many are needed."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, inf, log, log1p, pi
from random import Random

import msgspec
from msgspec.structs import replace

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.core.rollout import Rollout, replicas_for
from sojourn.domain.action import StartReplica, SuspendStarts
from sojourn.domain.deployment import CANARY, RolloutPlan
from sojourn.domain.event import FunctionDeployed, ReplicaExited, ReplicaReady, ScaleRequested
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.replica import ReplicaState
from sojourn.domain.resources import Resources
from sojourn.domain.rollout import (
    ArmCounts,
    CandidateFailed,
    CandidateWarm,
    CountsSeen,
    Fail,
    Promote,
    ReplicaFailed,
    RollBack,
    RolloutBegan,
    RolloutEvent,
    RolloutState,
    SetShare,
)
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.sim.site import Site
from sojourn.sim.watch import Watch
from sojourn.slo.canary import counts_of_arm
from sojourn.workload.arrivals import on_off, poisson
from sojourn.workload.shapes import diurnal

OBJECTIVE = SLO(0.1, 0.99)
PLAN = RolloutPlan(strategy=CANARY)
KINDS = ("poisson", "bursty", "diurnal")
_COUNTED_S = 6 * 3600.0


class Ended(msgspec.Struct, frozen=True):
    """What came of a rollout: how it ended, in how many seconds since the split began, and what the candidate had served by then."""

    state: RolloutState
    cause: str
    after_s: float
    requests: int
    steps: tuple[str, ...] = ()


class Driver:
    """Steps a rollout, checks it after every step, and keeps what it ordered."""

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout
        self.share = 0.0
        self.split_at_s: float | None = None
        self.ended_at_s = inf
        self.orders: list[str] = []

    def tell(self, event: RolloutEvent, now_s: float) -> None:
        for action in self.rollout.step(event, now_s):
            if isinstance(action, SetShare):
                self.share = action.share
                if self.split_at_s is None:
                    self.split_at_s = now_s
                self.orders.append(f"{now_s:.0f} s: share {action.share:g}: {action.why}")
            else:
                assert isinstance(action, Promote | RollBack | Fail)
                self.ended_at_s = now_s
        self.rollout.check(now_s)

    def ended(self, requests: int) -> Ended:
        status = self.rollout.status()
        after_s = self.ended_at_s - (self.split_at_s or 0.0)
        return Ended(status.state, status.cause, after_s, requests, tuple(self.orders))


def arrivals(kind: str, rate_per_s: float, duration_s: float, rng: Random) -> Iterator[float]:
    """Poisson; bursts of four times the rate that last about two seconds, one in eight; or a day of two minutes."""
    if kind == "poisson":
        return poisson(rate_per_s, duration_s, rng)
    if kind == "bursty":
        return on_off(rate_per_s, duration_s, rng, on_share=0.25, period_s=8.0)
    return diurnal(rate_per_s, duration_s, rng, period_s=120.0)


class World:
    """A platform that serves two revisions with the production dispatchers, controller and rollout.

    Args:
        seed: Of all chance.
        kind: Arrivals.
        stable: How replicas of the old revision behave.
        candidate: Those of the new one.
        rate_per_s: Mean arrival rate of both together.
        plan: Of the rollout.
        deployed_at_s: When the candidate is deployed; until then the stable revision finds its replicas.
    """

    def __init__(
        self,
        seed: int,
        kind: str,
        stable: ModelledService,
        candidate: ModelledService,
        *,
        rate_per_s: float = 100.0,
        plan: RolloutPlan = PLAN,
        deployed_at_s: float = 30.0,
    ) -> None:
        self._rng = Random(seed)
        self._limit_s = deployed_at_s + 3 * plan.step_s * len(plan.shares) + 60.0
        self._times = arrivals(kind, rate_per_s, self._limit_s, self._rng)
        self._is_candidate: dict[int, bool] = {}  # by replica
        self._watches = {name: Watch(OBJECTIVE) for name in ("stable", "candidate")}
        self._at_split = ArmCounts()
        self._floor = self._stable_most = 0
        self._controller = Controller(Random(self._rng.random()), Resources(cpus=64))
        self.driver = Driver(Rollout(plan, OBJECTIVE.objective))
        dispatchers = []
        for name in self._watches:
            settings = FunctionSettings(name=name, slo=OBJECTIVE, max_batch_size=16, min_replicas=1)
            dispatchers.append(Dispatcher(settings, batching_policy(settings.batching)))
        self.simulation = Simulation(
            dispatchers[0],
            self._controller,
            stable,
            Random(self._rng.random()),
            self._observe,
            watch=self._watches["stable"],
        )
        rng = Random(self._rng.random())
        self.simulation.add(dispatchers[1], candidate, rng, watch=self._watches["candidate"])
        self.simulation.at(0.0, FunctionDeployed(dispatchers[0].settings), "stable")
        self.simulation.at(deployed_at_s, FunctionDeployed(dispatchers[1].settings), "candidate")

    def run(self) -> Ended:
        self.simulation._drive(self._routed(), 0.0, self._limit_s)
        return self.driver.ended(self._counts("candidate", self.simulation.now_s).total)

    def _routed(self) -> Iterator[tuple[float, Site]]:
        """Each request goes to one of the revisions by the toss of a coin."""
        sites = self.simulation._sites
        for at_s in self._times:
            if self.driver.rollout.is_over:
                return
            is_candidate = self._rng.random() < self.driver.share
            yield at_s, sites["candidate" if is_candidate else "stable"]

    def _observe(self, event: object, now_s: float, actions: list[object]) -> None:
        """What the runtime would tell the rollout."""
        driver = self.driver
        if isinstance(event, FunctionDeployed) and event.settings.name == "candidate":
            driver.tell(RolloutBegan(), now_s)
            self._provide(now_s)
        elif isinstance(event, ReplicaReady) and self._is_candidate.get(event.replica_id):
            if (
                len([member for member in self._controller.members("candidate") if member.state is ReplicaState.READY])
                >= self._floor
            ):
                driver.tell(CandidateWarm(), now_s)
        elif isinstance(event, ReplicaExited) and event.cause != "stopped":
            driver.tell(ReplicaFailed(self._is_candidate[event.replica_id], event.cause), now_s)
        for action in actions:
            if isinstance(action, StartReplica):
                self._is_candidate[action.replica_id] = action.function == "candidate"
            elif isinstance(action, SuspendStarts) and action.function == "candidate":
                driver.tell(CandidateFailed(action.cause), now_s)
        wake_at_s = driver.rollout.next_wake_at_s
        if wake_at_s is not None and now_s >= wake_at_s:
            driver.tell(self._seen(now_s), now_s)
            self._provide(now_s)

    def _provide(self, now_s: float) -> None:
        """See to it that the candidate has the replicas it needs for its next share."""
        self._stable_most = max(self._stable_most, self._controller.target("stable"))
        floor = replicas_for(self.driver.rollout.next_share, self._stable_most)
        if floor > self._floor:
            self._floor = floor
            self.simulation.at(now_s, ScaleRequested("candidate", min_replicas=floor), "candidate")

    def _seen(self, now_s: float) -> CountsSeen:
        stable, candidate = self._counts("stable", now_s), self._counts("candidate", now_s)
        if candidate == ArmCounts():
            self._at_split = stable  # its counters begin with the split
        return CountsSeen(stable.since(self._at_split), candidate)

    def _counts(self, name: str, now_s: float) -> ArmCounts:
        return counts_of_arm(self._watches[name].monitor.counts(now_s, _COUNTED_S))


class Arm(msgspec.Struct, frozen=True):
    """How a revision behaves where only counters are played.

    Args:
        late: Share of its requests that are late in a calm second.
        errors: Share that fail.
        busy_late: Share that are late in a busy second, of which both revisions see the same ones.
        heaps_per_s: How often, per second, it alone is disturbed for a while.
        heap_s: For how long, on average, in seconds; then half of its requests are late.
    """

    late: float = 0.002
    errors: float = 0.001
    busy_late: float = 0.3
    heaps_per_s: float = 1 / 60
    heap_s: float = 1.0


def play_counts(
    seed: int, kind: str, stable: Arm, candidate: Arm, *, rate_per_s: float = 40.0, plan: RolloutPlan = PLAN
) -> Ended:
    """A rollout fed with counters, second by second, that no dispatcher has counted."""
    rng = Random(seed)
    driver = Driver(Rollout(plan, OBJECTIVE.objective))
    driver.tell(RolloutBegan(), 0.0)
    driver.tell(CandidateWarm(), 2.0)
    arms, counts, disturbed = (stable, candidate), [[0, 0, 0], [0, 0, 0]], [0, 0]
    second, is_busy = 2, False
    while not driver.rollout.is_over:
        second += 1
        if kind == "diurnal":
            level = 1 - 0.8 * cos(2 * pi * second / 120)
            is_busy = level > 1.7
        else:
            is_busy = kind == "bursty" and rng.random() < (0.5 if is_busy else 1 / 6)
            level = (4.0 if is_busy else 0.25) if kind == "bursty" else 1.0
        for number, arm in enumerate(arms):
            if disturbed[number]:
                disturbed[number] -= 1
            elif rng.random() < arm.heaps_per_s:
                disturbed[number] = max(round(rng.expovariate(1 / arm.heap_s)), 1)
            share = driver.share if number else 1.0 - driver.share
            late = max(arm.late, arm.busy_late if is_busy else 0.0, 0.5 if disturbed[number] else 0.0)
            requests = _many(rate_per_s * level * share, rng)
            errors = _some(requests, arm.errors, rng)
            for place, more in enumerate((requests, errors + _some(requests - errors, late, rng), errors)):
                counts[number][place] += more
        seen = [ArmCounts(total=total, bad=bad, errors=errors) for total, bad, errors in counts]
        driver.tell(CountsSeen(seen[0], seen[1]), float(second))
    return driver.ended(counts[1][0])


def _many(mean: float, rng: Random) -> int:
    """A Poisson number."""
    count, at = -1, 0.0
    while at < mean:
        at += rng.expovariate(1.0)
        count += 1
    return count


def _some(among: int, share: float, rng: Random) -> int:
    """A binomial number: from one success to the next, so that few cost little."""
    if share >= 0.2:
        return sum(rng.random() < share for _ in range(among))
    if share <= 0.0:
        return 0
    count, at = -1, 0
    step = 1 / log1p(-share)
    while at <= among:
        count += 1
        at += 1 + int(log(1.0 - rng.random()) * step)
    return count


_STABLE = ModelledService(0.004, 0.063, sigma=0.1, cold_start_s=2.0)  # one item takes 67 of the 100 ms

# Candidates of the platform above, by name: the stable revision with something changed.
SERVICES: dict[str, ModelledService] = {
    "equal": _STABLE,
    "errors 2 %": replace(_STABLE, item_failure=0.02),
    "errors 10 %": replace(_STABLE, item_failure=0.1),
    "all fail": replace(_STABLE, item_failure=1.0),
    "service time x1.5": replace(_STABLE, alpha_s=0.006, beta_s=0.0945),
    "service time x2": replace(_STABLE, alpha_s=0.008, beta_s=0.126),
    "dies after 5 s": replace(_STABLE, lifetime_s=5.0),
}
# And where only counters are played: (stable, candidate).
ARMS: dict[str, tuple[Arm, Arm]] = {
    "equal": (Arm(), Arm()),
    "equal, 3 % late": (Arm(late=0.03), Arm(late=0.03)),
    "equal, disturbed for 3 s each 20 s": (Arm(heaps_per_s=0.05, heap_s=3.0), Arm(heaps_per_s=0.05, heap_s=3.0)),
    "errors 2 %": (Arm(), Arm(errors=0.02)),
    "errors 10 %": (Arm(), Arm(errors=0.1)),
    "all fail": (Arm(), Arm(errors=1.0)),
    "late 5 %": (Arm(), Arm(late=0.05)),
    "late 20 %": (Arm(), Arm(late=0.2)),
    "all late": (Arm(), Arm(late=1.0)),
}


def play_platform(case: str, kind: str, seed: int, rate_per_s: float = 60.0) -> Ended:
    """One rollout of a whole platform."""
    return World(seed, kind, _STABLE, SERVICES[case], rate_per_s=rate_per_s).run()


def play_arms(case: str, kind: str, seed: int, rate_per_s: float = 40.0) -> Ended:
    """One rollout fed with counters alone."""
    return play_counts(seed, kind, *ARMS[case], rate_per_s=rate_per_s)

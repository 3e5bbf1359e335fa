"""The replicas of a simulation, of all functions: where they are, what they run, how they end."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

from sojourn.domain.action import DispatchBatch
from sojourn.domain.event import (
    BatchCompleted,
    ControllerEvent,
    DispatcherEvent,
    ReplicaExited,
    ReplicaLost,
    ReplicaReady,
)
from sojourn.domain.resources import claim_of
from sojourn.sim.fate import Fates
from sojourn.sim.machines import Machines
from sojourn.sim.mishap import Mishap, SomeReplicaLost
from sojourn.sim.replica import ModelledStart
from sojourn.sim.site import Site

Happening = DispatcherEvent | ControllerEvent | Mishap


class ModelledFleet:
    """Does what launcher, links and replica processes do in a server: its ends and answers are posted as events.

    Args:
        machines: Where replicas are placed; None is one place on which every start pays its import.
        fates: What goes wrong with batches, if anything.
        rng: Chance for starts.
        post: Lets an event happen at an instant: (at_s, site, event).
    """

    def __init__(
        self,
        machines: Machines | None,
        fates: Fates | None,
        rng: Random,
        post: Callable[[float, Site, Happening], None],
    ) -> None:
        self._machines = machines
        self._fates = fates
        self._rng = rng
        self._post = post
        self._alive: dict[int, Site] = {}

    def __contains__(self, replica_id: int) -> bool:
        """Whether a replica lives."""
        return replica_id in self._alive

    def start(self, site: Site, replica_id: int, now_s: float) -> None:
        """Start a replica of a function: it becomes ready later, or ends."""
        self._alive[replica_id] = site
        site.replica_started(replica_id, now_s)
        start = self._how_it_starts(site, replica_id, now_s)
        outcome = ReplicaExited(replica_id, start.cause) if start.cause else ReplicaReady(replica_id)
        self._post(now_s + start.duration_s, site, outcome)

    def _how_it_starts(self, site: Site, replica_id: int, now_s: float) -> ModelledStart:
        number = len(site.result.starts)
        if self._machines is None:
            return site.service.start(number, self._rng)
        place = self._machines.place(replica_id, site.name, claim_of(site.dispatcher.settings), now_s)
        if place is None:
            return ModelledStart(0.0, "no single machine has room for its claim")
        is_forked = place.imported_at_s is not None
        start = site.service.start(number, self._rng, is_forked=is_forked)
        duration_s = start.duration_s * self._machines.crowding(place.machine)
        if place.imported_at_s is not None:
            duration_s += max(place.imported_at_s - now_s, 0.0)  # another one's import is under way
        elif not start.cause:
            imported_at_s = now_s + duration_s * site.service.imported_share
            self._machines.imports(site.name, place.machine, imported_at_s)
        return ModelledStart(duration_s, start.cause)

    def ready(self, site: Site, replica_id: int, now_s: float) -> None:
        """A replica has become ready; some will die by themselves one day."""
        if self._machines is not None:
            self._machines.started(replica_id)
        lifetime_s = site.lifetime_s()
        if lifetime_s < inf:
            self._post(now_s + lifetime_s, site, ReplicaLost(replica_id))
            self._post(now_s + lifetime_s, site, ReplicaExited(replica_id, "died"))

    def gone(self, replica_id: int, now_s: float) -> None:
        """A replica's process has ended."""
        if self._machines is not None:
            self._machines.remove(replica_id, now_s)
        self._alive.pop(replica_id).replica_gone(replica_id, now_s)

    def befall(self, mishap: Mishap, now_s: float) -> None:
        """Replicas die: their links close and their processes exit."""
        dying: list[int] = []
        if isinstance(mishap, SomeReplicaLost):
            living = sorted(self._alive)
            dying = living[int(mishap.draw * len(living)) :][:1]
        elif self._machines is not None:
            dying = self._machines.replicas_on(mishap.machine)
        for replica_id in dying:
            for event in (ReplicaLost(replica_id), ReplicaExited(replica_id, "killed")):
                self._post(now_s, self._alive[replica_id], event)

    def run(self, site: Site, action: DispatchBatch, now_s: float) -> None:
        """Have a replica run a batch: its answer comes later, or its end, or nothing."""
        replica_id, ids = action.replica_id, action.request_ids
        answered_s, work_s = site.batch_s(replica_id, ids, now_s)
        if site.watch is not None:
            site.batch_sent(action.batch_id, len(ids), work_s)
        faults = site.faults_of(ids) if site.bad else ()
        if self._fates is not None:
            fate = self._fates.of_batch(replica_id, ids, answered_s, now_s)
            answered_s = fate.duration_s
            if fate.dies:
                self._post(now_s + answered_s, site, ReplicaLost(replica_id))
                self._post(now_s + answered_s, site, ReplicaExited(replica_id, "died in a batch"))
            if fate.dies or fate.is_lost:
                return
        self._post(now_s + answered_s, site, BatchCompleted(replica_id, action.batch_id, faults, work_s))

"""The machines replicas are placed on: who has room, who has imported the code already, who dies with whom."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import msgspec

from sojourn.domain.resources import Resources
from sojourn.errors import ConfigurationError

FORK_SERVER_IDLE_S = 300.0


class Place(msgspec.Struct, frozen=True):
    """Where a replica was put: the machine's number, and whether it is forked from code imported there before."""

    machine: int
    is_forked: bool


class Machines:
    """A fleet of machines with room for replicas; the emptiest with room takes the next one.

    A start takes a core; starts beyond the cores of a machine share them, so that each takes longer (`crowding`).

    Args:
        capacities: What each machine has, at least one.
        idle_s: How long a machine keeps the imported code of a function after its last replica there, in seconds.

    Raises:
        ConfigurationError: There are no machines.
    """

    def __init__(self, capacities: Sequence[Resources], idle_s: float = FORK_SERVER_IDLE_S) -> None:
        if not capacities:
            raise ConfigurationError("a fleet needs at least one machine")
        self._capacities = list(capacities)
        self._held = [Resources() for _ in capacities]
        self._starting = [0] * len(self._capacities)
        self._idle_s = idle_s
        self._claims: dict[int, tuple[int, str, Resources]] = {}  # by replica: machine, function, claim
        self._imported_until_s: dict[tuple[int, str], float] = {}

    def __len__(self) -> int:
        return len(self._capacities)

    @property
    def total(self) -> Resources:
        """What all of them have together."""
        total = Resources()
        for capacity in self._capacities:
            total = total.plus(capacity)
        return total

    def place(self, replica_id: int, function: str, claim: Resources, now_s: float) -> Place | None:
        """Put a replica on the machine with the most cores left among those with room; None if no single one has room."""
        best, most_left = -1, -inf
        for number, (capacity, held) in enumerate(zip(self._capacities, self._held, strict=True)):
            left = capacity.cpus - held.cpus
            if left > most_left and held.plus(claim).fits(capacity):
                best, most_left = number, left
        if best < 0:
            return None
        self._held[best] = self._held[best].plus(claim)
        self._claims[replica_id] = (best, function, claim)
        is_forked = self._imported_until_s.get((best, function), -inf) > now_s
        self._imported_until_s[best, function] = inf
        self._starting[best] += 1
        return Place(best, is_forked)

    def crowding(self, machine: int) -> float:
        """By what a start on this machine is slowed down by the other starts there, >= 1."""
        return max(self._starting[machine] / max(self._capacities[machine].cpus, 1.0), 1.0)

    def started(self, replica_id: int) -> None:
        """A replica is ready, or its start failed: it takes no processor time for starting any more."""
        placed = self._claims.get(replica_id)
        if placed is not None:
            self._starting[placed[0]] -= 1

    def remove(self, replica_id: int, now_s: float) -> None:
        """A replica is gone."""
        placed = self._claims.pop(replica_id, None)
        if placed is None:
            return
        machine, function, claim = placed
        self._held[machine] = self._held[machine].plus(claim, -1)
        if not any(place[:2] == (machine, function) for place in self._claims.values()):
            self._imported_until_s[machine, function] = now_s + self._idle_s

    def replicas_on(self, machine: int) -> list[int]:
        """Replicas on a machine, by number."""
        return sorted(replica_id for replica_id, place in self._claims.items() if place[0] == machine)

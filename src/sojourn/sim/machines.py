"""The machines replicas are placed on: who has room, who has imported the code already, who dies with whom."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import msgspec

from sojourn.core.pool import Pool
from sojourn.domain.resources import Resources
from sojourn.errors import ConfigurationError

FORK_SERVER_IDLE_S = 300.0


class Place(msgspec.Struct, frozen=True):
    """Where a replica was put.

    Args:
        machine: The machine's number.
        imported_at_s: When the code is or will have been imported there; None if this replica is to import it.
    """

    machine: int
    imported_at_s: float | None


class _Import(msgspec.Struct):
    """The code of a function on a machine: from when it is imported, and until when that is kept without replicas."""

    at_s: float
    until_s: float = inf


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
        self._pools = [Pool(capacity) for capacity in capacities]
        self._starting: list[set[int]] = [set() for _ in capacities]
        self._idle_s = idle_s
        self._placed: dict[int, tuple[int, str]] = {}  # by replica: machine, function
        self._imports: dict[tuple[int, str], _Import] = {}

    def __len__(self) -> int:
        return len(self._pools)

    @property
    def total(self) -> Resources:
        """What all of them have together."""
        total = Resources()
        for pool in self._pools:
            total = total.plus(pool.capacity)
        return total

    def place(self, replica_id: int, function: str, claim: Resources, now_s: float) -> Place | None:
        """Put a replica on the machine with the most cores left among those with room; None if no single one has room."""
        best, most_left = -1, -inf
        for number, pool in enumerate(self._pools):
            left = pool.capacity.cpus - pool.held.cpus
            if left > most_left and pool.has_room(claim):
                best, most_left = number, left
        if best < 0:
            return None
        self._pools[best].take(replica_id, claim)
        self._placed[replica_id] = (best, function)
        self._starting[best].add(replica_id)
        imported = self._imports.get((best, function))
        if imported is None or imported.until_s <= now_s:
            return Place(best, None)
        imported.until_s = inf
        return Place(best, imported.at_s)

    def imports(self, function: str, machine: int, at_s: float) -> None:
        """A start that will not fail imports the code there, and is done with that at `at_s`."""
        self._imports[machine, function] = _Import(at_s)

    def crowding(self, machine: int) -> float:
        """By what a start on this machine is slowed down by the other starts there, >= 1."""
        return max(len(self._starting[machine]) / max(self._pools[machine].capacity.cpus, 1.0), 1.0)

    def started(self, replica_id: int) -> None:
        """A replica is ready: it takes no processor time for starting any more."""
        placed = self._placed.get(replica_id)
        if placed is not None:
            self._starting[placed[0]].discard(replica_id)

    def remove(self, replica_id: int, now_s: float) -> None:
        """A replica is gone, ready or not."""
        placed = self._placed.pop(replica_id, None)
        if placed is None:
            return
        machine = placed[0]
        self._pools[machine].release(replica_id)
        self._starting[machine].discard(replica_id)
        imported = self._imports.get(placed)
        if imported is not None and placed not in self._placed.values():
            imported.until_s = now_s + self._idle_s

    def replicas_on(self, machine: int) -> list[int]:
        """Replicas on a machine, by number."""
        return sorted(replica_id for replica_id, placed in self._placed.items() if placed[0] == machine)

    def check(self) -> None:
        """Assert that each machine holds what its replicas claim, that it fits, and that only they are starting."""
        for number, pool in enumerate(self._pools):
            living = self.replicas_on(number)
            pool.check(living)
            assert self._starting[number] <= set(living)

"""What goes wrong in a simulated run: machines and replicas that fail, a server that stands still, fates of batches."""

from __future__ import annotations

from random import Random

import msgspec

from sojourn.sim.fate import Fate


class MachineLost(msgspec.Struct, frozen=True):
    """A machine fails: all replicas on it die at once. It can be used again at once, as after a restart."""

    machine: int


class SomeReplicaLost(msgspec.Struct, frozen=True):
    """One of the living replicas of all functions dies; `draw`, in [0, 1), says which."""

    draw: float


Mishap = MachineLost | SomeReplicaLost


class MishapRates(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of batches that end badly, each in [0, 1].

    Args:
        death: The replica dies in the middle of the batch.
        hang: The replica never answers again.
        lost_reply: The replica did its work, but its answer never comes.
        late_reply: The answer comes, `late_factor` times later than it should.
        killer: Share of requests that kill every replica they run on.
        late_factor: How many times later, >= 1.
    """

    death: float = 0.0
    hang: float = 0.0
    lost_reply: float = 0.0
    late_reply: float = 0.0
    killer: float = 0.0
    late_factor: float = 20.0


class SeededFates:
    """Draws the fate of each batch; which requests are killers is settled by their number, however often they run.

    Args:
        rates: How often what goes wrong.
        rng: Chance of its own, so that the times of replicas do not depend on what goes wrong.
    """

    def __init__(self, rates: MishapRates, rng: Random) -> None:
        self._rates = rates
        self._rng = rng
        self._salt = rng.getrandbits(32)
        self._hanging: set[int] = set()

    def is_killer(self, request_id: int) -> bool:
        """Whether this request kills the replicas it runs on."""
        if not self._rates.killer:
            return False
        return Random(self._salt * 1_000_003 + request_id).random() < self._rates.killer  # noqa: S311 - repeatable

    def of_batch(self, replica_id: int, request_ids: list[int], answered_s: float, now_s: float) -> Fate:  # noqa: ARG002
        """As of `Fates`."""
        rates, draw = self._rates, self._rng.random()
        if any(self.is_killer(request_id) for request_id in request_ids):
            return Fate(answered_s * self._rng.random(), dies=True)
        if replica_id in self._hanging:
            return Fate(answered_s, is_lost=True)
        for share, fate in (
            (rates.death, Fate(answered_s * 0.5, dies=True)),
            (rates.lost_reply, Fate(answered_s, is_lost=True)),
            (rates.late_reply, Fate(answered_s * rates.late_factor)),
        ):
            if draw < share:
                return fate
            draw -= share
        if draw < rates.hang:
            self._hanging.add(replica_id)
            return Fate(answered_s, is_lost=True)
        return Fate(answered_s)

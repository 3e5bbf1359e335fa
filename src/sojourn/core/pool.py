"""What the machine has, what living replicas hold of it, and which accelerators they see."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from sojourn.domain.function import FunctionSettings
from sojourn.domain.resources import Resources, claim_of, memory_text
from sojourn.errors import ConfigurationError

_WHOLE = 1.0
_ROUNDING = 1e-9
_REPLICAS_MAX = 10_000

UNBOUNDED = Resources(inf, 0.0, 2**63 - 1)


class Pool:
    """One amount of resources shared by all functions; a replica holds its claim until its process is gone.

    Whole accelerators are given one to one; a claim below one shares the first with room for it.

    Args:
        capacity: What there is.
    """

    def __init__(self, capacity: Resources) -> None:
        self.capacity = capacity
        self.held = Resources()
        self._holders: dict[int, tuple[Resources, dict[int, float]]] = {}
        self._gpus_left = [_WHOLE] * int(capacity.gpus)

    def has_room(self, claim: Resources) -> bool:
        """Whether one more replica of this claim could start now."""
        return self.held.plus(claim).fits(self.capacity) and self._gpus_for(claim.gpus) is not None

    def take(self, replica_id: int, claim: Resources) -> tuple[int, ...]:
        """Hold a claim for a replica; the numbers of its accelerators.

        Raises:
            ValueError: There is no room.
        """
        gpus = self._gpus_for(claim.gpus)
        if gpus is None or not self.held.plus(claim).fits(self.capacity):
            raise ValueError(f"no room for {claim} in {self.capacity}, of which {self.held} is held")
        for number, share in gpus.items():
            self._gpus_left[number] -= share
        self.held = self.held.plus(claim)
        self._holders[replica_id] = (claim, gpus)
        return tuple(gpus)

    def release(self, replica_id: int) -> None:
        """A replica's process is gone."""
        claim, gpus = self._holders.pop(replica_id)
        for number, share in gpus.items():
            self._gpus_left[number] += share
        # Summed anew: what is added and taken away a million times must not drift.
        self.held = Resources()
        for claim, _ in self._holders.values():
            self.held = self.held.plus(claim)

    def most_of(self, claim: Resources) -> int:
        """How many replicas of this claim the empty pool would hold."""
        share = claim.largest_share_of(self.capacity)
        most = _REPLICAS_MAX if share <= 0.0 else int(1.0 / share + _ROUNDING)
        return min(most, _held_by_devices(claim.gpus, len(self._gpus_left)))

    def most_beside(self, others: Resources, claim: Resources, wanted: int) -> int:
        """How many of `wanted` replicas of this claim the pool holds beside what `others` claim together."""
        count = min(wanted, self.most_of(claim))
        while count > 0 and not others.plus(claim, count).fits(self.capacity):
            count -= 1
        return count

    def _gpus_for(self, wanted: float) -> dict[int, float] | None:
        """Which accelerators a claim would get, by number; None if there are not enough."""
        if wanted <= 0.0:
            return {}
        if wanted < _WHOLE:
            for number, left in enumerate(self._gpus_left):
                if left + _ROUNDING >= wanted:
                    return {number: wanted}
            return None
        whole = [number for number, left in enumerate(self._gpus_left) if left + _ROUNDING >= _WHOLE]
        count = int(wanted - _ROUNDING) + 1  # 1.5 accelerators are two that nobody else gets
        return dict.fromkeys(whole[:count], _WHOLE) if len(whole) >= count else None

    def check(self, living: Iterable[int]) -> None:
        """Assert that exactly the living replicas hold something and that it fits."""
        assert set(self._holders) == set(living)
        assert self.held.fits(self.capacity)
        assert all(-_ROUNDING <= left <= _WHOLE + _ROUNDING for left in self._gpus_left)


def _held_by_devices(gpus: float, devices: int) -> int:
    """How many replicas with this claim on accelerators so many of them hold: no share is spread over two."""
    if gpus <= 0.0:
        return _REPLICAS_MAX
    if gpus < _WHOLE:
        return devices * int(_WHOLE / gpus + _ROUNDING)
    return devices // (int(gpus - _ROUNDING) + 1)


def _misplaced(functions: Iterable[FunctionSettings], capacity: Resources) -> str:
    """The function whose minimum finds no accelerator with room for it although the sum of all is there; or nothing."""
    pool, number = Pool(capacity), 0
    for settings in sorted(functions, key=lambda one: -claim_of(one).gpus):
        for _ in range(settings.floor_replicas):
            number += 1
            if not pool.has_room(claim_of(settings)):
                return settings.name
            pool.take(number, claim_of(settings))
    return ""


def impossible_claims(functions: Iterable[FunctionSettings], capacity: Resources) -> list[str]:
    """What of these functions can never run in this pool, and whether their minima fit together; one text each."""
    faults, minima, parts = [], Resources(), []
    functions = list(functions)
    for settings in functions:
        claim = claim_of(settings)
        for name, is_too_much, wanted, has in (
            ("cpus", claim.cpus > capacity.cpus, f"{claim.cpus:g}", f"{capacity.cpus:g}"),
            ("gpus", claim.gpus > capacity.gpus, f"{claim.gpus:g}", f"{capacity.gpus:g}"),
            (
                "memory",
                claim.memory_bytes > capacity.memory_bytes,
                memory_text(claim.memory_bytes),
                memory_text(capacity.memory_bytes),
            ),
        ):
            if is_too_much:
                faults.append(
                    f"function {settings.name!r}: a replica claims {name}={wanted}, the server has {has}; "
                    f"claim less, or serve with a larger --{name}"
                )
        if settings.floor_replicas:
            minima = minima.plus(claim, settings.floor_replicas)
            parts.append(f"{settings.name} {settings.floor_replicas} x ({claim})")
    if not faults and not minima.fits(capacity):
        faults.append(
            f"min_replicas of all functions claim {minima}, the server has {capacity}: {'; '.join(parts)}. "
            "Lower min_replicas or the claims"
        )
    elif not faults and (name := _misplaced(functions, capacity)):
        faults.append(
            f"function {name!r}: min_replicas of all functions claim gpus={minima.gpus:g}, which {capacity.gpus:g} would hold, but "
            f"no single accelerator has room left for the share of each replica: {'; '.join(parts)}. Lower min_replicas or "
            "claim shares that fill an accelerator, such as 0.5"
        )
    return faults


def refuse_impossible(functions: Iterable[FunctionSettings], capacity: Resources) -> None:
    """Refuse functions that a pool can never hold.

    Raises:
        ConfigurationError: A claim is more than there is, or the minima of all do not fit together.
    """
    if faults := impossible_claims(functions, capacity):
        raise ConfigurationError("\n".join(faults))

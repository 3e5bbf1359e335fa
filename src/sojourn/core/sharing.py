"""Who gets how many replicas when all that is wanted does not fit the pool: by pressure, by giving way, in turns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

from msgspec.structs import replace

from sojourn.core.fleet import Deployment, Fleet
from sojourn.core.scaler import Wish
from sojourn.domain.resources import Resources
from sojourn.policy.allocation.port import AllocationPolicy, Demand

_SHARED_AGAIN_S = 1.0  # a scarce pool is shared anew this often while wishes stay the same
_RATE_WINDOW_S = 10.0
_TURN_S = 2.0
_TURN_STARTS = 10.0
_TURN_SHARE = 0.25
# Sharing takes longer the more functions there are: with a thousand it is not done again for each report of each.
_PAUSE_PER_FUNCTION_S = 0.0005


class _Wished(NamedTuple):
    """What a share was decided for: replicas wanted, whether only to be kept warm, floor and ceiling."""

    replicas: int
    is_idle: bool
    limits: tuple[int, int]


class Sharing:
    """Shares one pool; the allocation policy decides, except that no function with work stays without any replica.

    A function that has requests but would get nothing takes the place of one that has none; if there is no such
    place, it waits for its turn and takes the place of one that has work. A turn is ten cold starts, at least 2 s, so
    that starts cost a tenth of the time; but no longer than a quarter of the time the waiting requests have.

    Args:
        fleet: The replicas that are there.
        allocation: Who gets how much of a scarce pool.
    """

    def __init__(self, fleet: Fleet, allocation: AllocationPolicy) -> None:
        self._fleet = fleet
        self._allocation = allocation
        self._shares: dict[str, int] = {}  # the last answer, for whom and when
        self._shared_for: dict[str, _Wished] = {}
        self._shared_at_s = -inf
        self._changed: set[str] = set()  # functions that wish something else than that
        self._is_urgent = False
        self._waiting_since_s: dict[str, float] = {}  # with work and without a replica
        self._turn_until_s: dict[str, float] = {}
        self._wanted: dict[Resources, int] = {}  # replicas wanted, by claim

    def wish(self, deployment: Deployment, wish: Wish) -> None:
        """A function wants this from now on."""
        self._want(deployment.claim, wish.replicas - deployment.wish.replicas)
        deployment.wish = wish
        name, wished = deployment.key, _wished(deployment)
        before = self._shared_for.get(name)
        if wished == before:
            self._changed.discard(name)
        else:
            self._changed.add(name)
            # What an operator sets takes effect at once.
            self._is_urgent = self._is_urgent or before is None or wished.limits != before.limits

    def enter(self, deployment: Deployment) -> None:
        """A function is new; its wish counts."""
        self._is_urgent = True
        self._want(deployment.claim, deployment.wish.replicas)

    def leave(self, deployment: Deployment) -> None:
        """A function is going; its wish counts no more."""
        self._is_urgent = True
        self._changed.discard(deployment.key)
        self._want(deployment.claim, -deployment.wish.replicas)

    def _want(self, claim: Resources, change: int) -> None:
        if change:
            self._wanted[claim] = self._wanted.get(claim, 0) + change
            if not self._wanted[claim]:
                del self._wanted[claim]

    def is_scarce(self) -> bool:
        """Whether all that is wanted does not fit the pool together."""
        total = Resources()
        for claim, count in self._wanted.items():
            total = total.plus(claim, count)
        if not total.fits(self._fleet.pool.capacity):
            return True
        self._waiting_since_s.clear()
        self._turn_until_s.clear()
        self._shared_at_s = -inf
        return False

    def is_due(self, now_s: float) -> bool:
        """Whether a scarce pool is to be shared anew: at once for new limits, after a pause for other wishes."""
        pause_s = _PAUSE_PER_FUNCTION_S * len(self._shared_for) if self._changed else _SHARED_AGAIN_S
        return self._is_urgent or now_s >= self._shared_at_s + pause_s

    def share(self, deployments: Sequence[Deployment], now_s: float) -> None:
        """Share a scarce pool among all functions there are."""
        self._shares = self._shared(deployments, now_s)
        self._shared_for = {each.key: _wished(each) for each in deployments}
        self._shared_at_s = now_s
        self._changed.clear()
        self._is_urgent = False

    def target(self, deployment: Deployment) -> int:
        """How many replicas a function is to have of a scarce pool."""
        return self._shares[deployment.key]

    def _shared(self, deployments: Sequence[Deployment], now_s: float) -> dict[str, int]:
        capacity = self._fleet.pool.capacity
        working = {each.key: each for each in deployments if each.wish.replicas and not each.wish.is_idle}
        self._turn_until_s = {
            name: until_s for name, until_s in self._turn_until_s.items() if name in working and now_s < until_s
        }
        demands = {each.key: self._demand(each, now_s) for each in deployments}
        floors = _Floors(demands, capacity)
        for name in self._turn_until_s:
            floors.secure(name)
        shares = self._allocation.allocate(list(demands.values()), capacity).replicas
        starved = [name for name in working if not shares[name]]
        self._waiting_since_s = {name: self._waiting_since_s.get(name, now_s) for name in starved}
        # With work first: those without keep what the others leave.
        modest = {name: each if name in working else replace(each, wanted=0) for name, each in demands.items()}
        used = _sum((each.claim, shares[name] if name in working else each.minimum) for name, each in modest.items())
        floors = _Floors(modest, capacity)
        is_changed = False
        for name in sorted(starved, key=lambda name: (self._waiting_since_s[name], name)):
            turn_s = _turn_s(working[name])
            has_room = used.plus(modest[name].claim).fits(capacity)
            is_due = now_s >= self._waiting_since_s[name] + turn_s
            if (has_room or is_due) and floors.secure(name):
                used = used.plus(modest[name].claim)
                self._turn_until_s[name] = now_s + working[name].scaler.cold_start_s + turn_s
                del self._waiting_since_s[name]
                is_changed = True
        if not is_changed:
            return shares
        first = self._allocation.allocate(list(modest.values()), capacity).replicas
        rest = [replace(each, minimum=first[name]) for name, each in demands.items()]
        return self._allocation.allocate(rest, capacity).replicas

    def _demand(self, deployment: Deployment, now_s: float) -> Demand:
        name, wish, scaler = deployment.key, deployment.wish, deployment.scaler
        report = scaler.report
        drain_s = min(max(scaler.latency_s, 1.0), deployment.settings.effective_timeout_s)
        arrivals_per_s = wish.terms.get("envelope_per_s", scaler.arrivals_per_s(now_s, _RATE_WINDOW_S))
        return Demand(
            function=name,
            claim=deployment.claim,
            wanted=wish.replicas,
            weight=deployment.settings.weight,
            minimum=scaler.min_replicas,
            maximum=scaler.max_replicas,
            current=len(self._fleet.living(name)),
            arrivals_per_s=arrivals_per_s + (report.waiting + report.late) / drain_s,
            service=scaler.service,
            slots=report.slots,
            latency_s=scaler.latency_s,
            cold_start_s=scaler.cold_start_s,
        )


def _wished(deployment: Deployment) -> _Wished:
    wish, scaler = deployment.wish, deployment.scaler
    return _Wished(wish.replicas, wish.is_idle, (scaler.min_replicas, scaler.max_replicas))


def _turn_s(deployment: Deployment) -> float:
    """How long a function waits for its turn, and how long that lasts once it is ready [s]."""
    settings = deployment.settings
    patience_s = max(settings.start_timeout_s, settings.effective_timeout_s)  # of requests while nothing is ready
    return min(max(_TURN_S, _TURN_STARTS * deployment.scaler.cold_start_s), _TURN_SHARE * patience_s)


class _Floors:
    """What all functions must have, added up once, and raised function by function.

    Args:
        demands: By function; those that are raised are replaced here.
        capacity: What the pool has.
    """

    def __init__(self, demands: dict[str, Demand], capacity: Resources) -> None:
        self._demands = demands
        self._capacity = capacity
        self._total = _sum((each.claim, each.minimum) for each in demands.values())

    def secure(self, name: str) -> bool:
        """See to it that a function gets one replica; whether that fits beside what others must have."""
        demand = self._demands[name]
        total = self._total if demand.minimum else self._total.plus(demand.claim)
        if not total.fits(self._capacity):
            return False
        if not demand.minimum:
            self._total = total
            self._demands[name] = replace(demand, minimum=1)
        return True


def _sum(claims: Iterable[tuple[Resources, int]]) -> Resources:
    total = Resources()
    for claim, count in claims:
        total = total.plus(claim, count)
    return total

"""After a restart: what was deployed is served again, what was on its way begins anew, what is damaged is told."""

from __future__ import annotations

from time import time
from typing import Final

from sojourn.deploy.fits import KeptFits
from sojourn.deploy.held import Held
from sojourn.deploy.limits import KeptLimits
from sojourn.deploy.ports import Traffic
from sojourn.deploy.rollouts import Rollouts
from sojourn.deploy.trees import SourceTrees
from sojourn.domain.deployment import Revision, RolloutPlan
from sojourn.domain.deployment_status import RolloutTold
from sojourn.domain.rollout import RolloutState
from sojourn.errors import ConfigurationError, DeploymentError, StateError
from sojourn.runtime.platform import Platform
from sojourn.state.keeper import StateKeeper
from sojourn.state.record import StoredFunction
from sojourn.state.store import StateStore
from sojourn.telemetry.events import PlatformEvents

_FAILED: Final = RolloutState.FAILED.value
_REMEDY: Final = "deploy it again, or delete it; the other functions are served"


class Revival:
    """Brings deployed functions back; one that cannot be served keeps no other from it.

    Args:
        held: The deployed functions, by name; filled here.
        platform: Runs revisions.
        traffic: Which revision a name means.
        trees: What revisions run from.
        keeper: The durable state.
        events: Told of what cannot be brought back.
        limits: Set again.
        fits: Service times that are known.
        rollouts: Begun anew.
    """

    def __init__(
        self,
        held: dict[str, Held],
        platform: Platform,
        traffic: Traffic,
        trees: SourceTrees,
        keeper: StateKeeper,
        events: PlatformEvents,
        limits: KeptLimits,
        fits: KeptFits,
        rollouts: Rollouts,
    ) -> None:
        self._held = held
        self._platform = platform
        self._traffic = traffic
        self._trees = trees
        self._keeper = keeper
        self._events = events
        self._limits = limits
        self._fits = fits
        self._rollouts = rollouts

    async def restore(self, shadowed: frozenset[str]) -> None:
        """Serve what was live, and begin unfinished rollouts anew; only what is about to run is verified.

        Args:
            shadowed: Names that are served from a file; what was deployed under them is left alone.

        Raises:
            StateError: The state cannot be read.
        """
        functions = await self._keeper.do(_to_run)
        damage = await self._trees.damage(
            revision for stored, *both in functions if stored.name not in shadowed for revision in both if revision
        )
        for stored, live, candidate in functions:
            name = stored.name
            if name in shadowed:
                cause = "the file that is served declares this name, too"
                self._events.warning("function.shadowed", function=name, cause=cause)
                continue
            held = self._held[name] = Held()
            if live is not None:
                self._revive_or_tell(held, live, damage.get(live.bundle, ""))
            if candidate is not None:
                await self._begin_anew(held, candidate, stored.plan or RolloutPlan(), damage.get(candidate.bundle, ""))

    def _revive_or_tell(self, held: Held, live: Revision, fault: str) -> None:
        held.live = live  # also if it cannot be served: it will be as soon as it is deployed again
        if not fault:
            try:
                self._revive(live)
            except (ConfigurationError, DeploymentError) as err:
                fault = str(err)
        if fault:
            name, revision = live.function, live.revision
            self._traffic.refuse(
                name,
                f"function {name!r} is deployed, but could not be brought back when the server started; its owner sees why "
                f"with `sojourn rollout {name}`, and can deploy it again",
            )
            held.told = RolloutTold(function=name, state=_FAILED, revision=revision, cause=f"not served: {fault}")
            self._events.error("function.not_restored", function=name, revision=revision, cause=fault, remedy=_REMEDY)

    def _revive(self, live: Revision) -> None:
        self._platform.deploy([self._trees.manifest_of(live)], is_proven=True, resumed=self._fits.of(live))
        service = self._platform.services[live.function]
        self._traffic.pin(service)
        self._traffic.direct(service)
        self._limits.set_again(live.function)

    async def _begin_anew(self, held: Held, candidate: Revision, plan: RolloutPlan, fault: str) -> None:
        if not fault:
            try:
                self._rollouts.begin(held, candidate, self._trees.manifest_of(candidate), plan)
            except (ConfigurationError, DeploymentError) as err:
                fault = str(err)
        if fault:
            await self._give_up(held, candidate, fault)

    async def _give_up(self, held: Held, candidate: Revision, cause: str) -> None:
        """End a rollout of an earlier server that cannot even begin here."""
        name, revision = candidate.function, candidate.revision
        self._events.error("rollout.rejected", function=name, revision=revision, cause=cause)
        if held.told is None:  # else the live one is not served, which matters more
            held.told = RolloutTold(function=name, state=_FAILED, revision=revision, cause=cause)
        try:
            await self._keeper.do(lambda store: store.abandon_candidate(name, time(), _FAILED, {"cause": cause}))
        except StateError as err:  # the next server gives it up, then
            self._events.error("rollout.unkept", function=name, revision=revision, cause=str(err))


def _to_run(store: StateStore) -> list[tuple[StoredFunction, Revision | None, Revision | None]]:
    """All functions with the revisions that are to run: the live one and the candidate."""
    found = []
    for stored in store.functions():
        live, candidate = (name and store.revision(stored.name, name) for name in (stored.live, stored.candidate))
        found.append((stored, live or None, candidate or None))
    return found

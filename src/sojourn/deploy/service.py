"""Deploys, rolls back and deletes functions of a running server, and brings them back after a restart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from time import time

from sojourn.bundle.store import BundleStore
from sojourn.deploy.departures import Departures
from sojourn.deploy.fits import KeptFits
from sojourn.deploy.held import Held
from sojourn.deploy.intake import Intake
from sojourn.deploy.limits import KeptLimits
from sojourn.deploy.past import earlier
from sojourn.deploy.ports import Describe, Traffic
from sojourn.deploy.revival import Revival
from sojourn.deploy.rollouts import END_WITHIN_S, Rollouts, stored_in
from sojourn.deploy.told import history_of
from sojourn.deploy.trees import SourceTrees
from sojourn.domain.deployment import ALL_AT_ONCE, Revision, RolloutPlan
from sojourn.domain.deployment_status import DeployAsked, Deployed, RevisionTold, RolloutTold
from sojourn.domain.function import FunctionManifest
from sojourn.domain.rollout import FunctionDeleted, RolloutState, Superseded
from sojourn.errors import ConfigurationError, DeploymentError, StateError, UnknownFunctionError
from sojourn.runtime.platform import Platform
from sojourn.state.keeper import StateKeeper
from sojourn.state.store import SUPERSEDED, StateStore
from sojourn.telemetry.events import PlatformEvents


class DeployService:
    """All that is deployed to one server; every method is called on its loop.

    What it acknowledges is in the durable state. Changes are made one after the other; uploads and imports are not in
    their way.

    Args:
        platform: Runs revisions.
        traffic: Which revision a name means.
        bundles: Source trees.
        keeper: The durable state.
        describe: Imports a target in a process of its own.
        events: Told of what happens.
        served: Names that are served from a file named at the start, and belong to it.
        drain_s: How long a revision that is replaced may take to end what it has, in seconds.
        adjusted: A manifest with what the server's configuration says of its function.
    """

    def __init__(
        self,
        platform: Platform,
        traffic: Traffic,
        bundles: BundleStore,
        keeper: StateKeeper,
        describe: Describe,
        events: PlatformEvents,
        *,
        served: Callable[[], frozenset[str]] = frozenset,
        drain_s: float = 30.0,
        adjusted: Callable[[FunctionManifest], FunctionManifest] = lambda manifest: manifest,
    ) -> None:
        self._traffic = traffic
        self._platform = platform
        self._keeper = keeper
        self._events = events
        self._served = served
        self._held: dict[str, Held] = {}
        self._trees = SourceTrees(bundles, adjusted)
        self._intake = Intake(bundles, describe)
        self._limits = KeptLimits(platform, keeper, events)
        self._fits = KeptFits(platform, keeper, self._live, events)
        self._departures = Departures(platform, traffic, keeper, self._intake, events, drain_s)
        self._rollouts = Rollouts(
            self._held, platform, traffic, keeper, events, self._departures, self._limits.set_again
        )
        self._revival = Revival(
            self._held, platform, traffic, self._trees, keeper, events, self._limits, self._fits, self._rollouts
        )
        self._changing = asyncio.Lock()

    # ---- what is asked of it

    async def deploy(self, upload: AsyncIterator[bytes], asked: DeployAsked) -> list[Deployed]:
        """Take an archive in and begin to roll its functions out; what is returned is kept, come what may.

        Raises:
            DeploymentError: The archive is not taken, a name is not free, or too many wait to be taken in.
            TargetError: It cannot be imported, or declares nothing.
            StateError: It cannot be kept.
        """
        async with self._intake.taken(upload, asked) as revisions, self._changing:
            self._refuse_taken([revision.function for revision in revisions])
            return await self._accept(revisions, asked.plan)

    async def rollback(self, function: str, revision: str | None = None) -> RolloutTold:
        """Give the traffic back to an earlier revision; without one, to that before, or end what is under way.

        Args:
            function: A deployed function.
            revision: A revision of it, or the beginning of one.

        Raises:
            UnknownFunctionError: No such function is deployed.
            DeploymentError: There is no such revision, or none before.
            StateError: It cannot be kept.
        """
        async with self._changing:
            held = self._known(function)
            async with self._rollouts.at_rest(held) as run:
                if run is not None and revision is None:
                    await self._rollouts.roll_back(run)
            if run is not None and revision is None:
                await self._rollouts.end(held)
                return held.rollout(function)
            live = held.live.revision if held.live is not None else ""
            wanted = await earlier(self._keeper, function, live, revision)
            await self._trees.refuse_damaged(wanted)
            await self._accept([wanted], RolloutPlan(strategy=ALL_AT_ONCE))
            return held.rollout(function)

    async def promote(self, function: str) -> RolloutTold:
        """Give a canary all the traffic now, or as soon as it is warm; what is returned is kept.

        Raises:
            UnknownFunctionError: No such function is deployed.
            DeploymentError: No rollout is under way.
            StateError: It cannot be kept; while traffic is shared the canary goes on as it was.
        """
        async with self._changing:
            held = self._known(function)
            async with self._rollouts.at_rest(held) as run:
                if run is None:
                    raise DeploymentError(f"function {function!r}: no rollout is under way")
                is_over = await self._rollouts.promote(run)
                task = held.task
            if is_over:  # before anything else is decided
                await self._rollouts.end(held)
        await asyncio.wait({task} if task is not None else set(), timeout=END_WITHIN_S)
        if run.unkept:
            raise StateError(
                f"function {function!r}: revision {run.revision.revision} was not promoted, and {run.before or 'none'} has "
                f"the traffic, as before: {run.unkept}"
            )
        return held.rollout(function)

    async def delete(self, function: str) -> None:
        """Take a function and its history away; requests taken in are finished.

        Raises:
            UnknownFunctionError: No such function is deployed.
            DeploymentError: Its rollout does not come to rest; nothing has changed.
            StateError: That cannot be kept; nothing has changed.
        """
        async with self._changing:
            held = self._known(function)
            async with self._rollouts.at_rest(held) as run:
                await self._keeper.do(lambda store: store.delete_function(function))
                # It is kept: from here on nothing fails.
                self._held.pop(function, None)
                if run is not None:
                    run.decide(FunctionDeleted(), is_kept=True)
            await self._rollouts.end(held)
            self._limits.forget(function)
            self._fits.forget(function)
            self._traffic.remove(function)
            self._events.info("function.deleted", function=function)
            ending = asyncio.create_task(self._departures.remove(function), name=f"remove {function}")
            await asyncio.sleep(0)  # its name is free when the next change comes
        await ending  # what it has may take long: other changes do not wait for that

    def scale(self, function: str, min_replicas: int | None = None, max_replicas: int | None = None) -> None:
        """Change the limits of a function's replicas; of a deployed one they are kept, over rollouts and restarts.

        Raises:
            UnknownFunctionError: No such function is served.
            ConfigurationError: These limits cannot be; nothing changes.
            StateError: They cannot be kept; nothing changes.
        """
        self._limits.set(function, min_replicas, max_replicas, is_kept=function in self._held)

    def rollout(self, function: str) -> RolloutTold:
        """How far the latest change of a function's revision has come.

        Raises:
            UnknownFunctionError: No such function is deployed.
        """
        return self._known(function).rollout(function)

    async def revisions(self, function: str) -> list[RevisionTold]:
        """All that is kept of a function, the latest first.

        Raises:
            UnknownFunctionError: No such function is deployed.
            StateError: It cannot be read.
        """
        held = self._known(function)
        kept, rollouts = await self._keeper.do(lambda store: (store.revisions(function), store.rollouts(function, 100)))
        live = held.live.revision if held.live is not None else ""
        return history_of(kept, rollouts, live, held.run.revision.revision if held.run is not None else "")

    # ---- the server's life

    async def restore(self) -> list[str]:
        """Serve again what was deployed, and begin unfinished rollouts anew; the names served.

        Raises:
            StateError: The state cannot be read.
        """
        await self._limits.load()
        await self._fits.load()
        await self._revival.restore(self._served())
        await self._departures.sweep()
        self._fits.start()
        return sorted(self._held)

    async def close(self) -> None:
        """Leave rollouts as they are: the next server begins them anew."""
        await self._intake.close()
        tasks = [held.task for held in self._held.values() if held.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._departures.close()
        await self._fits.close()

    # ---- within

    def _live(self) -> dict[str, Revision]:
        return {name: held.live for name, held in self._held.items() if held.live is not None}

    def _known(self, function: str) -> Held:
        held = self._held.get(function)
        if held is None:
            if function in self._served():
                raise DeploymentError(f"function {function!r} is served from the file named at the start, not deployed")
            known = ", ".join(sorted(self._held)[:20]) or "none"
            raise UnknownFunctionError(f"no function {function!r} is deployed; deployed: {known}")
        return held

    def _refuse_taken(self, names: Sequence[str]) -> None:
        taken = sorted(set(names) & self._served())
        if taken:
            raise DeploymentError(
                f"{', '.join(taken)}: served from the file named at the start; deploy under another --name, or serve "
                "without it"
            )

    async def _accept(self, revisions: Sequence[Revision], plan: RolloutPlan) -> list[Deployed]:
        """Keep what was asked for, then begin; a rollout that is under way makes room.

        Until all of it is kept nothing changes: what is under way waits meanwhile, and goes on if it cannot be.
        """
        deployed = revisions
        revisions = await self._keeper.do(lambda store: [store.as_kept(each) for each in deployed])
        manifests = [self._trees.manifest_of(revision) for revision in revisions]  # what cannot run is not kept
        held = {each.function: self._held.get(each.function) or Held() for each in revisions}
        settled: set[str] = set()
        async with contextlib.AsyncExitStack() as resting:
            runs = {name: await resting.enter_async_context(self._rollouts.at_rest(one)) for name, one in held.items()}
            settled.update(each.function for each in revisions if held[each.function].is_settled(each.revision))
            created = await self._keeper.do(lambda store: _keep(store, revisions, plan, settled))
            self._held.update(held)  # it is kept: from here on nothing fails
            for revision in revisions:
                run = runs[revision.function]
                if run is not None and revision.function not in settled:
                    run.decide(Superseded(revision.revision), is_kept=True)
        for revision, manifest in zip(revisions, manifests, strict=True):
            await self._take_up(revision, manifest, plan, is_settled=revision.function in settled)
        return [
            Deployed(function=revision.function, revision=revision.revision, created=is_new)
            for revision, is_new in zip(revisions, created, strict=True)
        ]

    async def _take_up(
        self, revision: Revision, manifest: FunctionManifest, plan: RolloutPlan, *, is_settled: bool
    ) -> None:
        """Do what is kept: end what it supersedes, and begin its rollout, unless it is live or on its way already."""
        name, held = revision.function, self._held[revision.function]
        if not is_settled:
            await self._rollouts.end(held)
        is_live = held.live is not None and held.live.revision == revision.revision
        try:
            is_unserved = is_live and held.run is None and name not in self._platform.services  # since the start
            if is_unserved or not (is_settled or is_live):
                self._rollouts.begin(held, revision, manifest, plan)
        except (ConfigurationError, DeploymentError) as err:  # its tree was there a moment ago
            self._events.error("rollout.rejected", function=name, revision=revision.revision, cause=str(err))
            state = RolloutState.FAILED.value
            held.told = RolloutTold(function=name, state=state, revision=revision.revision, cause=str(err))


def _keep(store: StateStore, revisions: Sequence[Revision], plan: RolloutPlan, settled: Collection[str]) -> list[bool]:
    """Write a deploy down, all of it or nothing; which revisions are new.

    Args:
        store: The state.
        revisions: What was deployed, one of each function.
        plan: How it takes over.
        settled: Functions for which it is live already, or on its way.
    """
    now_s = time()
    created = [store.revision(each.function, each.revision) is None for each in revisions]
    with store.transaction():
        for revision in revisions:
            name = revision.function
            store.put_revision(revision)
            stored = stored_in(store, name)
            is_live = stored is not None and stored.live == revision.revision
            if is_live and stored is not None and stored.candidate is not None:  # it stays so
                store.abandon_candidate(name, now_s, SUPERSEDED, {"by": revision.revision})
            elif not is_live and name not in settled:
                store.set_candidate(name, revision.revision, plan, now_s)
    return created

"""Deploys, rolls back and deletes functions of a running server, and brings them back after a restart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from time import time
from typing import Final

import msgspec

from sojourn.bundle.store import BundleStore
from sojourn.deploy.fits import KeptFits
from sojourn.deploy.intake import Intake
from sojourn.deploy.limits import KeptLimits
from sojourn.deploy.past import earlier
from sojourn.deploy.ports import Describe, Traffic
from sojourn.deploy.run import RolloutRun
from sojourn.deploy.told import evidence_of, history_of, told_at_rest, told_of, unkept_told_of
from sojourn.domain.deployment import ALL_AT_ONCE, Revision, RolloutPlan
from sojourn.domain.deployment_status import DeployAsked, Deployed, RevisionTold, RolloutTold
from sojourn.domain.function import FunctionManifest
from sojourn.domain.rollout import FunctionDeleted, PromoteAsked, RollbackAsked, RolloutState, Superseded
from sojourn.errors import ConfigurationError, DeploymentError, SojournError, StateError, UnknownFunctionError
from sojourn.runtime.platform import Platform
from sojourn.state.keeper import StateKeeper
from sojourn.state.record import StoredFunction
from sojourn.state.store import StateStore
from sojourn.telemetry.events import PlatformEvents

_END_WITHIN_S: Final = 10.0  # for a rollout that is told to end


class _Held(msgspec.Struct):
    """One deployed function: its live revision, and the change of it that is under way or was the last."""

    live: Revision | None = None
    run: RolloutRun | None = None
    task: asyncio.Task[None] | None = None
    told: RolloutTold | None = None


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
        self._platform = platform
        self._traffic = traffic
        self._bundles = bundles
        self._keeper = keeper
        self._intake = Intake(bundles, describe)
        self._events = events
        self._served = served
        self._drain_s = drain_s
        self._adjusted = adjusted
        self._held: dict[str, _Held] = {}
        self._limits = KeptLimits(platform, keeper, events)
        self._fits = KeptFits(platform, keeper, self._live)
        self._changing = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

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
            if held.run is not None and revision is None:
                held.run.happened(RollbackAsked())
                await self._ended(held)
                return self._told(function, held)
            live = held.live.revision if held.live is not None else ""
            wanted = await earlier(self._keeper, function, live, revision)
            await self._accept([wanted], RolloutPlan(strategy=ALL_AT_ONCE))
            return self._told(function, held)

    async def promote(self, function: str) -> RolloutTold:
        """Give a canary all the traffic now.

        Raises:
            UnknownFunctionError: No such function is deployed.
            DeploymentError: No rollout is under way.
        """
        held = self._known(function)
        if held.run is None:
            raise DeploymentError(f"function {function!r}: no rollout is under way")
        held.run.happened(PromoteAsked())
        await asyncio.wait({held.task} if held.task else set(), timeout=_END_WITHIN_S)
        return self._told(function, held)

    async def delete(self, function: str) -> None:
        """Take a function and its history away; requests taken in are finished.

        Raises:
            UnknownFunctionError: No such function is deployed.
            StateError: That cannot be kept.
        """
        async with self._changing:
            held = self._known(function)
            await self._keeper.do(lambda store: store.delete_function(function))
            self._held.pop(function, None)  # a rollout that ends now has nothing to remember
            self._limits.forget(function)
            self._traffic.remove(function)
            if held.run is not None:
                held.run.happened(FunctionDeleted())
                await self._ended(held)
                self._traffic.remove(function)  # it has given the traffic back
            self._events.info("function.deleted", function=function)
            ending: asyncio.Task[bool] | None = None
            if function in self._platform.services:
                ending = asyncio.create_task(self._platform.remove(function, self._drain_s), name=f"remove {function}")
                await asyncio.sleep(0)  # its name is free when the next change comes
        if ending is not None:  # what it has may take long: other changes do not wait for that
            await ending
        await self._sweep()

    def scale(self, function: str, min_replicas: int | None = None, max_replicas: int | None = None) -> None:
        """Change the limits of a function's replicas; of a deployed one they are kept, over rollouts and restarts.

        Raises:
            UnknownFunctionError: No such function is served.
            ConfigurationError: These limits cannot be; nothing changes.
            StateError: They cannot be kept; they hold until the server ends.
        """
        self._limits.set(function, min_replicas, max_replicas, is_kept=function in self._held)

    def rollout(self, function: str) -> RolloutTold:
        """How far the latest change of a function's revision has come.

        Raises:
            UnknownFunctionError: No such function is deployed.
        """
        return self._told(function, self._known(function))

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
        functions = await self._keeper.do(_everything)
        await self._limits.load()
        await self._fits.load()
        served = self._served()
        for stored, revisions in functions:
            if stored.name in served:
                self._events.warning(
                    "function.shadowed", function=stored.name, cause="the file that is served declares this name, too"
                )
                continue
            held = self._held[stored.name] = _Held()
            own = {each.revision: each for each in revisions}
            live = own.get(stored.live or "")
            if live is not None:
                self._revive_or_tell(held, live)
            candidate = own.get(stored.candidate or "")
            if candidate is not None:
                try:
                    self._begin(held, candidate, stored.plan or RolloutPlan())
                except (ConfigurationError, DeploymentError) as err:
                    await self._give_up(held, candidate, str(err))
        await self._sweep()
        self._fits.start()
        return sorted(self._held)

    async def close(self) -> None:
        """Leave rollouts as they are: the next server begins them anew."""
        tasks = [held.task for held in self._held.values() if held.task is not None]
        for task in (*tasks, *self._retiring):
            task.cancel()
        await asyncio.gather(*tasks, *self._retiring, return_exceptions=True)
        await self._fits.close()

    # ---- within

    def _live(self) -> dict[str, Revision]:
        return {name: held.live for name, held in self._held.items() if held.live is not None}

    def _known(self, function: str) -> _Held:
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
        """Keep what was asked for, then begin; a rollout that is under way makes room."""
        for revision in revisions:
            self._runnable(revision)  # what cannot even begin is not kept
        for revision in revisions:
            held = self._held.get(revision.function)
            if held is not None and held.run is not None and held.run.revision.revision != revision.revision:
                held.run.happened(Superseded(revision.revision))
                await self._ended(held)
        wall_s = time()

        def keep(store: StateStore) -> list[bool]:
            created = [store.revision(each.function, each.revision) is None for each in revisions]
            with store.transaction():
                for revision in revisions:
                    store.put_revision(revision)
                    if not self._is_settled(revision):
                        store.set_candidate(revision.function, revision.revision, plan, wall_s)
            return created

        created = await self._keeper.do(keep)
        for revision in revisions:
            held = self._held.setdefault(revision.function, _Held())
            if held.live is not None and held.run is None and revision.function not in self._platform.services:
                self._revive_again(held, revision)
            if not self._is_settled(revision):
                self._begin(held, revision, plan)
        return [
            Deployed(function=revision.function, revision=revision.revision, created=is_new)
            for revision, is_new in zip(revisions, created, strict=True)
        ]

    def _revive_again(self, held: _Held, revision: Revision) -> None:
        """Serve a live revision that could not be served when this server started, if it is deployed once more."""
        if held.live is not None and held.live.revision == revision.revision:
            self._revive(held, held.live)
            held.told = None

    def _is_settled(self, revision: Revision) -> bool:
        """Whether it is live and stays so, or is on its way already."""
        held = self._held.get(revision.function)
        if held is None:
            return False
        if held.run is not None:
            return held.run.revision.revision == revision.revision
        return held.live is not None and held.live.revision == revision.revision

    def _revive_or_tell(self, held: _Held, live: Revision) -> None:
        """Serve what was live before this server; if that cannot be, the others are served all the same."""
        try:
            self._revive(held, live)
        except (ConfigurationError, DeploymentError) as err:
            held.live = live  # it is, and is served as soon as it is deployed again
            failed = RolloutState.FAILED.value
            held.told = RolloutTold(function=live.function, state=failed, revision=live.revision, cause=str(err))
            remedy = "deploy it again, or delete it; the other functions are served"
            self._events.error(
                "function.not_restored", function=live.function, revision=live.revision, cause=str(err), remedy=remedy
            )

    async def _give_up(self, held: _Held, candidate: Revision, cause: str) -> None:
        """End a rollout of an earlier server that cannot even begin here."""
        name, failed = candidate.function, RolloutState.FAILED.value
        self._events.error("rollout.rejected", function=name, revision=candidate.revision, cause=cause)
        held.told = RolloutTold(function=name, state=failed, revision=candidate.revision, cause=cause)
        await self._keeper.do(lambda store: store.abandon_candidate(name, time(), failed, {"cause": cause}))

    def _revive(self, held: _Held, live: Revision) -> None:
        self._platform.deploy([self._runnable(live)], is_proven=True, resumed=self._fits.of(live))
        service = self._platform.services[live.function]
        self._traffic.pin(service)
        self._traffic.direct(service)
        held.live = live
        self._limits.set_again(live.function)

    def _runnable(self, revision: Revision) -> FunctionManifest:
        """Its manifest as it runs here: under its revision's name, from where its tree lies."""
        root = str(self._bundles.path_of(revision.bundle))
        return self._adjusted(msgspec.structs.replace(revision.manifest, revision=revision.revision, root=root))

    def _begin(self, held: _Held, revision: Revision, plan: RolloutPlan) -> None:
        name = revision.function
        stable = self._platform.services.get(name) if held.live is not None else None
        held.run = run = RolloutRun(
            revision,
            self._runnable(revision),
            plan,
            stable,
            self._platform,
            self._traffic,
            self._events,
            on_promote=self._promoted,
            on_live=self._limits.set_again,
            on_reject=self._rejected,
        )
        held.told = None
        self._events.info(
            "rollout.began", function=name, revision=revision.revision, before=run.before or "", strategy=plan.strategy
        )
        held.task = asyncio.create_task(self._run(name, held, run), name=f"rollout of {name}")

    async def _run(self, name: str, held: _Held, run: RolloutRun) -> None:
        try:
            await run.run()
        except SojournError as err:  # it cannot be remembered: what is remembered stays
            self._events.error("rollout.unkept", function=name, revision=run.revision.revision, cause=str(err))
            if run.stable is not None and name in self._held:
                self._traffic.direct(run.stable)
            if run.service is not None:
                self._retire(name, run.revision.revision)
            held.told = unkept_told_of(run, str(err))
        else:
            held.told = told_of(run)
        finally:
            held.run = held.task = None

    async def _ended(self, held: _Held) -> None:
        """Wait for a rollout that was told to end."""
        if held.task is None:
            return
        done, _ = await asyncio.wait({held.task}, timeout=_END_WITHIN_S)
        if not done:
            raise DeploymentError(f"a rollout did not end within {_END_WITHIN_S:g} s; try again")

    async def _promoted(self, run: RolloutRun) -> None:
        name, revision = run.name, run.revision
        outcome = RolloutState.LIVE.value
        await self._keeper.do(lambda store: store.promote(name, revision.revision, time(), outcome, evidence_of(run)))
        held = self._known(name)  # unless it was deleted meanwhile
        before, held.live = held.live, revision
        if before is not None:
            self._retire(name, before.revision)

    async def _rejected(self, run: RolloutRun, cause: str) -> None:
        name = run.name
        evidence = {**(evidence_of(run) or {}), "cause": cause}
        if run.service is not None:
            self._retire(name, run.revision.revision)
        if name in self._held:
            outcome = run.status.state.value
            await self._keeper.do(lambda store: store.abandon_candidate(name, time(), outcome, evidence))

    def _retire(self, name: str, revision: str) -> None:
        """Let a revision without traffic end what it has, in the background; calls pinned to it end now."""
        self._traffic.remove(name, revision)

        async def retire() -> None:
            await asyncio.sleep(0)  # routes are switched in this turn of the loop
            await self._platform.retire(name, revision, self._drain_s)
            with contextlib.suppress(StateError):  # told by the keeper; the next sweep will do
                await self._sweep()

        task = asyncio.create_task(retire(), name=f"retire {name}@{revision}")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _told(self, function: str, held: _Held) -> RolloutTold:
        if held.run is not None:
            return told_of(held.run)
        return held.told or told_at_rest(function, held.live)

    async def _sweep(self) -> None:
        """Remove source trees that no revision refers to any more."""
        referenced = await self._keeper.do(lambda store: store.referenced_bundles())
        running = {Path(service.manifest.root).name for service in self._platform.running.values()}
        await self._intake.sweep(referenced | running)


def _everything(store: StateStore) -> list[tuple[StoredFunction, list[Revision]]]:
    return [(stored, store.revisions(stored.name)) for stored in store.functions()]

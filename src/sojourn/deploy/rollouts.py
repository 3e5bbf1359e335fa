"""The rollouts of all functions: begun, kept how they end, and given up where they break off."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from time import time
from typing import Final

import msgspec

from sojourn.deploy.departures import Departures
from sojourn.deploy.held import Held
from sojourn.deploy.ports import Traffic
from sojourn.deploy.run import RolloutRun
from sojourn.deploy.told import evidence_of, told_of, unkept_told_of
from sojourn.domain.deployment import ALL_AT_ONCE, Revision, RolloutPlan
from sojourn.domain.function import FunctionManifest
from sojourn.domain.rollout import PromoteAsked, RollbackAsked, RolloutState
from sojourn.errors import SojournError
from sojourn.runtime.platform import Platform
from sojourn.state.keeper import StateKeeper
from sojourn.state.record import StoredFunction
from sojourn.state.store import StateStore
from sojourn.telemetry.events import PlatformEvents

END_WITHIN_S: Final = 10.0  # for a rollout that is told to end
_LIVE: Final = RolloutState.LIVE.value
_FAILED: Final = RolloutState.FAILED.value
_ROLLED_BACK: Final = RolloutState.ROLLED_BACK.value


class Rollouts:
    """Begins rollouts and brings them to their ends, one at a time for each function.

    Args:
        held: The deployed functions, by name.
        platform: Runs revisions.
        traffic: Which revision a name means.
        keeper: The durable state.
        events: Told of what happens.
        departures: Let go of what lost its traffic.
        on_live: Called with a function's name once another revision of it is live.
    """

    def __init__(
        self,
        held: Mapping[str, Held],
        platform: Platform,
        traffic: Traffic,
        keeper: StateKeeper,
        events: PlatformEvents,
        departures: Departures,
        on_live: Callable[[str], None],
    ) -> None:
        self._held = held
        self._platform = platform
        self._traffic = traffic
        self._keeper = keeper
        self._events = events
        self._departures = departures
        self._on_live = on_live

    def begin(self, held: Held, revision: Revision, manifest: FunctionManifest, plan: RolloutPlan) -> None:
        """Roll a revision out that is kept as the candidate, or as live and is not served, beside what is served now."""
        name = revision.function
        self._departures.call_off(name, revision.revision)
        stable = self._platform.services.get(name) if held.live is not None else None
        held.run = run = RolloutRun(
            revision,
            manifest,
            plan,
            stable,
            self._platform,
            self._traffic,
            self._events,
            on_promote=self._promoted,
            on_live=self._took_over,
            on_reject=self._rejected,
        )
        held.told = None
        self._events.info(
            "rollout.began", function=name, revision=revision.revision, before=run.before or "", strategy=plan.strategy
        )
        held.task = asyncio.create_task(self._run(held, run, held.live), name=f"rollout of {name}")

    @contextlib.asynccontextmanager
    async def at_rest(self, held: Held) -> AsyncIterator[RolloutRun | None]:
        """The rollout under way, which makes no step in here; None: there is none.

        Raises:
            DeploymentError: It does not come to rest; nothing has changed.
        """
        while (run := held.run) is not None:
            async with run.at_rest(END_WITHIN_S):
                if not run.is_over:
                    yield run
                    return
            await self.end(held)
        yield None

    # ---- what operators decide, kept before it is done

    async def promote(self, run: RolloutRun) -> bool:
        """Give it all traffic as soon as it is warm; to be called while it is at rest. Whether it ends by that, now.

        Raises:
            StateError: That cannot be kept; it goes on as it was.
        """
        name, revision = run.name, run.revision.revision
        is_shifting = run.status.state is RolloutState.SHIFTING
        if is_shifting:
            await self._promoted(run)
        else:
            plan = RolloutPlan(strategy=ALL_AT_ONCE)

            def keep(store: StateStore) -> None:
                stored = stored_in(store, name)
                if stored is not None and stored.candidate == revision:  # else it is live already, and only not served
                    store.set_candidate(name, revision, plan, time())

            await self._keeper.do(keep)
            run.plan = plan
        run.decide(PromoteAsked(), is_kept=is_shifting)
        return is_shifting

    async def roll_back(self, run: RolloutRun) -> None:
        """Leave all traffic to the revision before; to be called while it is at rest.

        Raises:
            StateError: That cannot be kept; it goes on as it was.
        """
        outcome = _ROLLED_BACK if run.status.state is RolloutState.SHIFTING else _FAILED
        await self._keep_rejected(run, outcome, "an operator rolled it back")
        run.decide(RollbackAsked(), is_kept=True)

    async def end(self, held: Held) -> None:
        """Wait for a rollout that was told to end; one that does not within a moment is broken off. Never fails."""
        run, task = held.run, held.task
        if run is None or task is None:
            return
        done, _ = await asyncio.wait({task}, timeout=END_WITHIN_S)
        if not done:
            task.cancel()
            await asyncio.wait({task}, timeout=END_WITHIN_S)
            held.run = held.task = None
            self._give_back(run)

    # ---- how they end

    async def _run(self, held: Held, run: RolloutRun, before: Revision | None) -> None:
        try:
            await run.run()
            held.told = told_of(run)
        except SojournError as err:  # it cannot be remembered: what is remembered stays
            if run.is_kept:
                await self._broke_off(held, run, before, err)
                return
            run.unkept = str(err)
            self._events.error("rollout.unkept", function=run.name, revision=run.revision.revision, cause=str(err))
            held.told = unkept_told_of(run, run.unkept)
            self._give_back(run)
        except Exception as err:  # noqa: BLE001 (whatever it was: the function is served, and the error told)
            await self._broke_off(held, run, before, err)
        finally:
            if held.run is run:
                held.run = held.task = None

    async def _broke_off(self, held: Held, run: RolloutRun, before: Revision | None, error: Exception) -> None:
        """An error that nobody thought of: the revision before has all traffic, and is what is remembered."""
        name, revision = run.name, run.revision.revision
        cause = (
            f"an error of the server's own ended the rollout: {type(error).__name__}: {error}; the server's log has the "
            "traceback. Deploy it again, and report this if it comes again"
        )
        self._events.error("rollout.broke_off", function=name, revision=revision, cause=cause)
        self._events.log.error(
            "rollout.traceback", function=name, revision=revision, traceback="".join(traceback.format_exception(error))
        )
        run.unkept = cause
        held.told = msgspec.structs.replace(told_of(run), state=_FAILED, share=0.0, cause=cause)
        self._give_back(run)
        if self._held.get(name) is not held:  # it was deleted
            return
        try:
            if run.service is not None and self._platform.services.get(name) is run.service:  # there was none before
                held.live = run.revision
                await self._promoted(run)
            else:
                held.live = before
                await self._keeper.do(lambda store: _undo(store, run, _FAILED, {"cause": cause}))
        except Exception as err:  # noqa: BLE001 (as above: it must be told here)
            held.told = unkept_told_of(run, f"{cause}; {type(err).__name__}: {err}")

    def _give_back(self, run: RolloutRun) -> None:
        """All traffic to the revision before, and this one ends what it has; where there is none, it serves if it can."""
        name, stable, service = run.name, run.stable, run.service
        try:
            is_deployed = name in self._held
            if is_deployed and stable is not None and not stable.is_closed:
                self._departures.call_off(name, stable.revision)
                self._platform.make_live(name, stable.revision)
                self._traffic.pin(stable)
                self._traffic.direct(stable)
            if service is not None and self._platform.services.get(name) is not service:
                self._departures.retire(name, service.revision)
            elif service is not None and is_deployed:
                self._traffic.direct(service)
        except Exception as err:  # noqa: BLE001 (the task that does this must come to its end)
            self._events.error("rollout.not_given_back", function=name, cause=f"{type(err).__name__}: {err}")

    async def _promoted(self, run: RolloutRun) -> None:
        name, revision, evidence = run.name, run.revision.revision, evidence_of(run)

        def keep(store: StateStore) -> None:
            stored = stored_in(store, name)
            if stored is None or stored.live != revision:  # else it is kept: the disk answered too late
                store.promote(name, revision, time(), _LIVE, evidence)

        await self._keeper.do(keep)

    def _took_over(self, run: RolloutRun) -> None:
        """Its function's name means it; what had the traffic goes."""
        held = self._held[run.name]
        before, held.live = held.live, run.revision
        self._on_live(run.name)
        if before is not None and before.revision != run.revision.revision:
            self._departures.retire(run.name, before.revision)

    async def _rejected(self, run: RolloutRun, cause: str) -> None:
        if run.service is not None:
            self._departures.retire(run.name, run.revision.revision)
        if not run.is_kept:
            await self._keep_rejected(run, run.status.state.value, cause)
            run.is_kept = True

    async def _keep_rejected(self, run: RolloutRun, outcome: str, cause: str) -> None:
        evidence = {**(evidence_of(run) or {}), "cause": cause}
        await self._keeper.do(lambda store: _undo(store, run, outcome, evidence))


def stored_in(store: StateStore, name: str) -> StoredFunction | None:
    """A function as it is kept; None if it is not."""
    return next((stored for stored in store.functions() if stored.name == name), None)


def _undo(store: StateStore, run: RolloutRun, outcome: str, evidence: dict[str, object]) -> None:
    """Keep that a rollout came to nothing; also where it is kept as live, since the disk answered too late to be heeded."""
    name, revision, now_s = run.name, run.revision.revision, time()
    stored = stored_in(store, name)
    if stored is None:
        return
    if stored.candidate == revision:
        store.abandon_candidate(name, now_s, outcome, evidence)
    elif stored.live == revision and run.before is not None and stored.candidate is None:
        store.promote(name, run.before, now_s, _LIVE, evidence)

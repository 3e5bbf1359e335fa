"""One rollout under way: its state machine is shown what happens, and what it orders is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic, time
from typing import Final

from sojourn.core.rollout import Rollout, replicas_for
from sojourn.deploy.ports import Traffic
from sojourn.domain.deployment import CANARY, Revision, RolloutPlan
from sojourn.domain.function import FunctionManifest
from sojourn.domain.rollout import (
    ArmCounts,
    CandidateFailed,
    CandidateWarm,
    CountsSeen,
    Fail,
    Promote,
    ReplicaFailed,
    RollBack,
    RolloutAction,
    RolloutBegan,
    RolloutEvent,
    RolloutState,
    RolloutStatus,
    RolloutTick,
    SetShare,
)
from sojourn.errors import ConfigurationError, DeploymentError
from sojourn.runtime.platform import Platform
from sojourn.runtime.service import FunctionService
from sojourn.telemetry.events import PlatformEvents

_LOOK_EVERY_S: Final = 1.0
_STARTS_LOOK_S: Final = 0.02


class RolloutRun:
    """Brings one revision into service, or not; `await run()` once, from a task of its own.

    Args:
        revision: What is to take over.
        manifest: The same as it runs here: with its source tree and the settings in force.
        plan: How.
        stable: The revision that has the traffic now; None for a function's first one.
        platform: Runs both.
        traffic: Which of them the function's name means.
        events: Told of each step.
        on_promote: Awaited once it is to have all traffic and before it has: what is to be remembered.
        on_live: Called once it has all traffic.
        on_reject: Awaited with the cause once it has none any more, and before it goes.

    Attributes:
        is_kept: Whether it is remembered how it ended.
        has_all: Whether it is remembered as live and has all traffic.
        unkept: Why it is not; empty if it is, or has not ended.
    """

    def __init__(
        self,
        revision: Revision,
        manifest: FunctionManifest,
        plan: RolloutPlan,
        stable: FunctionService | None,
        platform: Platform,
        traffic: Traffic,
        events: PlatformEvents,
        *,
        on_promote: Callable[[RolloutRun], Awaitable[None]],
        on_live: Callable[[RolloutRun], None],
        on_reject: Callable[[RolloutRun, str], Awaitable[None]],
    ) -> None:
        self.revision = revision
        self.plan = plan
        self.began_at_s = time()
        self.stable = stable
        self.service: FunctionService | None = None
        self.is_kept = False
        self.has_all = False
        self.unkept = ""
        self._manifest = manifest
        self._platform = platform
        self._traffic = traffic
        self._events = events
        self._on_promote = on_promote
        self._on_live = on_live
        self._on_reject = on_reject
        slo = manifest.settings.slo
        self._machine = Rollout(plan, slo.objective if slo is not None else None, has_stable=stable is not None)
        self._reserved = 1
        self._stable_most = 0  # replicas it had at once since this began
        self._stable_before = ArmCounts()  # when traffic was shared first
        self._failures = [0, 0]  # replicas that failed and were told, of the stable revision and of this one
        self._turn = asyncio.Lock()  # held during a step, or by whoever wants none meanwhile
        self._decided: RolloutEvent | None = None
        self._woken = asyncio.Event()
        self._is_broken = False

    @property
    def name(self) -> str:
        """The function's name."""
        return self.revision.function

    @property
    def status(self) -> RolloutStatus:
        """How it stands."""
        return self._machine.status()

    @property
    def before(self) -> str | None:
        """The revision it takes over from."""
        return self.stable.revision if self.stable is not None else None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or has broken off; nothing can be decided about it any more."""
        return self._machine.is_over or self._is_broken

    @contextlib.asynccontextmanager
    async def at_rest(self, limit_s: float) -> AsyncIterator[None]:
        """No step is made in here, so that a decision can be kept before it is carried out.

        Raises:
            DeploymentError: The step under way has not ended within `limit_s` seconds.
        """
        try:
            async with asyncio.timeout(limit_s):
                await self._turn.acquire()
        except TimeoutError:
            raise DeploymentError(
                f"function {self.name!r}: a step of its rollout has taken more than {limit_s:g} s, most likely since the "
                "disk does not answer; nothing was changed, try again"
            ) from None
        try:
            yield
        finally:
            self._turn.release()

    def decide(self, event: RolloutEvent, *, is_kept: bool) -> None:
        """What somebody wants of it is its next step, whatever else happens; to be called while it is `at_rest`.

        Args:
            event: What is wanted.
            is_kept: Whether it is remembered already how it ends by that.
        """
        self._decided = event
        self.is_kept = is_kept
        self._woken.set()

    async def run(self) -> None:
        """Until it has ended, one way or the other."""
        await self._step(RolloutBegan())
        if self._machine.is_over:  # somebody decided otherwise before it began
            return
        try:
            self.service = self._platform.launch(self._manifest)
        except ConfigurationError as err:
            await self._step(CandidateFailed(str(err)))
            return
        self._traffic.pin(self.service)
        warm = asyncio.create_task(self._platform.warm(self.name, self.revision.revision), name="warm up")
        try:
            while not self._machine.is_over:
                await self._step(await self._next_event(warm))
        finally:
            warm.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await warm

    async def _next_event(self, warm: asyncio.Task[str]) -> RolloutEvent:
        """What happens next: it is warm or cannot be, somebody has decided something, or a second has passed."""
        self._woken.clear()
        if self._decided is not None:
            return RolloutTick()
        asked = asyncio.create_task(self._woken.wait())
        is_warming = self.status.state is RolloutState.WARMING
        awaited = {asked, warm} if is_warming and not warm.done() else {asked}
        self._reserve()
        try:
            await asyncio.wait(awaited, timeout=self._wait_s(warm), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        if self._decided is not None:
            return RolloutTick()  # the step does what was decided
        if is_warming:
            return self._warming_event(warm)
        return RolloutTick() if self.stable is None else self._failed_replica() or self._counts_seen()

    def _warming_event(self, warm: asyncio.Task[str]) -> RolloutEvent:
        """How far it has come with warming up."""
        if self.stable is not None and not self._has_room():
            return self._without_room()
        if warm.done():
            cause = warm.result()
            if cause:
                return CandidateFailed(cause)
            if self._has_enough():
                return CandidateWarm()
        return RolloutTick()

    def _wait_s(self, warm: asyncio.Task[str]) -> float:
        """Until when nothing need be looked at: replicas that are on their way are looked for often."""
        wake_at_s = self._machine.next_wake_at_s
        wait_s = _LOOK_EVERY_S if wake_at_s is None else min(max(wake_at_s - monotonic(), 0.0), _LOOK_EVERY_S)
        is_starting = self.status.state is RolloutState.WARMING and warm.done()
        return min(wait_s, _STARTS_LOOK_S) if is_starting else wait_s

    def _reserve(self) -> None:
        """Have replicas for the share that comes next, so that its first requests do not wait for starts."""
        if self.stable is None:
            return
        self._stable_most = max(self._stable_most, self.stable.dispatcher.replicas_ready)
        wanted = replicas_for(self._machine.next_share, self._stable_most)
        if wanted != self._reserved:
            self._reserved = wanted
            self._platform.reserve(self.name, self.revision.revision, wanted)

    def _has_room(self) -> bool:
        return self._platform.has_room(self.name, self.revision.revision)

    def _without_room(self) -> RolloutEvent:
        """The pool holds no replica of both: it takes over cold, its requests waiting for its start, or not at all."""
        if self.plan.strategy == CANARY:
            return CandidateFailed(
                "the pool has no room for a replica of both revisions, so that neither can be watched beside the other; "
                "deploy all-at-once, or serve with more --cpus, --gpus or --memory"
            )
        self._events.warning(
            "rollout.cold",
            function=self.name,
            revision=self.revision.revision,
            cause="the pool has no room for a replica of both revisions: requests wait until the new one has started",
        )
        return CandidateWarm()

    def _has_enough(self) -> bool:
        """Whether it has as many replicas as were reserved, or as many as the pool has room for."""
        assert self.service is not None, "it was launched"
        ready = self.service.dispatcher.replicas_ready
        granted = min(self._reserved, self._platform.floor(self.name, self.revision.revision))
        return ready >= max(granted, 1)

    def _counts_seen(self) -> CountsSeen:
        stable, candidate = self._counts()
        return CountsSeen(stable.since(self._stable_before), candidate)

    def _failed_replica(self) -> ReplicaFailed | None:
        """One that has failed since traffic is shared and was not told yet."""
        assert self.stable is not None, "there is a revision to compare with"
        assert self.service is not None, "it was launched"
        arms = (self.stable, self.service)
        for arm, service in enumerate(arms):
            if service.failures > self._failures[arm]:
                self._failures[arm] += 1
                return ReplicaFailed(is_candidate=service is self.service, cause=service.last_cause)
        return None

    def _counts(self) -> tuple[ArmCounts, ArmCounts]:
        """What both revisions have counted since they were launched."""
        assert self.stable is not None, "there is a revision to compare with"
        return (
            self._platform.arm_counts(self.name, self.stable.revision),
            self._platform.arm_counts(self.name, self.revision.revision),
        )

    async def _step(self, event: RolloutEvent) -> None:
        async with self._turn:
            decided, self._decided = self._decided, None
            self._is_broken = True  # unless all of it can be done
            for action in self._machine.step(decided or event, monotonic()):
                await self._perform(action)
            self._is_broken = False

    async def _perform(self, action: RolloutAction) -> None:
        name, revision = self.name, self.revision.revision
        match action:
            case SetShare(share=share, why=why):
                assert self.service is not None, "it is warm"
                if self.status.step <= 1 and self.stable is not None:
                    self._stable_before = self._counts()[0]
                    self._failures = [self.stable.failures, self.service.failures]
                if self.stable is not None and 0.0 < share < 1.0:
                    self._traffic.split(name, self.stable, self.service, share)
                elif self.stable is not None and share <= 0.0:
                    self._traffic.direct(self.stable)
                self._events.info("rollout.shifted", function=name, revision=revision, share=share, why=why)
            case Promote(why=why):
                assert self.service is not None, "it is warm"
                if not self.is_kept:
                    await self._on_promote(self)
                    self.is_kept = True
                self._platform.make_live(name, revision)
                self._traffic.direct(self.service)
                self._on_live(self)
                self.has_all = True
                self._events.info("rollout.live", function=name, revision=revision, before=self.before or "", why=why)
            case RollBack(cause=cause) | Fail(cause=cause):
                if self.stable is not None:
                    self._traffic.direct(self.stable)
                if self.service is not None:
                    self._traffic.remove(name, revision)
                self._events.warning("rollout.rejected", function=name, revision=revision, cause=cause)
                await self._on_reject(self, cause)

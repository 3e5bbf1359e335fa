"""Events worth knowing after a restart: kept in the durable state, and told again by the next server."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from sojourn.errors import StateError
from sojourn.state.keeper import StateKeeper
from sojourn.state.record import StoredEvent
from sojourn.state.store import StateStore
from sojourn.telemetry.events import EventRing, PlatformEvent

_KEPT: Final = frozenset(
    {"function.crash_loop", "function.deleted", "function.infeasible", "function.limits_dropped", "function.recovered"}
    | {"function.shadowed", "state.unwritable"}
)
_KEPT_OF: Final = ("key.", "revision.live", "rollout.", "slo.alert_firing", "slo.alert_resolved", "tls.")
_RECALLED_MAX: Final = 500
_AT_ONCE_MAX: Final = 200


class EventKeeper:
    """Writes deploys, rollouts, alerts, keys and crash loops down as they happen, behind the loop.

    Args:
        ring: Where events are told.
        keeper: Where they are kept.
    """

    def __init__(self, ring: EventRing, keeper: StateKeeper) -> None:
        self._ring = ring
        self._keeper = keeper
        self._kept_seq = ring.last_seq
        self._task: asyncio.Task[None] | None = None
        self._has_news = asyncio.Event()

    async def start(self) -> None:
        """Tell again what happened before this run, and keep what happens from now on.

        Raises:
            StateError: It cannot be read.
        """
        past = await self._keeper.do(lambda store: store.events(_RECALLED_MAX))
        self._ring.recall([(each.at_s, each.level, each.event, each.function, each.fields) for each in past])
        self._ring.listen(self._has_news.set)
        self._has_news.set()
        self._task = asyncio.create_task(self._run(), name="keep events")

    async def _run(self) -> None:
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            await self._save()

    async def _save(self) -> None:
        page = self._ring.since(self._kept_seq, self._ring.capacity)
        self._kept_seq = page.next_since
        wanted = [_stored(event) for event in page.events if _is_kept(event.event)][-_AT_ONCE_MAX:]
        if not wanted:
            return

        def append(store: StateStore) -> None:
            for each in wanted:
                store.append_event(each)

        try:
            await self._keeper.do(append)
        except StateError:  # told by the keeper itself; serving goes on without
            return

    async def close(self) -> None:
        """Keep what has happened until now, and no more."""
        if self._task is None:
            return
        self._ring.unlisten(self._has_news.set)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._save()


def _is_kept(event: str) -> bool:
    return event in _KEPT or event.startswith(_KEPT_OF)


def _stored(event: PlatformEvent) -> StoredEvent:
    at_s = datetime.fromisoformat(event.at).timestamp()
    return StoredEvent(at_s=at_s, level=event.level, event=event.event, function=event.function, fields=event.fields)

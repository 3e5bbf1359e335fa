"""Events worth knowing after a restart: kept in the durable state, and told again by the next server."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from sojourn.errors import StateError
from sojourn.state.keeper import StateKeeper
from sojourn.state.record import StoredEvent
from sojourn.state.store import StateStore
from sojourn.telemetry.events import PlatformEvent, PlatformEvents

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
        events: Where they are told.
        keeper: Where they are kept.
    """

    def __init__(self, events: PlatformEvents, keeper: StateKeeper) -> None:
        self._events = events
        self._ring = ring = events.ring
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
        """Keep what is new; what cannot be kept now, since the disk cannot be written, is tried with the next news."""
        page = self._ring.since(self._kept_seq, self._ring.capacity)
        wanted = [event for event in page.events if _is_kept(event.event)][-_AT_ONCE_MAX:]
        try:
            if wanted:
                await self._keep(wanted)
        except StateError:  # told by the keeper itself; serving goes on without
            return
        except Exception as err:  # noqa: BLE001 (one event must not end the keeping of all later ones)
            await self._keep_singly(wanted, err)
        self._kept_seq = page.next_since

    async def _keep(self, events: list[PlatformEvent]) -> None:
        """Write all of them down, or none."""
        stored = [_stored(event) for event in events]

        def append(store: StateStore) -> None:
            with store.transaction():
                for each in stored:
                    store.append_event(each)

        await self._keeper.do(append)

    async def _keep_singly(self, events: list[PlatformEvent], error: Exception) -> None:
        """Leave out those that cannot be kept, and say how many."""
        lost = 0
        for event in events:
            try:
                await self._keep([event])
            except StateError:
                return
            except Exception as err:  # noqa: BLE001 (as above)
                lost, error = lost + 1, err
        if lost:
            cause = f"{type(error).__name__}: {error}"
            self._events.warning("state.events_unkept", events=lost, cause=cause)

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

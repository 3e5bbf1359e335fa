"""Events that are kept: in the state file, in order, and whatever goes wrong with one of them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from desk import on_a_loop

from sojourn.runtime.event_keeper import EventKeeper
from sojourn.state.keeper import StateKeeper
from sojourn.state.store import StateStore
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.log import EventLog


class Kept:
    """Events and their keeper: `async with Kept() as kept`."""

    async def __aenter__(self):
        self.events = PlatformEvents(EventLog(fd=os.open(os.devnull, os.O_WRONLY)))
        self.store = StateStore.in_memory()
        self.state = StateKeeper(self.store)
        self.keeper = EventKeeper(self.events, self.state)
        await self.keeper.start()
        return self

    async def __aexit__(self, *exc_info):
        await self.keeper.close()
        await self.state.close()

    def names(self):
        return [one.event for one in self.store.events()]

    async def wait(self, *names):
        """Until these are kept."""
        async with asyncio.timeout(30.0):
            while self.names() != list(names):  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.001)


@on_a_loop
async def test_one_event_that_cannot_be_kept_ends_neither_the_keeping_of_others_nor_of_later_ones(monkeypatch):
    """It is left out, which is told; those of the same moment and all later ones are kept."""
    async with Kept() as kept:
        append = StateStore.append_event

        def strange(store, event):
            if event.event == "rollout.strange":
                raise ValueError("half a surrogate pair")
            append(store, event)

        monkeypatch.setattr(StateStore, "append_event", strange)
        for event in ("rollout.began", "rollout.strange", "rollout.live"):
            kept.events.info(event, function="f")
        await kept.wait("rollout.began", "rollout.live")
        kept.events.info("key.made")
        await kept.wait("rollout.began", "rollout.live", "key.made")
        (told,) = [one for one in kept.events.ring.latest(100).events if one.event == "state.events_unkept"]
        assert told.fields == {"events": 1, "cause": "ValueError: half a surrogate pair"}


@on_a_loop
async def test_what_a_full_disk_refused_is_kept_once_there_is_room():
    """With the next event, in order, and once."""
    async with Kept() as kept:
        connection = kept.store._connection
        connection.execute("PRAGMA query_only = ON")
        kept.events.info("rollout.began", function="f")
        await asyncio.sleep(0)
        async with asyncio.timeout(30.0):
            while not kept.state.failure:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
        assert kept.names() == []
        connection.execute("PRAGMA query_only = OFF")
        kept.events.info("rollout.live", function="f")
        await kept.wait("rollout.began", "rollout.live")

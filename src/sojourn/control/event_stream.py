"""The live stream of platform events as Server-Sent Events, over the ring that keeps them.

A reader has no buffer of its own here: it has a place in the ring, and is told how many events it missed if the
ring went past it. What is on its way to it is bounded by the transport, which holds the sender back.

Source: WHATWG HTML, "Server-sent events" (fields `id`, `event`, `data`, `retry`; comments begin with a colon).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sojourn.control.connection import ANSWER_GOES_ON
from sojourn.telemetry.events import EventRing, PlatformEvent

HEARTBEAT_S: Final = 10.0
_RETRY_MS = 2000  # the unit of this field is the standard's
_EVENTS_AT_ONCE = 50
_HEARTBEAT = b": still here\n\n"


class EventStreams:
    """All open streams of one admin port, so that they can be ended together.

    Args:
        ring: Where the events are.
        heartbeat_s: Longest silence on a stream, in seconds, > 0.
    """

    def __init__(self, ring: EventRing, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.ring = ring
        self.heartbeat_s = heartbeat_s
        self._open: set[EventStream] = set()
        self._is_closed = False

    def open(
        self, since: int, function: str | None, is_allowed: Callable[[], bool] = lambda: True
    ) -> EventStream | None:
        """A stream of what follows number `since`, while that is allowed; None if there is no room for another."""
        if self._is_closed:
            return None
        stream = EventStream(self, since, function, is_allowed)
        if not self.ring.listen(stream.wake):
            return None
        self._open.add(stream)
        return stream

    def closed(self, stream: EventStream) -> None:
        """A stream ended; its place is free."""
        self._open.discard(stream)
        self.ring.unlisten(stream.wake)

    def recheck(self) -> None:
        """Who may do what has changed: end those that are not allowed any more."""
        for stream in self._open:
            stream.recheck()

    def close(self) -> None:
        """End them all, and open no more."""
        self._is_closed = True
        for stream in self._open:
            stream.end()


class EventStream(Response):
    """One answer that goes on until its reader leaves or the server closes.

    Args:
        owner: Told when it ended.
        since: The number after which it begins.
        function: The only function whose events it carries, or None.
        is_allowed: Whether its reader may still have them.
    """

    media_type = "text/event-stream"

    def __init__(self, owner: EventStreams, since: int, function: str | None, is_allowed: Callable[[], bool]) -> None:
        super().__init__()
        del self.headers["content-length"]  # it has no end that is known
        self._owner = owner
        self._since = since
        self._function = function
        self._is_allowed = is_allowed
        self._is_cut = False
        self._news = asyncio.Event()
        self._is_over = False

    def wake(self) -> None:
        """There may be something to send."""
        self._news.set()

    def end(self) -> None:
        """Send what there is, then the end."""
        self._is_over = True
        self._news.set()

    def recheck(self) -> None:
        """End at once, without what there still is, if its reader may not have it any more."""
        if not self._is_allowed():
            self._is_cut = True
            self._news.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        watch = asyncio.create_task(self._await_leave(receive), name="event stream: its reader")
        extensions = scope.get("extensions", {})
        goes_on: Callable[[], None] = extensions.get(ANSWER_GOES_ON, {}).get("call", _nothing)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send(send, goes_on, b"retry: %d\n\n" % _RETRY_MS)
            while not await self._sent_all(send, goes_on):
                pass
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watch.cancel()
            self._owner.closed(self)

    async def _sent_all(self, send: Send, goes_on: Callable[[], None]) -> bool:
        """Send what is new, or a heartbeat when there is nothing for long; whether the stream is over."""
        if self._is_cut:
            return True
        is_last = self._is_over  # what was recorded before the end still goes out
        self._news.clear()
        page = self._owner.ring.since(self._since, _EVENTS_AT_ONCE, self._function)
        self._since = page.next_since
        parts = [_dropped(page.dropped)] if page.dropped else []
        parts += [_encoded(event) for event in page.events]
        if parts:
            await self._send(send, goes_on, b"".join(parts))
        if self._since < self._owner.ring.last_seq:
            return False  # a full page: more is there already
        if is_last:
            return True
        try:
            async with asyncio.timeout(self._owner.heartbeat_s):
                await self._news.wait()
        except TimeoutError:
            await self._send(send, goes_on, _HEARTBEAT)
        return False

    async def _send(self, send: Send, goes_on: Callable[[], None], body: bytes) -> None:
        goes_on()
        await send({"type": "http.response.body", "body": body, "more_body": True})

    async def _await_leave(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end()


def _encoded(event: PlatformEvent) -> bytes:
    # JSON has no raw line ends, so one data line holds it whatever the texts in it.
    return b"id: %d\ndata: %b\n\n" % (event.seq, msgspec.json.encode(event))


def _dropped(count: int) -> bytes:
    return b'event: dropped\ndata: {"count":%d}\n\n' % count


def _nothing() -> None:
    """The server underneath sets no time for answers."""

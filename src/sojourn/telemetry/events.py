"""What happened on the platform lately, numbered, for the admin port; and the one call that logs and keeps it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from sojourn.telemetry.log import EventLog, json_value, utc_text

EVENTS_KEPT: Final = 1000
LISTENERS_MAX: Final = 16
_TEXT_CHARACTERS_MAX = 2000


class PlatformEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened.

    Args:
        seq: Its number; each event has one more than the one before it.
        at: When, by the wall clock, in UTC, such as "2026-01-31T12:00:00.250Z".
        level: "info", "warning" or "error".
        event: What, such as "replica.ready".
        function: Of which function; None if it concerns the whole server.
        fields: Whatever else is known of it, as plain data.
    """

    seq: int
    at: str
    level: str
    event: str
    function: str | None
    fields: dict[str, Any]


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some events in a row.

    Args:
        events: Oldest first.
        next_since: What to ask with as `since` to get what follows.
        dropped: Events of any function between what was asked for and the oldest that is still kept.
    """

    events: list[PlatformEvent]
    next_since: int
    dropped: int = 0


class EventRing:
    """The last thousand events. Not for threads: everything here is called on the server's loop.

    Numbers begin at the milliseconds since the epoch at construction, so that they also grow from one run of
    a server to the next (unless it made more than a thousand events a second, or the clock was set back):
    whoever remembers a number of the run before gets all of this one.

    Args:
        capacity: Events kept, >= 1.
        wall_clock: Seconds since the epoch.
        listeners_max: Most listeners at once, >= 0.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        capacity: int = EVENTS_KEPT,
        wall_clock: Callable[[], float] = time.time,
        listeners_max: int = LISTENERS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity = capacity
        self._wall_clock = wall_clock
        self._listeners_max = listeners_max
        self._first_seq = int(wall_clock() * 1000) + 1
        self._next_seq = self._first_seq
        self._clock = clock
        self._events: deque[PlatformEvent] = deque(maxlen=capacity)
        self._instants_s: deque[float] = deque(maxlen=capacity)  # of each event, monotonic
        self._listeners: list[Callable[[], None]] = []

    @property
    def last_seq(self) -> int:
        """The number of the latest event; what to give as `since` to get only what is still to come."""
        return self._next_seq - 1

    def record(self, level: str, event: str, fields: Mapping[str, Any]) -> PlatformEvent:
        """Keep an event and tell the listeners; the field `function` becomes the event's own."""
        plain = {name: _short(json_value(value)) for name, value in fields.items()}
        function = plain.pop("function", None)
        kept = PlatformEvent(
            seq=self._next_seq,
            at=utc_text(self._wall_clock()),
            level=level,
            event=event,
            function=function or None,
            fields=plain,
        )
        self._next_seq += 1
        self._events.append(kept)
        self._instants_s.append(self._clock())
        for listener in self._listeners:
            listener()
        return kept

    def recall(self, past: Sequence[tuple[float, str, str, str | None, dict[str, Any]]]) -> None:
        """Put what happened before this run in front of all that is here, as far as there is room.

        Args:
            past: Seconds since the epoch, level, event, function and fields of each, oldest first.
        """
        room = self.capacity - len(self._events)
        told = list(past)[-room:] if room > 0 else []
        self._first_seq -= len(told)
        for place, (at_s, level, event, function, fields) in reversed(list(enumerate(told))):
            self._events.appendleft(
                PlatformEvent(
                    seq=self._first_seq + place,
                    at=utc_text(at_s),
                    level=level,
                    event=event,
                    function=function,
                    fields=fields,
                )
            )
            self._instants_s.appendleft(-math.inf)

    def since(self, seq: int, limit: int, function: str | None = None) -> EventPage:
        """The first `limit` events (>= 1) after number `seq`, of one function or (None) of all."""
        oldest_seq = self._next_seq - len(self._events)
        dropped = max(0, oldest_seq - max(seq + 1, self._first_seq))
        skipped = max(0, seq + 1 - oldest_seq)
        found: list[PlatformEvent] = []
        for event in islice(self._events, min(skipped, len(self._events)), None):
            if function is None or event.function == function:
                found.append(event)
                if len(found) == limit:
                    return EventPage(events=found, next_since=event.seq, dropped=dropped)
        return EventPage(events=found, next_since=self.last_seq, dropped=dropped)

    def latest(self, limit: int, function: str | None = None) -> EventPage:
        """The last `limit` events (>= 0), of one function or (None) of all."""
        matching = (event for event in reversed(self._events) if function is None or event.function == function)
        found = list(islice(matching, limit))
        found.reverse()
        return EventPage(events=found, next_since=self.last_seq)

    def between(self, begins_s: float, ends_s: float, function: str) -> list[PlatformEvent]:
        """Events of one function, and those of none, between two instants in monotonic seconds; oldest first."""
        return [
            event
            for event, at_s in zip(self._events, self._instants_s, strict=True)
            if begins_s <= at_s <= ends_s and event.function in {function, None}
        ]

    def listen(self, listener: Callable[[], None]) -> bool:
        """Call `listener` after each event until `unlisten`; whether there was room for it."""
        if len(self._listeners) >= self._listeners_max:
            return False
        self._listeners.append(listener)
        return True

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Tell it no more."""
        self._listeners.remove(listener)


class PlatformEvents:
    """Says a thing once, to the log and to the ring.

    Args:
        log: Where people and programs read it at once.
        ring: Where the admin port finds it later.
    """

    def __init__(self, log: EventLog, ring: EventRing | None = None) -> None:
        self.log = log
        self.ring = ring or EventRing()

    def info(self, event: str, data: Mapping[str, Any] | None = None, **fields: Any) -> PlatformEvent:
        """Something normal happened; `data` are further figures for programs, which the log does without."""
        self.log.info(event, **fields)
        return self.ring.record("info", event, {**fields, **(data or {})})

    def warning(self, event: str, **fields: Any) -> PlatformEvent:
        """Serving goes on, but somebody should look."""
        self.log.warning(event, **fields)
        return self.ring.record("warning", event, fields)

    def error(self, event: str, **fields: Any) -> PlatformEvent:
        """Something failed that was meant to work."""
        self.log.error(event, **fields)
        return self.ring.record("error", event, fields)


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _TEXT_CHARACTERS_MAX:
        return value[:_TEXT_CHARACTERS_MAX] + "..."
    return value

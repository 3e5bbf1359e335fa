"""Notices that the event loop stands still, and tells where it stands."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Final

from sojourn.telemetry.events import PlatformEvents

STALL_S_DEFAULT: Final = 1.0
_BEATS_PER_STALL: Final = 4
_FRAMES_SHOWN: Final = 16
# The thread itself may come late by this much before it says that more than the loop stood still.
_LATE_SHARE: Final = 0.5


class StallWatchdog:
    """A thread that looks whether a heartbeat on the loop goes on.

    A stall is logged once while it lasts, by the thread, as `loop.stalled` with the stack of the loop's
    thread: nobody is served meanwhile, and it may not end. It is logged once when it is over, by the loop,
    as `loop.resumed` with its length; only that if the thread could not run either and came too late, as
    when the process was stopped. Four beats per `stall_s` are all it costs.

    Call `start` on the loop to be watched and `stop` there when done.

    Args:
        events: Where stalls are told: by the loop as events, by the thread to the log alone, as only the loop may
            touch what is kept.
        stall_s: How long the loop may stand still, in seconds, > 0.
        clock: Monotonic seconds.
    """

    def __init__(
        self, events: PlatformEvents, stall_s: float = STALL_S_DEFAULT, clock: Callable[[], float] = monotonic
    ) -> None:
        self._events = events
        self._stall_s = stall_s
        self._period_s = stall_s / _BEATS_PER_STALL
        self._clock = clock
        self._beat_at_s = 0.0
        self._beat_timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        self.stalls = 0

    def start(self) -> None:
        """Watch the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._beat_at_s = self._clock()
        self._beat()
        self._thread = threading.Thread(target=self._watch, name="stall watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; returns when the thread has ended."""
        if self._thread is None:
            return
        self._is_over.set()
        self._thread.join()
        self._thread = None
        if self._beat_timer is not None:
            self._beat_timer.cancel()
            self._beat_timer = None

    def _beat(self) -> None:
        assert self._loop is not None, "beats come after start"
        now_s = self._clock()
        gap_s = now_s - self._beat_at_s
        self._beat_at_s = now_s
        if gap_s > self._stall_s:
            self.stalls += 1
            self._events.warning("loop.resumed", stood_still_s=round(gap_s, 3))
        self._beat_timer = self._loop.call_later(self._period_s, self._beat)

    def _watch(self) -> None:
        """Runs in the thread: one look per period."""
        told_beat_at_s: float | None = None
        looked_at_s = self._clock()
        while not self._is_over.wait(self._period_s):
            now_s, beat_at_s = self._clock(), self._beat_at_s
            late_s = now_s - looked_at_s - self._period_s
            looked_at_s = now_s
            if beat_at_s != told_beat_at_s and now_s - beat_at_s > self._stall_s:
                told_beat_at_s = beat_at_s
                self._tell(now_s - beat_at_s, is_whole_process=late_s > _LATE_SHARE * self._stall_s)

    def _tell(self, silent_s: float, *, is_whole_process: bool) -> None:
        """Log a stall that lasts.

        `is_whole_process` says that this thread could not run either: the process was stopped, starved of
        processor time, or in C code that held the interpreter's lock; the stack then shows what came after.
        """
        self._events.log.error(
            "loop.stalled",
            silent_s=round(silent_s, 3),
            is_whole_process=is_whole_process,
            stack=_stack_of(sys._current_frames().get(self._loop_thread)),  # noqa: SLF001 - there is no other way
        )


def _stack_of(frame: FrameType | None) -> str:
    """Where a thread is, the innermost call first: a log line is cut at its end."""
    places: list[str] = []
    while frame is not None and len(places) < _FRAMES_SHOWN:
        code = frame.f_code
        file = "/".join(code.co_filename.split("/")[-2:])
        places.append(f"{code.co_qualname} ({file}:{frame.f_lineno})")
        frame = frame.f_back
    return " < ".join(places) or "unknown"

"""A timer finer than the event loop's own: the loop counts whole milliseconds, an open loop must not."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable

_CLOCK_MONOTONIC = 1  # linux/time.h
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC  # equal to TFD_NONBLOCK | TFD_CLOEXEC on Linux
_SHORTEST_S = 1e-6  # a zero would disarm the timer


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Calls `ring` on the loop once, at an instant of `time.monotonic`, some 0.1 ms late at most on an idle core.

    It is a Linux timer file descriptor. `set` arms it anew; `close` gives the descriptor back.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if descriptor < 0:
            errno = ctypes.get_errno()
            raise OSError(errno, f"cannot make a timer: {os.strerror(errno)}")
        self._descriptor = descriptor
        self._settime = libc.timerfd_settime
        self._spec = _TimerSpec()
        self._loop = loop
        self._ring = ring
        loop.add_reader(descriptor, self._rang)

    def set(self, at_s: float) -> None:
        """Ring at `at_s` on the monotonic clock; at once if that has passed."""
        delay_s = max(at_s - time.monotonic(), _SHORTEST_S)
        seconds = int(delay_s)
        self._spec.value.seconds = seconds
        self._spec.value.nanoseconds = int((delay_s - seconds) * 1e9)
        self._settime(self._descriptor, 0, ctypes.byref(self._spec), None)

    def close(self) -> None:
        """Give the descriptor back; `ring` is not called any more."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _rang(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:  # it was set anew between the ring and this call
            return
        self._ring()

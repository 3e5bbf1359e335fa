"""The replica as a process: it does not outlive its parent, and it ends when it is told to."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1


class Terminated(KeyboardInterrupt):
    """Somebody asked this process to end (SIGTERM or SIGINT).

    Like Ctrl-C it passes through the author's `except Exception`. Its own class tells it from a
    `KeyboardInterrupt` that the author's code raised, which is only a fault of that code.
    """


def end_on_signals() -> None:
    """From now on SIGTERM and SIGINT raise `Terminated` in the main thread, once."""
    for number in _ENDING:
        signal.signal(number, _terminate)


def ignore_signals() -> None:
    """From now on SIGTERM and SIGINT do nothing; a launcher that means it sends SIGKILL."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    ignore_signals()
    raise Terminated


def die_with_parent(parent_pid: int) -> bool:
    """Ask the kernel for SIGKILL when the parent ends; False if it has ended already.

    Args:
        parent_pid: The parent as the parent itself knows it; 0 takes whoever it is now.

    The signal comes when the *thread* that started this process ends, so launchers start from the
    thread of their event loop, which lasts as long as they do.
    """
    expected_pid = parent_pid or os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the request took effect: then there is a new parent by now.
    return os.getppid() == expected_pid


def leave(status: int) -> NoReturn:
    """End the process now: exit handlers and buffers are seen to, the author's threads are not waited for."""
    atexit._run_exitfuncs()  # noqa: SLF001 - sys.exit would first join threads, which may never end
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001, S112 - nobody reads any more, or the author put something else there
            continue
    os._exit(status)

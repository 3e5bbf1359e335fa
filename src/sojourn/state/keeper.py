"""The state file for an event loop: one thread writes, callers await, and the loop never waits for the disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from sojourn.errors import StateError
from sojourn.state.store import StateStore

WAITING_MAX: Final = 256
ANSWER_S_MAX: Final = 30.0
_NOW_S_MAX: Final = 2.0

_T = TypeVar("_T")


class StateKeeper:
    """Does what is asked with the store, one thing after another, in a thread of its own.

    `await do(...)` returns when the change is on the disk. `await close()` last: it closes the store, too. Use from one
    event loop.

    Args:
        store: The store, which nobody else uses from now on.
        told: Called on the loop with why the store fails, once, and with "" when it works again.
        waiting_max: Most things under way or waiting, >= 1; what comes then is refused.
        answer_s_max: Longest wait for one of them, in seconds, > 0.

    Attributes:
        failure: Why the last change could not be made; empty if it could.
    """

    def __init__(
        self,
        store: StateStore,
        told: Callable[[str], None] = lambda _: None,
        waiting_max: int = WAITING_MAX,
        answer_s_max: float = ANSWER_S_MAX,
    ) -> None:
        self.failure = ""
        self._store = store
        self._told = told
        self._waiting_max = waiting_max
        self._answer_s_max = answer_s_max
        self._waiting = 0
        self._is_closed = False
        self._thread = ThreadPoolExecutor(1, "sojourn-state")
        self._turn = threading.Lock()  # the store is used from one thread at a time

    @property
    def waiting(self) -> int:
        """Things under way or waiting."""
        return self._waiting

    async def do(self, work: Callable[[StateStore], _T]) -> _T:
        """What `work` returns; what it changed is on the disk.

        Raises:
            StateError: It was refused and nothing was changed (the disk is full or read-only, too much waits already), or the
                disk does not answer: then it is not known whether it was.
            SojournError: Whatever else `work` raises.
        """
        if self._is_closed:
            raise StateError(f"{self._store.path} is closed: the server is stopping; nothing was changed")
        if self._waiting >= self._waiting_max:
            raise StateError(
                f"{self._store.path}: {self._waiting} changes wait for the disk already; nothing was changed, try again later"
            )
        self._waiting += 1
        doing = asyncio.get_running_loop().run_in_executor(self._thread, self._in_turn, work)
        doing.add_done_callback(self._ended)
        # Shielded by `wait`: who is cancelled gives up the answer, not what is being written.
        done, _ = await asyncio.wait({doing}, timeout=self._answer_s_max)
        if not done:
            raise StateError(
                f"{self._store.path}: the disk has not answered for {self._answer_s_max:g} s; whether the change was made "
                "shows when it does"
            )
        return doing.result()

    def now(self, work: Callable[[StateStore], _T]) -> _T:
        """As `do`, but the loop waits: for what is rare and takes milliseconds, such as a change of keys.

        Raises:
            StateError: It was refused and nothing was changed.
        """
        if self._is_closed:
            raise StateError(f"{self._store.path} is closed: the server is stopping; nothing was changed")
        if not self._turn.acquire(timeout=_NOW_S_MAX):
            raise StateError(f"{self._store.path}: the disk is slow; nothing was changed, try again later")
        try:
            return work(self._store)
        finally:
            self._turn.release()
            self._look()

    def _in_turn(self, work: Callable[[StateStore], _T]) -> _T:
        with self._turn:
            return work(self._store)

    def _ended(self, doing: asyncio.Future[_T]) -> None:
        self._waiting -= 1
        if not doing.cancelled():
            doing.exception()  # asked for here, too: its caller may have given up
        self._look()

    def _look(self) -> None:
        """Tell when the store begins or ceases to fail."""
        failure = self._store.failure
        is_news = bool(failure) != bool(self.failure)
        self.failure = failure
        if is_news:
            self._told(failure)

    async def close(self) -> None:
        """Finish what waits, close the store and end the thread."""
        if self._is_closed:
            return
        self._is_closed = True
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown(wait=False)
        await asyncio.wait({closing}, timeout=self._answer_s_max)

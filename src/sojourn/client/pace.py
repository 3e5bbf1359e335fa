"""How fast the calls of one map go out: as many at once as the server takes, and no faster than it asks for.

A map has many items and no hurry with any single one. Where the server refuses, fewer go out at once; those that were refused
wait for their turn and go before newer ones. So a map slows down instead of losing what is refused, and an overloaded server
is asked again and again by no more than it can take.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from typing import Final

import msgspec

from sojourn.client.retry import RetryBudget
from sojourn.errors import ClientError, ConnectionFailedError, ExpiredError, RefusedError

_LEAST: Final = 1.0
_LESS: Final = 0.5


class Turn(msgspec.Struct):
    """The place of one item in a map.

    Args:
        number: Its place in the order of items; the earlier one goes first.
        epoch: Which limit it went out under.
        is_out: Whether it is out.
        is_resting: Whether it was refused and is to go out again.
    """

    number: int
    epoch: int = 0
    is_out: bool = False
    is_resting: bool = False


class Pace:
    """Lets calls out, one turn each: `ask`, then `answered`, `refused` or `dropped`; safe between threads.

    The limit begins at the most and is halved by a refusal, once for all calls that went out under the same limit. Each
    answer raises it by its reciprocal, so that a limit's worth of answers raise it by one.

    Args:
        most: Calls at once, >= 1.
        budget: Of the retries of all its calls.

    Source:
        Chiu and Jain (1989), "Analysis of the increase and decrease algorithms for congestion avoidance", Computer Networks
        and ISDN Systems 17: additive increase and multiplicative decrease.
    """

    def __init__(self, most: int, budget: RetryBudget) -> None:
        self.budget = budget
        self._most = float(most)
        self._limit = float(most)
        self._epoch = 0
        self._out = 0  # calls that the server has
        self._resting = 0  # refused ones that are to go out again
        self._asking: list[
            tuple[bool, int, Turn, Callable[[], None]]
        ] = []  # a heap: refused ones first, then by number
        self._lock = threading.Lock()
        self.is_closed = False

    @property
    def limit(self) -> int:
        """Calls that may be out at once by now."""
        return int(self._limit)

    @property
    def out(self) -> int:
        """Calls that are out."""
        return self._out

    def ask(self, turn: Turn, go: Callable[[], None]) -> None:
        """Have `go` called as soon as the call may go out, perhaps before this returns; it must not block.

        Call `answered`, `refused` or `dropped` afterwards.
        """
        with self._lock:
            heapq.heappush(self._asking, (not turn.is_resting, turn.number, turn, go))
            allowed = self._allowed()
        _all(allowed)

    def answered(self, turn: Turn) -> None:
        """The server took the call, whatever it said."""
        with self._lock:
            self._came_back(turn)
            if turn.epoch == self._epoch:
                self._limit = min(self._limit + 1.0 / self._limit, self._most)
            allowed = self._allowed()
        _all(allowed)

    def refused(self, turn: Turn) -> None:
        """The server did not take the call: until it asks again or is dropped, no newer one goes out in its place."""
        with self._lock:
            self._came_back(turn)
            if turn.epoch == self._epoch:
                self._epoch += 1
                self._limit = max(self._limit * _LESS, _LEAST)
            turn.is_resting = True
            self._resting += 1
            allowed = self._allowed()
        _all(allowed)

    def dropped(self, turn: Turn) -> None:
        """Nobody waits for the call any more, wherever it is; where it has ended already, nothing changes."""
        with self._lock:
            self._asking = [asking for asking in self._asking if asking[2] is not turn]
            heapq.heapify(self._asking)
            self._came_back(turn)
            self._resting -= turn.is_resting
            turn.is_resting = False
            allowed = self._allowed()
        _all(allowed)

    def close(self) -> None:
        """Nothing is to go out any more: whoever asks is let go at once, and looks at `is_closed`."""
        with self._lock:
            self.is_closed = True
            allowed = self._allowed()
        _all(allowed)

    def _came_back(self, turn: Turn) -> None:
        self._out -= turn.is_out
        turn.is_out = False

    def _allowed(self) -> list[Callable[[], None]]:
        """Those that may go out now, each counted as out."""
        allowed = []
        while self._asking:
            turn = self._asking[0][2]
            taken = self._out if turn.is_resting else self._out + self._resting
            if taken >= self.limit and not self.is_closed:
                break
            go = heapq.heappop(self._asking)[3]
            self._out += 1
            self._resting -= turn.is_resting
            turn.is_resting, turn.is_out = False, True
            turn.epoch = self._epoch
            allowed.append(go)
        return allowed


def slows(error: ClientError) -> bool:
    """Whether an error says that less should be sent: the server refused, was too late, or cannot be reached."""
    return isinstance(error, (RefusedError, ExpiredError, ConnectionFailedError))


def _all(allowed: list[Callable[[], None]]) -> None:
    for go in allowed:
        go()

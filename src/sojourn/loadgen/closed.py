"""A closed loop: a fixed number of callers, each sending again when it was answered. It finds how much goes through.

It says nothing of latency (see `generator`): a slow server simply gets fewer requests. What it measures is the
rate that server and generator reach together when nobody ever pauses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import uvloop

from sojourn.errors import ClientError
from sojourn.loadgen.connection import Connection
from sojourn.loadgen.record import RequestLog
from sojourn.loadgen.target import Target

_WARM_UP_SHARE = 0.25  # of the time: connections open, caches fill; not counted


class ClosedLoop:
    """One measurement: construct, then `await run(...)`. It does per answer what the open loop does.

    Args:
        target: Where the requests go.
        body: The request body by number, from 0.
        callers: Requests in flight at any time, >= 1.
    """

    def __init__(self, target: Target, body: Callable[[int], bytes], callers: int) -> None:
        self._target = target
        self._body = body
        self._callers = callers
        self._log = RequestLog()
        self._is_running = True
        self._began_at_s = 0.0
        self._served = 0
        self._lost = ""

    async def run(self, duration_s: float) -> float:
        """Keep everybody sending for `duration_s` seconds; returns requests served per second.

        Raises:
            ClientError: A connection could not be made, or all of them were lost.
        """
        loop = asyncio.get_running_loop()
        connections = []
        try:
            for _ in range(self._callers):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), self._target.host, self._target.port, ssl=self._target.tls
                )
                connections.append(connection)
        except OSError as err:
            raise ClientError(f"nothing answers at {self._target.origin}: {err}") from err
        self._began_at_s = time.monotonic()
        for connection in connections:
            self._send(connection)
        await asyncio.sleep(duration_s * _WARM_UP_SHARE)
        served, since_s = self._served, time.monotonic()
        await asyncio.sleep(duration_s * (1 - _WARM_UP_SHARE))
        rate_per_s = (self._served - served) / (time.monotonic() - since_s)
        self._is_running = False
        if not any(connection.is_open for connection in connections):
            raise ClientError(f"{self._target.origin}: {self._lost or 'every connection was closed'}")
        for connection in connections:
            connection.abort()
        return rate_per_s

    def answered(self, connection: Connection, status: int, timing: bytes, _body: bytes) -> None:
        """Count, and send the next (the connection calls this)."""
        self._log.answer(connection.index, time.monotonic() - self._began_at_s, status, timing)
        self._served += status == 200
        if self._is_running and connection.is_open:
            self._send(connection)

    def broke(self, _connection: Connection, what: str) -> None:
        """That caller is gone (the connection calls this)."""
        self._lost = what

    def _send(self, connection: Connection) -> None:
        now_s = time.monotonic() - self._began_at_s
        index = self._log.begin(now_s)
        self._log.send(index, now_s)
        connection.send(index, self._target.request(self._body(index)))


def measure_capacity(target: Target, body: Callable[[int], bytes], *, callers: int, duration_s: float) -> float:
    """Requests served per second with `callers` in flight all the time, on an event loop of its own.

    Args:
        target: Where the requests go.
        body: The request body by number, from 0.
        callers: Requests in flight at any time, >= 1.
        duration_s: Length of the measurement in seconds, > 0.

    Raises:
        ClientError: A connection could not be made, or all of them were lost.
    """
    return uvloop.run(ClosedLoop(target, body, callers).run(duration_s))

"""A closed loop on a fixed number of connections: each sends again as soon as it was answered.

For throughput only, when `wrk` is not to be had; it says nothing of latency. Run it as
`python closed_loop.py URL BODY CONNECTIONS SECONDS`; it prints the number of answers and of errors.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from sojourn.loadgen.connection import Connection
from sojourn.loadgen.target import parse_target


class ClosedLoop:
    """Counts answers until `stop` is called."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._is_running = True
        self.answers = 0
        self.errors = 0

    def start(self, connection: Connection) -> None:
        """Send the first request of a connection."""
        connection.send(0, self._request)

    def stop(self) -> None:
        """Count no more."""
        self._is_running = False

    def answered(self, connection: Connection, status: int, _timing: bytes, _body: bytes) -> None:
        """Count, and send the next."""
        if not self._is_running:
            return
        self.answers += 1
        self.errors += status != 200
        if connection.is_open:
            connection.send(0, self._request)

    def broke(self, _connection: Connection, _what: str) -> None:
        """A connection was lost: that load is gone, which counts as an error."""
        self.errors += self._is_running


async def _main(url: str, body: str, connections: int, duration_s: float) -> None:
    target = parse_target(url)
    loop = ClosedLoop(target.request(body.encode()))
    opened = []
    for _ in range(connections):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(loop), target.host, target.port
        )
        opened.append(connection)
    for connection in opened:
        loop.start(connection)
    await asyncio.sleep(duration_s)
    loop.stop()
    for connection in opened:
        connection.abort()
    print(loop.answers, loop.errors)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))

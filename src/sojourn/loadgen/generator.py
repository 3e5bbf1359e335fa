"""The open loop: every request goes out at its own instant, whatever became of those before it.

A closed loop, in which each client waits for its answer, sends less when the server is slow and so hides
the very waits it should measure. Here the arrival times are given in advance, latency counts from the
*intended* instant, and the generator records its own lateness, so that a run it spoiled itself is void.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from sojourn.errors import ClientError, ConfigurationError
from sojourn.loadgen.alarm import Alarm
from sojourn.loadgen.connection import Connection
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.record import RequestLog, Trouble
from sojourn.loadgen.target import Target

Bodies = Sequence[bytes] | Callable[[int], bytes]
Check = Callable[[int, bytes], bool]

_LEAD_S = 0.02  # from set-up to the zero of the run, so that the first requests are not late
_SWEEP_S = 0.05  # how often timeouts and progress are looked after
_SEND_AT_MOST = 256  # requests sent before answers are read again, after a stall
_CONNECT_TIMEOUT_S = 10.0
# A connection that fails for these says nothing of the server: this machine has no more descriptors or ports.
_OWN_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL}
_FIRST_FAILURE_BYTES = 300


class LoadRun:
    """One run: construct, then `await run()`; `log` and the counters may be read while it goes on.

    `was_bound_hit` and `shortage` (a text, or empty) tell that the generator ran out of connections.
    """

    def __init__(
        self,
        target: Target,
        arrivals: Iterable[float],
        bodies: Bodies,
        *,
        options: LoadOptions | None = None,
        check: Check | None = None,
        on_progress: Callable[[LoadRun], None] | None = None,
    ) -> None:
        """Describe the run.

        Args:
            target: Where the requests go.
            arrivals: Instants in seconds from the start, never decreasing.
            bodies: Request bodies used in turn, or a function of the request's index.
            options: Bounds of the run.
            check: Told the index and body of each 200 answer; False counts it as mismatched.
            on_progress: Called now and then while the run goes on; keep it short, it holds up sending.

        Raises:
            ConfigurationError: `bodies` is an empty list.
        """
        if not callable(bodies) and not bodies:
            raise ConfigurationError("load: give at least one request body")
        self.target = target
        self.options = options or LoadOptions()
        self.log = RequestLog()
        self.connections_peak = 0
        self.was_bound_hit = False
        self.shortage = ""
        self._arrivals: Iterator[float] = iter(arrivals)
        self._request_of = _maker(target, bodies)
        self._check = check
        self._on_progress = on_progress
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[int] = deque()  # due, but every connection is taken
        self._unanswered: dict[int, Connection | None] = {}  # in the order of sending
        self._next_at_s: float | None = None
        self._origin_s = 0.0
        self._progress_at_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the zero of the run; negative just before it."""
        return time.monotonic() - self._origin_s

    @property
    def in_flight(self) -> int:
        """Requests sent or due, and not yet ended."""
        return len(self._unanswered)

    async def run(self) -> RequestLog:
        """Send everything, wait for the last answer or timeout, and return what happened.

        Raises:
            ClientError: The first connection could not be made: nothing listens there.
        """
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._done: asyncio.Future[None] = loop.create_future()
        await self._connect_first()
        alarm = self._alarm = Alarm(loop, self._send_due)
        # The collector may not stop the world in the middle of a measurement: what lives now is set aside.
        gc.collect()
        gc.freeze()
        sweep = None
        try:
            self._origin_s = time.monotonic() + _LEAD_S
            self._advance()
            sweep = loop.create_task(self._sweep(), name="loadgen-sweep")
            await self._done
        finally:
            gc.unfreeze()
            alarm.close()
            tasks = [task for task in (sweep, *self._connecting) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close_connections()
        return self.log

    async def _close_connections(self) -> None:
        self._waiting.clear()
        for connection in list(self._open):
            connection.abort()
        for _ in range(100):  # the loop tells each connection in one of its next turns
            if not self._open:
                return
            await asyncio.sleep(0)

    # Sending

    def _advance(self) -> None:
        self._next_at_s = next(self._arrivals, None)
        if self._next_at_s is None:
            self._end_if_done()
        else:
            self._alarm.set(self._origin_s + self._next_at_s)

    def _send_due(self) -> None:
        now_s = self.elapsed_s
        for _ in range(_SEND_AT_MOST):
            if self._next_at_s is None or self._next_at_s > now_s:
                break
            index = self.log.begin(self._next_at_s)
            self._unanswered[index] = None
            self._assign(index)
            self._next_at_s = next(self._arrivals, None)
            now_s = self.elapsed_s
        if self._next_at_s is None:
            self._end_if_done()
        else:
            self._alarm.set(self._origin_s + self._next_at_s)

    def _assign(self, index: int) -> None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                self._send(connection, index)
                return
        if len(self._open) + len(self._connecting) < self.options.connections_max:
            self.log.send(index, self.elapsed_s)  # waiting for a connect is the server's doing from here on
            task = self._loop.create_task(self._connect_for(index), name=f"loadgen-connect-{index}")
            self._connecting.add(task)
            task.add_done_callback(self._connected)
        else:
            self.was_bound_hit = True
            self._waiting.append(index)

    def _send(self, connection: Connection, index: int) -> None:
        request = self._request_of(index)
        self._unanswered[index] = connection
        if math.isnan(self.log.lateness_s[index]):  # not yet counted as sent
            self.log.send(index, self.elapsed_s)
        connection.send(index, request)

    async def _connect_first(self) -> None:
        try:
            connection = await self._connect()
        except (OSError, TimeoutError) as err:
            raise ClientError(
                f"nothing answers at {self.target.origin}: {err or 'timed out'}; is the server running there?"
            ) from err
        self._idle.append(connection)

    async def _connect_for(self, index: int) -> None:
        try:
            connection = await self._connect()
        except (OSError, TimeoutError) as err:
            if err.errno in _OWN_SHORTAGES:
                self.shortage = f"{err.strerror} after {self.connections_peak} connections"
            self._give_up(index, Trouble.CONNECTION, f"no connection: {err or 'timed out'}")
            return
        if index in self._unanswered:
            self._send(connection, index)
        else:  # its patience ended while connecting
            self._release(connection)

    async def _connect(self) -> Connection:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, connection = await self._loop.create_connection(
                lambda: Connection(self), self.target.host, self.target.port, ssl=self.target.tls
            )
        self._open.add(connection)
        self.connections_peak = max(self.connections_peak, len(self._open))
        return connection

    # What connections tell

    def answered(self, connection: Connection, status: int, timing: bytes, body: bytes) -> None:
        """An answer arrived (called by the connection)."""
        index, connection.index = connection.index, -1
        self.log.answer(index, self.elapsed_s, status, timing)
        del self._unanswered[index]
        if status != 200:
            if not self.log.first_failure:
                text = body[:_FIRST_FAILURE_BYTES].decode("utf-8", "replace")
                self.log.first_failure = f"HTTP {status}: {text}"
        elif self._check is not None:
            self._verify(self._check, index, body)
        self._release(connection)
        self._end_if_done()

    def broke(self, connection: Connection, what: str) -> None:
        """A connection ended (called by the connection, perhaps twice)."""
        self._open.discard(connection)
        index, connection.index = connection.index, -1
        if index >= 0:
            self._give_up(index, Trouble.CONNECTION, what)
        self._assign_waiting()

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        self._assign_waiting()

    def _release(self, connection: Connection) -> None:
        if connection.is_open:
            self._idle.append(connection)
            self._assign_waiting()

    def _assign_waiting(self) -> None:
        # One place became free, so one request can go; those whose patience has ended are passed over.
        while self._waiting:
            index = self._waiting.popleft()
            if index in self._unanswered:
                self._assign(index)
                return

    def _verify(self, check: Check, index: int, body: bytes) -> None:
        try:
            self.log.mismatched += not check(index, body)
        except Exception as err:  # noqa: BLE001 - the caller's check: whatever it raises ends the run, as its result
            if not self._done.done():
                self._done.set_exception(err)

    # Ends

    def _give_up(self, index: int, trouble: Trouble, what: str) -> None:
        if self._unanswered.pop(index, self) is self:
            return
        if math.isnan(self.log.lateness_s[index]):  # it never left: late until now
            self.log.send(index, self.elapsed_s)
        self.log.give_up(index, self.elapsed_s, trouble, what)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._next_at_s is None and not self._unanswered and not self._done.done():
            self._done.set_result(None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._expire()
            if self._on_progress is not None and self.elapsed_s >= self._progress_at_s:
                self._progress_at_s = self.elapsed_s + self.options.progress_every_s
                self._report_progress(self._on_progress)

    def _report_progress(self, on_progress: Callable[[LoadRun], None]) -> None:
        try:
            on_progress(self)
        except Exception as err:  # noqa: BLE001 - as with the check
            if not self._done.done():
                self._done.set_exception(err)

    def _expire(self) -> None:
        latest_s = self.elapsed_s - self.options.timeout_s
        while self._unanswered:
            index, connection = next(iter(self._unanswered.items()))
            if self.log.intended_at_s[index] > latest_s:
                return
            self._give_up(index, Trouble.TIMEOUT, f"no answer within {self.options.timeout_s:g} s")
            if connection is not None:
                connection.abort()


def _maker(target: Target, bodies: Bodies) -> Callable[[int], bytes]:
    if callable(bodies):
        return lambda index: target.request(bodies(index))
    requests = [target.request(body) for body in bodies]
    count = len(requests)
    return lambda index: requests[index % count]

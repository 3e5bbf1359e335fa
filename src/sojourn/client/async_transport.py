"""Requests over asyncio: connections are kept and reused, a cancelled call closes its connection."""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import Final

from sojourn.client.conversation import Answer, Broken, Conversation
from sojourn.client.endpoint import Endpoint
from sojourn.client.wording import expired, lost, no_room, unreachable
from sojourn.errors import ConfigurationError, UnusableAnswerError

_WRITE_BYTES: Final = 64 * 1024


class AsyncTransport:
    """Connections to one endpoint, shared by the tasks of one event loop.

    Args:
        endpoint: Where to.
        tls: How certificates are judged; None without TLS.
        connections: Most at once; who finds none waits for one, within its deadline.
        connect_timeout_s: Longest wait for a connection to be made, in seconds, > 0.
        idle_s: How long a connection may be unused and still be used again, in seconds, > 0.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        tls: ssl.SSLContext | None,
        *,
        connections: int,
        connect_timeout_s: float,
        idle_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._connect_timeout_s = connect_timeout_s
        self._idle_s = idle_s
        self._clock = clock
        self._connections = connections
        self._room = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []  # the last one used is the first one taken
        self._is_closed = False

    async def exchange(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes, deadline_at_s: float
    ) -> Answer:
        """Send one request and read its answer.

        Raises:
            ConnectionFailedError: It was not sent in full, so that it did not run.
            ConnectionLostError: It was, and the connection broke.
            ExpiredError: The deadline passed.
            UnusableAnswerError: What came back is not HTTP.
        """
        try:
            async with asyncio.timeout(deadline_at_s - self._clock()):
                await self._room.acquire()
        except TimeoutError as error:
            raise no_room(self._endpoint, self._connections) from error
        try:
            connection = await self._connection(deadline_at_s)
            try:
                async with asyncio.timeout(deadline_at_s - self._clock()):
                    answer = await connection.exchange(method, target, headers, body)
            except TimeoutError as error:
                raise expired(self._endpoint, is_sent=connection.is_sent) from error
            finally:
                self._give_back(connection)
            return answer
        finally:
            self._room.release()

    def close(self) -> None:
        """Close the connections that are not in use; the others are closed when they are given back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    async def _connection(self, deadline_at_s: float) -> _Connection:
        if self._is_closed:
            raise ConfigurationError("this client is closed; make another one")
        while self._idle:
            connection = self._idle.pop()
            if self._clock() - connection.used_at_s < self._idle_s and connection.is_reusable and connection.is_quiet():
                return connection
            connection.close()
        within_s = min(self._connect_timeout_s, deadline_at_s - self._clock())
        try:
            async with asyncio.timeout(within_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self._endpoint),
                    self._endpoint.host,
                    self._endpoint.port,
                    ssl=self._tls,
                    server_hostname=self._endpoint.host if self._tls else None,
                )
        except OSError as error:  # TimeoutError and ssl.SSLError are such
            raise unreachable(self._endpoint, error, within_s) from error
        return connection

    def _give_back(self, connection: _Connection) -> None:
        connection.used_at_s = self._clock()
        if connection.is_reusable and not self._is_closed:
            self._idle.append(connection)
        else:
            connection.close()


class _Connection(asyncio.Protocol):
    """A transport and what has been said over it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._talk = Conversation(str(endpoint))
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._is_over = False
        self._poll: select.poll | None = None
        self.used_at_s = 0.0

    @property
    def is_reusable(self) -> bool:
        return not self._is_over and self._answer is None and self.is_sent and self._talk.is_reusable

    def is_quiet(self) -> bool:
        """Whether nothing came that the loop has not read yet: the server would only have ended it."""
        return self._poll is not None and not self._poll.poll(0)

    @property
    def is_sent(self) -> bool:
        """Whether all of the request was handed to the system."""
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    async def exchange(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
        if self._is_over or self._transport is None:
            raise lost(self._endpoint, Broken("closed by the server"), is_sent=False)
        head = self._talk.begin(method, target, headers, body)
        self._answer = asyncio.get_running_loop().create_future()
        if len(body) < _WRITE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        answer = await self._answer
        self._answer = None  # a call that was cancelled or failed leaves it there: its connection is not used again
        return answer

    def close(self) -> None:
        """At once: nothing that is still in the buffer is to be sent."""
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked
            self._is_over = True
            return
        if self._answer.done():
            self._is_over = True  # more than the answer; the connection is not used again
            return
        try:
            answer = self._talk.receive(data)
        except (Broken, UnusableAnswerError) as error:
            self._fail(error)
        else:
            if answer is not None:
                self._answer.set_result(answer)

    def eof_received(self) -> bool:
        self._end(Broken("closed by the server before it answered"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or Broken("closed"))

    def _end(self, error: Exception) -> None:
        is_sent = self.is_sent
        self._is_over = True
        if self._answer is None or self._answer.done():
            return
        try:
            answer = self._talk.receive(b"")  # an answer without a length ends with its connection
        except (Broken, UnusableAnswerError) as broken:
            self._fail(error if isinstance(error, OSError) else broken, is_sent=is_sent)
        else:
            if answer is not None:
                self._answer.set_result(answer)
            else:
                self._fail(error, is_sent=is_sent)

    def _fail(self, error: Exception, *, is_sent: bool | None = None) -> None:
        self._is_over = True
        assert self._answer is not None
        if not isinstance(error, UnusableAnswerError):
            told = lost(self._endpoint, error, is_sent=self.is_sent if is_sent is None else is_sent)
            told.__cause__ = error
            error = told
        self._answer.set_exception(error)

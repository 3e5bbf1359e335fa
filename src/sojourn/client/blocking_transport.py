"""Requests over blocking sockets: connections are kept and reused, nothing waits past its deadline."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Final

from sojourn.client.conversation import Answer, Broken, Conversation
from sojourn.client.endpoint import Endpoint
from sojourn.client.wording import expired, lost, no_room, unreachable
from sojourn.errors import ConfigurationError

_RECEIVE_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 256 * 1024
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


class BlockingTransport:
    """Connections to one endpoint, shared by any number of threads.

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
        self._room = threading.BoundedSemaphore(connections)
        self._connections = connections
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []  # the last one used is the first one taken
        self._is_closed = False

    def exchange(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes, deadline_at_s: float
    ) -> Answer:
        """Send one request and read its answer.

        Raises:
            ConnectionFailedError: It was not sent in full, so that it did not run.
            ConnectionLostError: It was, and the connection broke.
            ExpiredError: The deadline passed.
            UnusableAnswerError: What came back is not HTTP.
        """
        left_s = deadline_at_s - self._clock()
        if left_s <= 0 or not self._room.acquire(timeout=left_s):
            raise no_room(self._endpoint, self._connections)
        try:
            connection = self._connection(deadline_at_s)
            try:
                answer = connection.exchange(method, target, headers, body, deadline_at_s)
            except BaseException:
                connection.close()
                raise
            self._give_back(connection)
            return answer
        finally:
            self._room.release()

    def close(self) -> None:
        """Close the connections that are not in use; the others are closed when they are given back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _connection(self, deadline_at_s: float) -> _Connection:
        while True:
            with self._lock:
                if self._is_closed:
                    raise ConfigurationError("this client is closed; make another one")
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connected(deadline_at_s)
            if self._clock() - connection.used_at_s < self._idle_s and connection.is_quiet():
                return connection
            connection.close()

    def _give_back(self, connection: _Connection) -> None:
        connection.used_at_s = self._clock()
        with self._lock:
            if connection.is_reusable and not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def _connected(self, deadline_at_s: float) -> _Connection:
        """A new connection, to the first of the host's addresses that takes it."""
        within_s = min(self._connect_timeout_s, deadline_at_s - self._clock())
        ends_at_s = self._clock() + within_s
        failure: OSError | None = None
        try:
            addresses = socket.getaddrinfo(self._endpoint.host, self._endpoint.port, type=socket.SOCK_STREAM)
            for family, kind, protocol, _, address in addresses:
                link = socket.socket(family, kind, protocol)
                try:
                    return self._made(link, address, ends_at_s)
                except OSError as error:  # TimeoutError and ssl.SSLError are such
                    link.close()
                    failure = error
                except BaseException:
                    link.close()
                    raise
        except OSError as error:  # its name is not known
            failure = error
        raise unreachable(self._endpoint, failure or TimeoutError(), within_s) from failure

    def _made(self, link: socket.socket, address: object, ends_at_s: float) -> _Connection:
        link.settimeout(_left(ends_at_s, self._clock))
        link.connect(address)  # type: ignore[arg-type]  # as getaddrinfo gives it
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            link.settimeout(_left(ends_at_s, self._clock))
            link = self._tls.wrap_socket(link, server_hostname=self._endpoint.host)
        return _Connection(link, self._endpoint, self._clock)


class _Connection:
    """A socket and what has been said over it."""

    def __init__(self, link: socket.socket, endpoint: Endpoint, clock: Callable[[], float]) -> None:
        self._socket = link
        self._endpoint = endpoint
        self._clock = clock
        self._talk = Conversation(str(endpoint))
        self._is_whole = True  # whether all of the last request was sent
        self.used_at_s = 0.0
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)

    @property
    def is_reusable(self) -> bool:
        return self._is_whole and self._talk.is_reusable

    def is_quiet(self) -> bool:
        """Whether nothing came while it was idle: the server would only have ended it."""
        return not self._poll.poll(0)

    def exchange(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes, deadline_at_s: float
    ) -> Answer:
        head = self._talk.begin(method, target, headers, body)
        self._is_whole = False
        try:
            self._is_whole = self._send(head + body if len(body) < _PIECE_BYTES else head, deadline_at_s) and (
                len(body) < _PIECE_BYTES or self._send(body, deadline_at_s)
            )
            return self._receive(deadline_at_s)
        except TimeoutError as error:
            raise expired(self._endpoint, is_sent=self._is_whole) from error
        except (Broken, OSError) as error:
            raise lost(self._endpoint, error, is_sent=self._is_whole) from error

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def _send(self, data: bytes, deadline_at_s: float) -> bool:
        """Send all of it; False if the server answers, or hangs up, before it has taken all."""
        view = memoryview(data)
        while view:
            self._socket.settimeout(_left(deadline_at_s, self._clock))
            try:
                sent = self._socket.send(view[:_PIECE_BYTES])
            except (BrokenPipeError, ConnectionResetError):
                return False  # its reason may be there to be read
            view = view[sent:]
            if view and self._answers_early(deadline_at_s):
                return False
        return True

    def _answers_early(self, deadline_at_s: float) -> bool:
        """Wait until more can be sent; True if there is something to read instead."""
        if isinstance(self._socket, ssl.SSLSocket):  # readable there may be a record that is none of ours
            return False
        self._poll.modify(self._socket, select.POLLIN | select.POLLOUT)
        try:
            events = self._poll.poll(_left(deadline_at_s, self._clock) * 1000)
        finally:
            self._poll.modify(self._socket, select.POLLIN)
        if not events:
            raise TimeoutError
        return bool(events[0][1] & _READABLE)

    def _receive(self, deadline_at_s: float) -> Answer:
        while True:
            self._socket.settimeout(_left(deadline_at_s, self._clock))
            answer = self._talk.receive(self._socket.recv(_RECEIVE_BYTES))
            if answer is not None:
                return answer


def _left(deadline_at_s: float, clock: Callable[[], float]) -> float:
    left_s = deadline_at_s - clock()
    if left_s <= 0:
        raise TimeoutError
    return left_s

"""A listener that speaks TLS, and knows how many connections have not yet agreed on a key.

`loop.create_server` hands a connection over once its handshake is done; until then nobody counts it. So this accepts
by itself, and bounds the number of handshakes as well as their time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from sojourn.errors import ConfigurationError

_log: Final = logging.getLogger(__name__)

# Connections accepted before others get their turn on the loop.
_ACCEPTED_AT_ONCE: Final = 64
# How long to accept nothing when the system has no descriptors or no memory for another connection.
_PAUSE_S: Final = 1.0
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class HandshakeBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What connections may take before they have shown that they speak TLS.

    Args:
        handshakes: Most at once, >= 1.
        handshake_s: Longest one, in seconds, > 0.
        patience_s: How long one is left alone, in seconds, > 0. Past the bound a newcomer takes the place of one that
            has been at it for longer, so that silent ones keep nobody out; where there is none, the newcomer is refused,
            so that a rush of honest ones is served one after the other.
        goodbye_s: How long a connection may take to be closed properly, in seconds, > 0.

    Raises:
        ConfigurationError: A value is out of range.
    """

    handshakes: int = 256
    handshake_s: float = 10.0
    patience_s: float = 1.0
    goodbye_s: float = 2.0

    def __post_init__(self) -> None:
        if self.handshakes < 1 or min(self.handshake_s, self.patience_s, self.goodbye_s) <= 0:
            raise ConfigurationError(f"bounds of TLS handshakes are out of range: {self}")


class TLSListener:
    """Accepts connections on listening sockets, and hands those over that complete a handshake.

    Call `start` on a running loop, then `close` and, to be sure that it is over, `wait_closed`.

    Args:
        sockets: Bound and listening; closed by `close`.
        make_protocol: Called once per connection; `connection_made` once its handshake is completed.
        context: What is shown to clients.
        bounds: How many handshakes, and how long.
        has_room: Whether a connection with this descriptor may be taken in; asked before its handshake.
        on_refused: Called for each connection that was refused, or had to give way to another.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        make_protocol: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext,
        bounds: HandshakeBounds,
        *,
        has_room: Callable[[int], bool] = lambda _: True,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self.sockets = tuple(sockets)
        self._make_protocol = make_protocol
        self._context = context
        self._bounds = bounds
        self._has_room = has_room
        self._on_refused = on_refused
        self._shaking: dict[asyncio.Task[bool], float] = {}  # since when, the longest first
        self._pauses: dict[int, asyncio.TimerHandle] = {}
        self._is_closed = False

    @property
    def handshakes(self) -> int:
        """Connections that have not completed theirs."""
        return len(self._shaking)

    def start(self) -> None:
        """Accept from now on."""
        self._loop = asyncio.get_running_loop()
        for listening in self.sockets:
            listening.setblocking(False)
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def close(self) -> None:
        """Accept no more, end handshakes under way, and free the ports; completed connections are not touched."""
        if self._is_closed:
            return
        self._is_closed = True
        for pause in self._pauses.values():
            pause.cancel()
        for listening in self.sockets:
            self._loop.remove_reader(listening.fileno())
            listening.close()
        for task in self._shaking:
            task.cancel()

    async def wait_closed(self) -> None:
        """Until the handshakes that were under way have ended."""
        if self._shaking:
            await asyncio.wait(tuple(self._shaking))

    def _accept(self, listening: socket.socket) -> None:
        """Take in who waits; called when somebody does."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                client, _address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as err:
                if err.errno not in _EXHAUSTED:
                    raise
                self._pause(listening)
                return
            client.setblocking(False)
            if self._makes_room(client.fileno()):
                task = self._loop.create_task(self._shake(client), name="tls handshake")
                self._shaking[task] = self._loop.time()
                task.add_done_callback(partial(self._shaken, client))
            else:
                self._on_refused()
                client.close()

    def _makes_room(self, descriptor: int) -> bool:
        """Whether there is room for one more, if need be in place of one that has taken too long."""
        if not self._has_room(descriptor):
            return False
        if len(self._shaking) < self._bounds.handshakes:
            return True
        slowest, since_s = next(iter(self._shaking.items()))
        if self._loop.time() - since_s < self._bounds.patience_s:
            return False
        del self._shaking[slowest]
        slowest.cancel()
        self._on_refused()
        return True

    async def _shake(self, client: socket.socket) -> bool:
        """Whether it ended well, so that the connection belongs to its protocol."""
        bounds = self._bounds
        try:
            await self._loop.connect_accepted_socket(
                self._make_protocol,
                client,
                ssl=self._context,
                ssl_handshake_timeout=bounds.handshake_s,
                ssl_shutdown_timeout=bounds.goodbye_s,
            )
        except OSError:  # no TLS, an old version, too slow, or gone: there is nobody to be told
            return False
        except Exception:  # noqa: BLE001 - whatever broke, only this client is cut off
            _log.exception("tls.handshake_failed")
            return False
        return True

    def _shaken(self, client: socket.socket, task: asyncio.Task[bool]) -> None:
        self._shaking.pop(task, None)
        if task.cancelled() or not task.result():  # it may have been cancelled before it began
            client.close()

    def _pause(self, listening: socket.socket) -> None:
        """The system has nothing left for another connection: those who wait stay in its queue for a while."""
        descriptor = listening.fileno()
        self._loop.remove_reader(descriptor)
        self._pauses[descriptor] = self._loop.call_later(_PAUSE_S, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        del self._pauses[listening.fileno()]
        self._loop.add_reader(listening.fileno(), self._accept, listening)


async def listening_sockets(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Bound and listening, one for each address a host name stands for.

    Raises:
        OSError: The name cannot be resolved, or an address not be bound.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    with contextlib.ExitStack() as unless_done:
        opened = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listening = unless_done.enter_context(socket.socket(family, kind, protocol))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # the other half is an address of its own
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
            listening.listen(backlog)
            opened.append(listening)
        unless_done.pop_all()
    return opened

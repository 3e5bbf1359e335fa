"""The listener of the inference port: starts, sweeps deadlines, drains and closes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final

from sojourn.access.key_ring import KeyRing
from sojourn.access.tls_listener import HandshakeBounds, TLSListener, listening_sockets
from sojourn.errors import StartError
from sojourn.gateway.connection import Connection
from sojourn.gateway.context import Context
from sojourn.gateway.descriptors import Room
from sojourn.gateway.limits import Limits
from sojourn.gateway.routes import Routes

_log: Final = logging.getLogger(__name__)
_BACKLOG: Final = 4096
_PORT_MAX: Final = 65535
# Connections looked at before others get their turn on the loop.
_SWEEP_SLICE: Final = 512
# Time for the last refusals to leave this process before connections are cut off.
_FAREWELL_S: Final = 0.25


class Gateway:
    """The inference port of a server.

    Args:
        routes: Which function answers which URL; may change while the gateway runs.
        limits: What clients may ask for.
        is_ready: Whether `GET /readyz` answers 200.
        clock: Monotonic seconds; tests pass their own and call `sweep`.
        keys: Who may call what; without it, everybody may call everything.
        tls: What is shown to clients of https; None speaks plain http.
    """

    def __init__(
        self,
        routes: Routes,
        limits: Limits | None = None,
        is_ready: Callable[[], bool] = lambda: True,
        *,
        clock: Callable[[], float] = time.monotonic,
        keys: KeyRing | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._context = Context(routes, limits or Limits(), is_ready, clock, keys=keys)
        self._tls = tls
        self._server: asyncio.Server | TLSListener | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._to_sweep: list[Connection] = []

    @property
    def connections(self) -> int:
        """Open connections, those being closed included."""
        return len(self._context.connections)

    @property
    def handshakes(self) -> int:
        """Connections that have not completed their TLS handshake, and are none of the open ones yet."""
        return self._server.handshakes if isinstance(self._server, TLSListener) else 0

    @property
    def held_bytes(self) -> int:
        """Bodies that are arriving, and larger ones whose requests have no answer yet."""
        return self._context.held_bytes

    @property
    def refused(self) -> dict[str, int]:
        """How many requests and connections the gateway itself refused, by code."""
        return dict(self._context.refused)

    async def start(self, host: str = "127.0.0.1", port: int = 8080) -> tuple[str, int]:
        """Listen; returns the address bound, where port 0 has become a real one.

        Raises:
            StartError: The address cannot be listened on; the text says why and what to do.
        """
        loop = asyncio.get_running_loop()
        if not 0 <= port <= _PORT_MAX:  # libuv would silently take the number modulo 65536
            raise StartError(f"{_where(host, port)}: a port is a number from 0 to 65535; choose another with --port")
        try:
            self._server = await self._listen(host, port)
        except (OSError, UnicodeError) as error:
            raise StartError(_cause(error, host, port)) from error
        self._timer = loop.call_later(self._context.limits.sweep_s, self._sweep_slice)
        address = self._server.sockets[0].getsockname()
        return address[0], address[1]

    async def _listen(self, host: str, port: int) -> asyncio.Server | TLSListener:
        """Accept connections from now on; a TLS handshake may take as long as the headers of a request."""
        context = self._context
        if self._tls is None:
            loop = asyncio.get_running_loop()
            return await loop.create_server(lambda: Connection(context), host, port, backlog=_BACKLOG)
        limits = context.limits
        listener = TLSListener(
            await listening_sockets(host, port, _BACKLOG),
            lambda: Connection(context),
            self._tls,
            HandshakeBounds(
                handshakes=limits.handshakes, handshake_s=limits.receipt_headers_s, goodbye_s=limits.linger_s
            ),
            has_room=lambda descriptor: context.descriptors.room_after(descriptor) is not Room.NONE,
            on_refused=lambda: context.refused.update(("too_many_handshakes",)),
        )
        listener.start()
        return listener

    def begin_drain(self) -> None:
        """Take no new connections, close idle ones, and let the others end with their next answer."""
        self._context.is_draining = True
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._context.connections):
            connection.close_if_idle_in_drain()

    async def close(self, linger_s: float = 0.0) -> None:
        """Drain, wait up to `linger_s` seconds for answers still due, then tell whoever is left and cut it off."""
        self.begin_drain()
        context = self._context
        if isinstance(self._server, TLSListener):
            await self._server.wait_closed()
        if context.connections and linger_s > 0:
            context.emptied = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(context.emptied.wait(), linger_s)
        for connection in tuple(context.connections):
            connection.dismiss()
        if context.connections:
            context.emptied = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(context.emptied.wait(), _FAREWELL_S)
        for connection in tuple(context.connections):
            connection.abort()
        if context.connections:
            context.emptied = asyncio.Event()
            await context.emptied.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def sweep(self) -> None:
        """Look at the deadlines of all connections and keys, now."""
        self._context.door.keys.notice_expiry()
        now_s = self._context.clock()
        for connection in tuple(self._context.connections):
            _look_at(connection, now_s)

    def _sweep_slice(self) -> None:
        """Sweep some connections, and come back for the others at once or for all of them later."""
        if not self._to_sweep:
            self._context.tell_time()
            self._context.door.keys.notice_expiry()
            self._to_sweep = list(self._context.connections)
        now_s, to_sweep = self._context.clock(), self._to_sweep
        for connection in to_sweep[-_SWEEP_SLICE:]:
            _look_at(connection, now_s)
        del to_sweep[-_SWEEP_SLICE:]
        pause_s = 0.0 if to_sweep else self._context.limits.sweep_s
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._sweep_slice)


def _look_at(connection: Connection, now_s: float) -> None:
    if connection.expires_at_s <= now_s:
        try:
            connection.expire(now_s)
        except Exception:  # noqa: BLE001 - the sweep must reach the other connections
            _log.exception("gateway.sweep_failed")
            connection.abort()


def _where(host: str, port: int) -> str:
    return f"the inference port cannot listen on {host}:{port}"


def _cause(error: OSError | UnicodeError, host: str, port: int) -> str:
    """Why an address could not be listened on, and what to do."""
    where = _where(host, port)
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"{where}: the port is in use; stop the other server or choose another port with --port"
    if code == errno.EACCES:
        return f"{where}: ports below 1024 need privileges; choose a port of 1024 or above with --port"
    if code == errno.EADDRNOTAVAIL:
        return f"{where}: no interface of this machine has that address; use 127.0.0.1 or 0.0.0.0 with --host"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"{where}: the host name cannot be resolved ({error}); use 127.0.0.1 or 0.0.0.0 with --host"
    return f"{where}: {os.strerror(code) if code else error}; choose another address with --host and --port"

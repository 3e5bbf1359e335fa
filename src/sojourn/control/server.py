"""The admin port: Starlette on uvicorn, on the server's own loop and under its signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import uvicorn

from sojourn.access.key_ring import KeyRing
from sojourn.access.key_store import PassingKeys
from sojourn.access.tls_listener import HandshakeBounds, TLSListener
from sojourn.control.app import AdminRoutes, application
from sojourn.control.connection import ConnectionBounds, bounded_protocol
from sojourn.control.endpoint import EndpointTable
from sojourn.control.event_stream import HEARTBEAT_S, EventStreams
from sojourn.control.guard import Guard, HostRule
from sojourn.control.key_check import KeyCheck
from sojourn.control.ports import Deployments, Insight, Operations, Overview
from sojourn.errors import StartError
from sojourn.telemetry.events import PlatformEvents

ProtocolFactory = Callable[[], asyncio.Protocol]
KEEP_ALIVE_S = 15
CLOSE_S = 2


class _Server(uvicorn.Server):
    """uvicorn as a guest on a loop that is not its own."""

    def __init__(
        self, config: uvicorn.Config, secured: Callable[[socket.socket, ProtocolFactory], TLSListener] | None
    ) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()
        self._secured = secured
        self._is_told_to_exit = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to `sojourn serve`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell who waits for it."""
        if self._secured is None:
            await super().startup(sockets=sockets)
        else:
            await super().startup(sockets=[])
            for bound in sockets or ():
                listener = self._secured(bound, self._protocol)
                listener.start()
                self.servers.append(cast("asyncio.base_events.Server", listener))
        self.is_up.set()

    def _protocol(self) -> asyncio.Protocol:
        """What uvicorn itself makes of a connection."""
        make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def main_loop(self) -> None:
        """Wait to be told, instead of looking ten times a second."""
        await self._is_told_to_exit.wait()

    def exit(self) -> None:
        """Begin to close."""
        self.should_exit = True
        self._is_told_to_exit.set()


class AdminServer:
    """Serves health, metrics, events and the API.

    Call `start`, later `close`; both on the same loop.

    Args:
        overview: What the server is doing.
        operations: What may be asked of it.
        insight: Answers about objectives and requests.
        deployments: What is deployed, and its changes.
        events: What happened; its log is where failures of the admin port itself are told.
        allowed_hosts: Host names answered besides loopback and the bound host.
        bounds: What one client may take.
        refusals: Counts of what the gateway refused by itself, by code.
        heartbeat_s: Longest silence on an event stream, in seconds, > 0 and less than the bounds' `answer_s`.
        keys: Who may do what; without it, everybody may do everything until a key is made here.
        tls: What is shown to clients of https; None speaks plain http.
    """

    def __init__(
        self,
        overview: Overview,
        operations: Operations,
        insight: Insight,
        deployments: Deployments,
        events: PlatformEvents,
        allowed_hosts: Iterable[str] = (),
        bounds: ConnectionBounds | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        refusals: Callable[[], Mapping[str, int]] = dict,
        keys: KeyRing | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._refusals = refusals
        self._handshakes_refused = 0
        self._keys = keys or KeyRing(PassingKeys())
        self._tls = tls
        self.table: EndpointTable | None = None  # once it has started
        self._events = events
        self._overview = overview
        self._operations = operations
        self._insight = insight
        self._deployments = deployments
        self._event_log = events.log
        self._streams = EventStreams(events.ring, heartbeat_s)
        self._keys.listeners.append(self._streams.recheck)
        self._allowed_hosts = tuple(allowed_hosts)
        self._bounds = bounds or ConnectionBounds()
        self._executor: ThreadPoolExecutor | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Bind and serve; returns the host and the port really bound.

        Args:
            host: Name or address to bind to.
            port: Port, or 0 for any free one.

        Raises:
            StartError: The address cannot be bound; the message says why and what to do.
        """
        self._executor = ThreadPoolExecutor(1, "admin-render")
        self.table = table = AdminRoutes(
            self._overview,
            self._operations,
            self._insight,
            self._deployments,
            self._streams,
            self._executor,
            self._keys,
            self._events,
            self._all_refusals,
        ).table()
        bound = _bind(host, port)
        checked = KeyCheck(application(table), self._keys, table.open_paths)
        guard = Guard(checked, HostRule(host, self._allowed_hosts), self._event_log)
        config = uvicorn.Config(
            guard,
            http=bounded_protocol(self._bounds),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=CLOSE_S,
        )
        config.load()
        self._server = server = _Server(config, self._secured if self._tls is not None else None)
        self._serving = serving = asyncio.create_task(server.serve(sockets=[bound]), name="admin server")
        up = asyncio.create_task(server.is_up.wait(), name="admin server up")
        await asyncio.wait({serving, up}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            up.cancel()
            bound.close()
            self._executor.shutdown()
            cause = serving.exception()
            raise StartError(f"the admin port did not start: {cause}") from cause
        return host, int(bound.getsockname()[1])

    def _secured(self, bound: socket.socket, make_protocol: ProtocolFactory) -> TLSListener:
        """A listener that speaks TLS; whom it refuses is counted."""
        assert self._tls is not None, "asked for with a certificate"
        bounds = HandshakeBounds(handshakes=self._bounds.handshakes, handshake_s=self._bounds.request_s)
        return TLSListener([bound], make_protocol, self._tls, bounds, on_refused=self._count_handshake)

    def _count_handshake(self) -> None:
        self._handshakes_refused += 1

    def _all_refusals(self) -> dict[str, int]:
        """Those of the gateway, and our own."""
        own = {"admin_too_many_handshakes": self._handshakes_refused} if self._handshakes_refused else {}
        return {**self._refusals(), **own}

    async def close(self) -> None:
        """Answer what is being answered, end the event streams, close every connection and free the port."""
        self._streams.close()
        if self._server is not None and self._serving is not None:
            self._server.exit()
            await self._serving
            self._server = self._serving = None
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None


def _bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address, not yet listening."""
    fix = "choose another with --admin-host and --admin-port (SOJOURN_ADMIN_HOST, SOJOURN_ADMIN_PORT)"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as err:
        raise StartError(f"admin port: cannot resolve host {host!r} ({err.strerror or err}); {fix}") from err
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Bound is not enough: two sockets may both be bound with SO_REUSEADDR until one listens.
        bound.listen(128)
    except OSError as err:
        bound.close()
        if err.errno == errno.EADDRINUSE:
            raise StartError(
                f"admin port: {host}:{port} is in use by another process; stop it, or choose another port "
                "with --admin-port (0 takes any free one)"
            ) from err
        raise StartError(f"admin port: cannot bind {host}:{port} ({err.strerror}); {fix}") from err
    bound.setblocking(False)
    return bound

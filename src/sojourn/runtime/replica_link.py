"""The server's side of the replica protocol: who dials in, what they say, what they are sent."""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from sojourn.errors import ProtocolError
from sojourn.wire.frame import MAX_FRAME_BYTES, FrameReader, encode
from sojourn.wire.message import PROTOCOL_VERSION, Hello, Message, Run

_HELLO_WITHIN_S = 10.0
_STRANGERS_MAX = 256  # connections that have not said hello yet
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: what SO_PEERCRED answers


class LinkOwner(Protocol):
    """Who is told of replicas that dial in; all calls come on the loop."""

    def token_of(self, replica_id: int) -> str | None:
        """The one-time token of a replica that may dial in now, or None."""

    def link_opened(self, link: ReplicaLink) -> None:
        """A replica said hello and was let in."""

    def link_message(self, link: ReplicaLink, message: Message) -> None:
        """A replica said something."""

    def link_closed(self, link: ReplicaLink, cause: str) -> None:
        """The connection of a replica that was let in is gone."""


class ReplicaLink(asyncio.Protocol):
    """One connection from a replica.

    Args:
        owner: Told of everything that happens.
        strangers: Connections that have not said hello yet, shared by the listener.
        max_frame_bytes: Longest frame accepted, in bytes.
    """

    def __init__(self, owner: LinkOwner, strangers: set[ReplicaLink], max_frame_bytes: int) -> None:
        self.replica_id = 0
        self.pid = 0
        self._owner = owner
        self._strangers = strangers
        self._reader = FrameReader(max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._hello_timer: asyncio.TimerHandle | None = None
        self._cause = "the connection closed"
        self._socket: socket.socket | None = None  # ours to close, so that no other connection can get its number
        self.write: Callable[[bytes | memoryview], None] = _drop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody dialled in: only our own user, and not too many at once."""
        self._transport = cast("asyncio.Transport", transport)
        if len(self._strangers) >= _STRANGERS_MAX or not _is_own_user(transport.get_extra_info("socket")):
            self._transport.abort()
            return
        self._strangers.add(self)
        self._hello_timer = asyncio.get_running_loop().call_later(_HELLO_WITHIN_S, self._transport.abort)
        self.write = self._transport.write

    def data_received(self, data: bytes) -> None:
        """Frames, or the part of one."""
        try:
            for message in self._reader.feed(data):
                if self.replica_id:
                    self._owner.link_message(self, message)
                else:
                    self._greet(message)
        except ProtocolError as error:
            self.drop(f"it broke the protocol: {error}")

    def _greet(self, message: Message) -> None:
        if not isinstance(message, Hello):
            raise ProtocolError(f"the first message must be Hello, not {type(message).__name__}")
        if message.version != PROTOCOL_VERSION:
            raise ProtocolError(f"protocol version {message.version}; this server speaks {PROTOCOL_VERSION}")
        token = self._owner.token_of(message.replica_id)
        if token is None or not hmac.compare_digest(token.encode(), message.token.encode()):
            raise ProtocolError("no replica with this number and token is expected")
        self._strangers.discard(self)
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self.replica_id = message.replica_id
        self.pid = message.pid
        assert self._transport is not None, "there was a message"
        fileno = self._transport.get_extra_info("socket").fileno()
        self._socket = socket.fromfd(fileno, socket.AF_UNIX, socket.SOCK_STREAM)
        self._owner.link_opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The replica is gone, or we dropped it."""
        self._strangers.discard(self)
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.write = _drop
        if self.replica_id:
            self._owner.link_closed(self, f"{self._cause} ({exc})" if exc else self._cause)

    def run(self, batch_id: int, bodies: list[bytes], kinds: bytes) -> None:
        """Send one model call, now.

        What is written to a transport leaves at the end of the loop's turn, and until then the answers of the batch before
        are written: a model would wait for them.
        """
        data: bytes | memoryview = encode(Run(batch_id, bodies, kinds))
        if self._socket is not None and self._transport is not None and not self._transport.get_write_buffer_size():
            try:
                sent = self._socket.send(data, socket.MSG_DONTWAIT)
            except OSError:  # full, or broken: the transport waits, or tells that the link is gone
                sent = 0
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        self.write(data)

    def send(self, message: Message) -> None:
        """Send any message."""
        self.write(encode(message))

    def drop(self, cause: str) -> None:
        """Close the connection at once; `cause` is told with `link_closed`."""
        self._cause = cause
        if self._transport is not None:
            self._transport.abort()


class ReplicaListener:
    """Listens for replicas on a Unix socket that only our own user can reach.

    Args:
        owner: Told of replicas that dial in.
        path: Where to bind; its directory must be private (0700) and belong to this server alone.
        max_frame_bytes: Longest frame accepted from a replica, in bytes.
    """

    def __init__(self, owner: LinkOwner, path: str, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self.path = path
        self._owner = owner
        self._max_frame_bytes = max_frame_bytes
        self._strangers: set[ReplicaLink] = set()
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Bind and listen; a stale socket file of a server that was killed is replaced."""
        _remove(self.path)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: ReplicaLink(self._owner, self._strangers, self._max_frame_bytes), self.path
        )

    async def close(self) -> None:
        """Stop listening and remove the socket file; open links are their owner's to close."""
        if self._server is None:
            return
        self._server.close()
        for link in list(self._strangers):
            link.drop("the server is closing")
        _remove(self.path)


def _drop(data: bytes | memoryview) -> None:
    """A closed link swallows what is written to it; its owner is told by `link_closed`."""


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _is_own_user(sock: socket.socket) -> bool:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(credentials)[1]
    return uid == os.geteuid()

"""Messages between the server and a replica, as plain data.

A replica dials in, says `Hello`, loads its model and says `Ready` (or `Fatal`). Then each `Run` is
answered by one `Done`. Stamps are monotonic seconds of the replica's host, comparable with the
server's own because both run on one machine.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

PROTOCOL_VERSION = 1


class ContentKind(IntEnum):
    """How a body is encoded."""

    JSON = 0
    MSGPACK = 1
    BYTES = 2


class Hello(msgspec.Struct, array_like=True, frozen=True):
    """First frame of a replica: who it is and that it may dial in (`token` is secret, one use)."""

    version: int
    token: str
    replica_id: int
    pid: int


class Ready(msgspec.Struct, array_like=True, frozen=True):
    """The model is loaded. Phases of the cold start inside the replica, in seconds."""

    import_s: float
    load_s: float
    warmup_s: float


class Fatal(msgspec.Struct, array_like=True, frozen=True):
    """The replica cannot serve and is about to exit: one line for callers, a traceback for logs."""

    cause: str
    traceback: str


class Run(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One model call. `kinds` holds one `ContentKind` byte per item; empty means all JSON."""

    batch_id: int
    bodies: list[bytes]
    kinds: bytes = b""


class ItemFault(msgspec.Struct, array_like=True, frozen=True):
    """An item that was not served: its place, the `Fault` code, HTTP status (0: the code's own), text."""

    position: int
    code: str
    status: int
    message: str


class Done(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The answers of a batch, one body per item in the order of `Run` (empty where it failed)."""

    batch_id: int
    received_at_s: float
    decoded_at_s: float
    called_at_s: float
    encoded_at_s: float
    bodies: list[bytes]
    kinds: bytes = b""
    faults: list[ItemFault] = []


class Cancel(msgspec.Struct, array_like=True, frozen=True):
    """Nobody waits for this batch any more; its `Done` still comes, with `client_gone` if it was stopped."""

    batch_id: int


class Drain(msgspec.Struct, array_like=True, frozen=True):
    """Finish what you have, call `close`, exit 0."""


class Ping(msgspec.Struct, array_like=True, frozen=True):
    """Are you there? Answered by the same message."""

    number: int


Message = Hello | Ready | Fatal | Run | Done | Cancel | Drain | Ping

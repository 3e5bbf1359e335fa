"""What a client may ask of the inference port: every bound in one frozen object."""

from __future__ import annotations

import math

import msgspec

from sojourn.errors import ConfigurationError

KIB = 1024
MIB = 1024 * KIB

# The least value of each setting that may not be zero; all others only have to be positive numbers.
_COUNTS = (
    "header_bytes",
    "header_count",
    "uri_bytes",
    "body_bytes",
    "inflight_body_bytes",
    "connections",
    "handshakes",
    "pipelined",
    "small_chunks",
    "receipt_body_bytes_per_s",
    "write_buffer_bytes",
)
_DURATIONS = ("receipt_headers_s", "receipt_body_s", "http_keep_alive_s", "linger_s", "write_stall_s", "sweep_s")


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the inference port. A refusal caused by one of them names it.

    Args:
        header_bytes: All header fields of a request, names, values and separators; past it 431.
        header_count: Header fields of a request; past it 431.
        uri_bytes: The request target; past it 414.
        body_bytes: A request's body; past it 413.
        inflight_body_bytes: Bodies of all connections together, arriving or waiting for their answer; past it 503.
            At least `body_bytes`.
        connections: Open connections; one more is answered 503 and closed.
        handshakes: Connections before the end of their TLS handshake, which may take `receipt_headers_s`; one more is
            closed, or takes the place of one that has been at it for more than a second.
        pipelined: Requests of one connection that wait for their answer; one more is answered 429 and closed.
        small_chunks: Chunks of a chunked body that may be shorter than 64 bytes on average; past it 400.
        receipt_headers_s: From the first byte of a request to the end of its headers, in seconds; past it 408.
        receipt_body_s: From the end of the headers to the end of the body, in seconds; past it 408.
            Each `receipt_body_bytes_per_s` bytes that did arrive earn the sender one more second.
        receipt_body_bytes_per_s: The slowest sender of a large body, or reader of a large answer, that is waited
            for, in bytes per second.
        http_keep_alive_s: How long a connection may be idle, in seconds; then it is closed.
        drain_bytes: Unread body that is read and dropped after an early refusal to keep the connection; 0 keeps none.
        linger_s: How long a half-closed connection is kept so that its client can read the answer, in seconds.
        write_buffer_bytes: Answers buffered for a client that does not read; past it we stop reading from it.
        write_stall_s: How long a client may leave that buffer full, in seconds; then it is cut off. Each
            `receipt_body_bytes_per_s` bytes that it did take earn it one more second.
        sweep_s: How often deadlines are looked at, in seconds: how late each of the above may be.

    Raises:
        ConfigurationError: All settings out of range, in one message.
    """

    header_bytes: int = 16 * KIB
    header_count: int = 100
    uri_bytes: int = 8 * KIB
    body_bytes: int = 64 * MIB
    inflight_body_bytes: int = 512 * MIB
    connections: int = 10_000
    handshakes: int = 256
    pipelined: int = 16
    small_chunks: int = 4096
    receipt_headers_s: float = 10.0
    receipt_body_s: float = 30.0
    receipt_body_bytes_per_s: int = 64 * KIB
    http_keep_alive_s: float = 75.0
    drain_bytes: int = 64 * KIB
    linger_s: float = 2.0
    write_buffer_bytes: int = 256 * KIB
    write_stall_s: float = 30.0
    sweep_s: float = 1.0

    def __post_init__(self) -> None:
        faults = [
            f"{name} must be at least 1, not {getattr(self, name)!r}" for name in _COUNTS if getattr(self, name) < 1
        ]
        faults += [
            f"{name} must be a positive number of seconds, not {getattr(self, name)!r}"
            for name in _DURATIONS
            if not 0 < getattr(self, name) < math.inf
        ]
        if self.drain_bytes < 0:
            faults.append(f"drain_bytes must be 0 or more, not {self.drain_bytes!r}")
        if self.inflight_body_bytes < self.body_bytes:
            faults.append(
                f"inflight_body_bytes must be at least body_bytes ({self.body_bytes}), not {self.inflight_body_bytes!r}: "
                "a body of the largest size could never be taken"
            )
        if faults:
            raise ConfigurationError("limits of the inference port: " + "; ".join(faults))

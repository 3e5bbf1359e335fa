"""The settings of a server: one table says what each is, what it may be and where it can be set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from sojourn.config.quantities import (
    Reader,
    read_count,
    read_duration_s,
    read_names,
    read_number,
    read_size,
    read_switch,
    read_text,
)
from sojourn.domain.objective import SLO

KIB = 1024
MIB = 1024**2
GIB = 1024**3
DEFAULT_PORT = 8080
DEFAULT_ADMIN_PORT = 8081


class Setting(msgspec.Struct, frozen=True):
    """What one setting may be.

    Args:
        about: One line for `sojourn serve --help`.
        read: Turns a flag, an environment text or a TOML value into the value; raises ValueError.
        low: Smallest value, inclusive.
        high: Largest value, inclusive.
        choices: The only values, if they can be counted.
    """

    about: str
    read: Reader
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[str, ...] = ()

    def value_of(self, raw: Any) -> Any:
        """The checked value; raises ValueError with what is wrong."""
        value = self.read(raw)
        if self.choices and value not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}")
        if isinstance(value, int | float) and not self.low <= value <= self.high:
            bounds = f"in [{self.low:.12g}, {self.high:.12g}]" if self.high != float("inf") else f">= {self.low:.12g}"
            raise ValueError(f"must be {bounds}")
        return value


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one server, checked; `SETTINGS` tells what each one means.

    Sizes are in bytes, durations in seconds. `objectives` by function name are the `[slo]` table of the settings
    file; they take the place of those the functions declare.
    """

    state_dir: Path
    objectives: dict[str, SLO] = {}
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    admin_host: str = "127.0.0.1"
    admin_port: int = DEFAULT_ADMIN_PORT
    admin_hosts: tuple[str, ...] = ()
    allow_anonymous: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    queue_requests: int = 10_000
    queue_bytes: int = 256 * MIB
    connections: int = 10_000
    handshakes: int = 256
    pipelined: int = 16
    header_bytes: int = 16 * KIB
    header_count: int = 100
    uri_bytes: int = 8 * KIB
    body_bytes: int = 64 * MIB
    inflight_body_bytes: int = 512 * MIB
    small_chunks: int = 4096
    receipt_headers_s: float = 10.0
    receipt_body_s: float = 30.0
    receipt_body_bytes_per_s: int = 64 * KIB
    http_keep_alive_s: float = 75.0
    drain_bytes: int = 64 * KIB
    linger_s: float = 2.0
    write_buffer_bytes: int = 256 * KIB
    write_stall_s: float = 30.0
    cpus: float | None = None
    gpus: int | None = None
    memory: int | None = None
    fork_server_idle_s: float = 300.0
    replica_memory_limit: Literal["claim", "off"] = "claim"
    replica_memory_headroom: int = 512 * MIB
    replica_open_files: int = 4096
    replica_processes: int = 2048
    replica_file_bytes: int = 32 * GIB
    replica_landlock: Literal["auto", "always", "off"] = "auto"
    replica_log_bytes: int = 8 * MIB
    replica_log_files: int = 4
    drain_s: float = 30.0
    stall_s: float = 1.0
    journal_steps: int = 1024
    describe_timeout_s: float = 60.0


SETTINGS: dict[str, Setting] = {
    "host": Setting("Address of the inference port.", read_text),
    "port": Setting("Inference port; 0 takes any free one.", read_count, 0, 65_535),
    "admin_host": Setting("Address of the admin port.", read_text),
    "admin_port": Setting("Admin port; 0 takes any free one.", read_count, 0, 65_535),
    "admin_hosts": Setting("Further host names the admin port answers to, with commas.", read_names),
    "state_dir": Setting("Directory of what outlives the server.", read_text),
    "allow_anonymous": Setting(
        "Listen beyond loopback although there is no key: whoever reaches the address may do everything.", read_switch
    ),
    "tls_cert": Setting("PEM file of the certificate both ports show; with it they speak https only.", read_text),
    "tls_key": Setting("PEM file of its private key.", read_text),
    "log_format": Setting("Format of the event log on standard error.", read_text, choices=("text", "json")),
    "log_level": Setting(
        "Least level of events in that log.", read_text, choices=("debug", "info", "warning", "error")
    ),
    "queue_requests": Setting("Most requests waiting per function.", read_count, 1, 10_000_000),
    "queue_bytes": Setting("Most bytes of waiting requests per function.", read_size, KIB),
    "connections": Setting("Most open connections at the inference port.", read_count, 1, 1_000_000),
    "handshakes": Setting("Most unfinished TLS handshakes at the inference port.", read_count, 1, 100_000),
    "pipelined": Setting("Most unanswered requests per connection.", read_count, 1, 10_000),
    "header_bytes": Setting("Most bytes of all headers of a request.", read_size, 256, 16 * MIB),
    "header_count": Setting("Most headers of a request.", read_count, 1, 10_000),
    "uri_bytes": Setting("Most bytes of a request's target.", read_size, 64, MIB),
    # A body travels to its replica in one frame of at most 256 MiB (wire/frame.py).
    "body_bytes": Setting("Most bytes of a request's body.", read_size, 1, 240 * MIB),
    "inflight_body_bytes": Setting("Most bytes of all bodies arriving or waiting for an answer.", read_size, 1),
    "small_chunks": Setting("Most tiny chunks of a chunked body.", read_count, 1, 100_000_000),
    "receipt_headers_s": Setting("Time for the headers of a request to arrive.", read_duration_s, 0.01, 3600),
    "receipt_body_s": Setting("Time for the body of a request to arrive.", read_duration_s, 0.01, 86_400),
    "receipt_body_bytes_per_s": Setting("Bytes of a body that earn its sender one more second.", read_size, 1),
    "http_keep_alive_s": Setting("Time an idle connection is kept open.", read_duration_s, 0.01, 86_400),
    "drain_bytes": Setting("Unread body dropped after a refusal to keep the connection.", read_size, 0, 1024 * MIB),
    "linger_s": Setting("Time a half-closed connection is kept for its client to read.", read_duration_s, 0.01, 3600),
    "write_buffer_bytes": Setting("Answers buffered for a client that does not read.", read_size, 1, 1024 * MIB),
    "write_stall_s": Setting("Time a client may leave that buffer full.", read_duration_s, 0.01, 3600),
    "cpus": Setting("Cores all replicas share; by default what the machine has.", read_number, 0.1, 100_000),
    "gpus": Setting("Accelerators all replicas share; by default what is found.", read_count, 0, 10_000),
    "memory": Setting("Memory all replicas share; by default what the machine has.", read_size, MIB),
    "fork_server_idle_s": Setting(
        "How long a fork server stays when its function has no replicas; it holds what importing the code took.",
        read_duration_s,
        0.001,
        86_400,
    ),
    "replica_memory_limit": Setting(
        "Whether a replica may ask for no more memory than its function's `memory` and the headroom.",
        read_text,
        choices=("claim", "off"),
    ),
    "replica_memory_headroom": Setting("What a replica may ask for beyond the function's `memory`.", read_size, 0),
    "replica_open_files": Setting(
        "Most files and sockets a replica may have open; 0: as the server.", read_count, 0, 10_000_000
    ),
    "replica_processes": Setting(
        "Processes and threads that may be added to those of the server's user; 0: any number. Void for root.",
        read_count,
        0,
        10_000_000,
    ),
    "replica_file_bytes": Setting("Longest file a replica may write; 0: any length.", read_size, 0),
    "replica_landlock": Setting(
        "Whether replicas are kept from the state directory and from other processes: off, always, or (auto) not from "
        "the state directory where it lies below a place that a served file may want to write to.",
        read_text,
        choices=("auto", "always", "off"),
    ),
    "replica_log_bytes": Setting("Length at which a log file of what replicas print is rotated.", read_size, 4 * KIB),
    "replica_log_files": Setting("Log files kept per function, the one in use included; 0: none.", read_count, 0, 1000),
    "drain_s": Setting("Time for admitted requests to end when the server stops.", read_duration_s, 0, 86_400),
    "stall_s": Setting("Standstill of the event loop that is logged.", read_duration_s, 0.05, 3600),
    "journal_steps": Setting(
        "Steps kept per function for `sojourn journal`; each takes about half a kilobyte.", read_count, 1, 10_000_000
    ),
    "describe_timeout_s": Setting("Time to import the served file and describe it.", read_duration_s, 0.1, 3600),
}


def flag_of(name: str) -> str:
    """The command-line flag of a setting."""
    shown = name if name.endswith("_per_s") else name.removesuffix("_s")
    return "--" + shown.replace("_", "-")


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return "SOJOURN_" + name.upper()

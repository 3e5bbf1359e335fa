"""One request and its answer, on their way through a connection."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from sojourn.domain.request import Fault
from sojourn.domain.trace_context import TraceContext, read_traceparent
from sojourn.gateway.response import STATUS_OF_FAULT, Persistence, error_answer
from sojourn.gateway.routes import Service
from sojourn.wire.message import ContentKind

if TYPE_CHECKING:
    from sojourn.gateway.connection import Connection


class Exchange(msgspec.Struct, gc=False, eq=False):
    """The caller the runtime answers (`runtime.ports.Caller`); one exists per request in flight.

    `connection` is None once the exchange has been answered or its client is gone: whatever comes
    after that is dropped. `response` holds an answer that waits for those before it. `held_bytes` is
    what its body adds to the context's count until then.
    `trace` is its place in the client's trace; None if the client told none.
    """

    connection: Connection | None
    service: Service | None
    request_id: bytes | None
    persistence: int
    number: int = 0
    response: bytes | None = None
    is_last: bool = False
    held_bytes: int = 0
    trace: TraceContext | None = None

    def name(self) -> str:
        """The request id the client is told, or would be."""
        if self.request_id is None:
            if self.connection is None:
                return ""  # its client went away unnamed
            self.request_id = self.connection.context.request_ids.new()
        return self.request_id.decode("ascii")

    def outbox(self) -> Callable[[], bool] | None:
        """What tells whether the answer, once given, still waits to be sent; None if the client is gone."""
        connection = self.connection
        return None if connection is None else lambda: connection.has_unsent

    def answer(self, body: bytes, kind: ContentKind, timing: bytes) -> None:
        """Send the result; `timing` is the value of the Server-Timing header."""
        connection = self.connection
        if connection is None:
            return
        self.connection = None
        context = connection.context
        if self.held_bytes:
            context.held_bytes -= self.held_bytes
        persistence = connection.persistence_now(self.persistence) if context.is_draining else self.persistence
        request_id = self.request_id
        if request_id is None:
            self.request_id = request_id = context.request_ids.new()
        if self.trace is not None:
            timing += b"\r\ntraceparent: " + self.trace.traceparent
        head = context.answer_heads[persistence][kind] % (len(body), request_id, timing)
        connection.send(self, head, body, persistence == 0)

    def refuse(
        self, fault: Fault, message: str, status: int = 0, retry_after_s: float = 0.0, timing: bytes = b""
    ) -> None:
        """Send an error; `status` 0 takes the one that belongs to `fault`; `timing` as in `answer`, if not empty."""
        self.refuse_as(status or STATUS_OF_FAULT[fault], fault.value, message, retry_after_s, timing)

    def refuse_as(self, status: int, code: str, message: str, retry_after_s: float = 0.0, timing: bytes = b"") -> None:
        """Send an error with a code of the gateway's own."""
        connection = self.connection
        if connection is None:
            return
        self.connection = None
        context = connection.context
        context.held_bytes -= self.held_bytes
        persistence = connection.persistence_now(self.persistence) if context.is_draining else self.persistence
        request_id = self.request_id
        if request_id is None:
            self.request_id = request_id = context.request_ids.new()
        answer = error_answer(
            status, code, message, request_id,
            persistence=persistence, retry_after_s=retry_after_s, date=context.date_line,
            trace_parent=None if self.trace is None else self.trace.traceparent, timing=timing,
        )  # fmt: skip
        connection.send(self, answer, b"", persistence == Persistence.CLOSE)


def trace_of(trace_parent: bytes) -> TraceContext | None:
    """The trace a client's `traceparent` names, with a new span of ours; None if it cannot be read."""
    return read_traceparent(trace_parent, os.urandom(8).hex())

"""The caller of a request whose headers are here and whose body is not: it can only be refused."""

from __future__ import annotations

from collections.abc import Callable

from sojourn.domain.request import Fault
from sojourn.domain.trace_context import TraceContext
from sojourn.gateway.exchange import trace_of
from sojourn.gateway.refusal import Refusal
from sojourn.gateway.response import STATUS_OF_FAULT
from sojourn.wire.message import ContentKind


class Verdict:
    """Hears what the core says to an announced request.

    `refusal` is None if its body is wanted.

    Args:
        request_id: The name the client is told if it is refused.
        trace_parent: The client's `traceparent`, if it sent one.
    """

    __slots__ = ("_trace_parent", "refusal", "request_id")

    def __init__(self, request_id: bytes, trace_parent: bytes | None) -> None:
        self.request_id = request_id
        self.refusal: Refusal | None = None
        self._trace_parent = trace_parent

    @property
    def trace(self) -> TraceContext | None:
        """As of any caller; read when it is asked for, since most requests are not refused."""
        return None if self._trace_parent is None else trace_of(self._trace_parent)

    def name(self) -> str:
        """As of any caller."""
        return self.request_id.decode("ascii")

    def outbox(self) -> Callable[[], bool] | None:
        """There is no answer to wait for."""
        return None

    def answer(self, body: bytes, kind: ContentKind, timing: bytes) -> None:  # noqa: ARG002 - as any caller
        """Nothing has been run."""
        raise AssertionError("an announced request has no answer")

    def refuse(
        self,
        fault: Fault,
        message: str,
        status: int = 0,
        retry_after_s: float = 0.0,
        timing: bytes = b"",  # noqa: ARG002 - as any caller; there are no phases yet
    ) -> None:
        """The body is not wanted."""
        self.refusal = Refusal(
            status or STATUS_OF_FAULT[fault], fault.value, message, fault, retry_after_s=retry_after_s
        )

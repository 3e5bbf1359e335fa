"""W3C trace context: where a request stands in its caller's distributed trace."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

# Later versions may append fields, which are passed over; version ff is forbidden.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """A request's place in a trace; ids are lowercase hexadecimal digits.

    Args:
        trace_id: 32 digits, not all zero.
        parent_id: The caller's span, 16 digits.
        span_id: Our own span, 16 digits.
        flags: Two digits; the last bit says that the caller samples this trace.
    """

    trace_id: str
    parent_id: str
    span_id: str
    flags: str

    @property
    def traceparent(self) -> bytes:
        """The header value that names our span to others."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}".encode()


def read_traceparent(value: bytes, span_id: str) -> TraceContext | None:
    """The context of a `traceparent` header, with `span_id` as our own; None if the header is to be ignored.

    Source:
        W3C Trace Context, section 3.2: a value that cannot be read is as none.
    """
    found = _TRACEPARENT.fullmatch(value)
    if found is None or (found["version"] == b"00" and found["more"] is not None):
        return None
    trace_id, parent_id, flags = (found[name].decode("ascii") for name in ("trace", "parent", "flags"))
    return TraceContext(trace_id, parent_id, span_id, flags)


def own_ids(request_id: str) -> tuple[str, str]:
    """Trace and span id of a request whose client told none: always the same for the same request id."""
    digits = hashlib.blake2b(request_id.encode(), digest_size=24).hexdigest()
    return digits[:32], digits[32:]

"""The head of a request, read once: what is asked, in which form, or why it cannot be answered."""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec

from sojourn.domain.request import Fault, Priority
from sojourn.gateway.limits import Limits
from sojourn.gateway.refusal import (
    Refusal,
    body_too_large,
    expectation_failed,
    malformed,
    not_implemented,
    refusal_of,
    unknown_version,
)
from sojourn.wire.message import ContentKind

Headers = dict[bytes, bytes]

# Header fields that may come once only. Two of the first three would let a proxy in front of us and
# ourselves see different requests in the same bytes; two of the others cannot both be obeyed.
SINGLE: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"content-encoding",
        b"authorization",
        b"expect",
        b"x-priority",
        b"x-request-timeout-seconds",
    }
)

_KINDS: Final = {
    b"application/json": ContentKind.JSON,
    b"application/x-www-form-urlencoded": ContentKind.JSON,  # what `curl -d` says when nobody told it better
    b"application/msgpack": ContentKind.MSGPACK,
    b"application/x-msgpack": ContentKind.MSGPACK,
    b"application/octet-stream": ContentKind.BYTES,
}
_PRIORITIES: Final = {
    b"critical": Priority.CRITICAL,
    b"default": Priority.DEFAULT,
    b"best-effort": Priority.BEST_EFFORT,
}
_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_DECIMAL: Final = re.compile(rb"(?:[0-9]{1,15}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?")


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """What the headers of a call of a function say.

    `content_length` is -1 for a chunked body. `request_id` and `trace_parent` are the client's, or None. The
    timeout is the client's, in seconds, or None.
    """

    path: bytes
    kind: ContentKind
    priority: int
    client_timeout_s: float | None
    request_id: bytes | None
    persistence: int
    content_length: int
    expects_continue: bool
    trace_parent: bytes | None = None


def framing_fault(  # noqa: PLR0911 - one return for each way to refuse
    version: str, headers: Headers, *, repeated: bytes, asks_upgrade: bool
) -> Refusal | None:
    """Why a request cannot be told safely from what follows it, or None.

    What the parser itself refuses (bare LF, folded lines, control characters, a sign in
    Content-Length ...) never comes here.
    """
    if version not in {"1.0", "1.1"}:
        return unknown_version(f"HTTP/{version}")
    if repeated:
        return malformed(f"header {repeated.decode('latin-1')!r} came twice; send it once")
    if version == "1.1" and b"host" not in headers:
        return malformed("HTTP/1.1 requests must have a Host header")
    if asks_upgrade:
        return not_implemented("CONNECT and protocol upgrades are not offered; send plain HTTP/1.1")
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if b"content-length" in headers:
            return malformed("Content-Length and Transfer-Encoding came together; send one of them")
        if version == "1.0":
            return malformed("Transfer-Encoding does not exist in HTTP/1.0; send Content-Length")
        if coding.strip().lower() != b"chunked":
            return not_implemented("this Transfer-Encoding is not known; send 'chunked' or Content-Length")
    return None


def read_head(path: bytes, version: str, headers: Headers, persistence: int, limits: Limits) -> RequestHead | Refusal:
    """Read the headers of a call of a function; the first fault found refuses it."""
    kind = _kind(headers)
    if isinstance(kind, Refusal):
        return kind
    priority = _PRIORITIES.get(headers.get(b"x-priority", b"default").lower())
    if priority is None:
        return refusal_of(
            Fault.BAD_REQUEST, "header x-priority must be critical, default or best-effort; leave it out for default"
        )
    client_timeout_s: float | None = None
    timeout_text = headers.get(b"x-request-timeout-seconds")
    if timeout_text is not None:
        client_timeout_s = positive_seconds(timeout_text)
        if client_timeout_s is None:
            return refusal_of(
                Fault.BAD_REQUEST,
                "header x-request-timeout-seconds must be a number of seconds above 0, such as 0.5",
            )
    content_length = -1 if b"transfer-encoding" in headers else int(headers.get(b"content-length", b"0"))
    if content_length > limits.body_bytes:
        return body_too_large(limits)
    expect = headers.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        return expectation_failed()
    return RequestHead(
        path,
        kind,
        priority,
        client_timeout_s,
        request_id_of(headers),
        persistence,
        content_length,
        # A client of HTTP/1.0 does not know what 100 means and sends its body anyway.
        expect is not None and version != "1.0" and content_length != 0,
        headers.get(b"traceparent"),
    )


def request_id_of(headers: Headers) -> bytes | None:
    """The client's own request id if it can be echoed: 1 to 128 visible ASCII characters."""
    request_id = headers.get(b"x-request-id")
    return request_id if request_id is not None and _REQUEST_ID.fullmatch(request_id) else None


def positive_seconds(text: bytes) -> float | None:
    """A finite decimal number above zero, or None; no sign, `inf` or `nan`."""
    if _DECIMAL.fullmatch(text) is None:
        return None
    value_s = float(text)
    return value_s if 0 < value_s < math.inf else None


def _kind(headers: Headers) -> ContentKind | Refusal:
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.lower() not in {b"", b"identity"}:
        return refusal_of(
            Fault.UNSUPPORTED_CONTENT_TYPE,
            "compressed bodies are not taken; send the body without Content-Encoding",
        )
    text = headers.get(b"content-type")
    if not text:
        return ContentKind.JSON
    kind = _KINDS.get(text.partition(b";")[0].strip().lower())
    if kind is None:
        return refusal_of(
            Fault.UNSUPPORTED_CONTENT_TYPE,
            f"content type {text[:100].decode('latin-1')!r} is not taken; "
            "send application/json, application/msgpack or application/octet-stream",
        )
    return kind

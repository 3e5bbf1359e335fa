"""Why a request is not taken in: one constructor for each refusal the gateway itself gives."""

from __future__ import annotations

import msgspec

from sojourn.domain.request import Fault
from sojourn.gateway.limits import Limits
from sojourn.gateway.response import STATUS_OF_FAULT


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """What to tell the client. `fault` is how it is counted if a function had been found by then.

    `asks_key` says in the answer how a key is to be sent.
    """

    status: int
    code: str
    message: str
    fault: Fault = Fault.BAD_REQUEST
    allow: bytes = b""
    retry_after_s: float = 0.0
    asks_key: bool = False


def refusal_of(fault: Fault, message: str) -> Refusal:
    """A refusal with the code and the status that belong to a fault."""
    return Refusal(STATUS_OF_FAULT[fault], fault.value, message, fault)


def malformed(what: str) -> Refusal:
    """The bytes are not HTTP/1.1, or could be understood in two ways; `what` may be the parser's text."""
    if "HTTP version" in what:
        return unknown_version("this version of HTTP")
    return Refusal(400, "malformed_http", f"this is not a well-formed HTTP/1.1 request: {what}")


def unknown_version(version: str) -> Refusal:
    """Neither HTTP/1.1 nor HTTP/1.0."""
    return Refusal(505, "http_version_not_supported", f"{version} is not spoken here; use HTTP/1.1")


def not_implemented(what: str) -> Refusal:
    """Something HTTP has and we do not."""
    return Refusal(501, "not_implemented", what)


def expectation_failed() -> Refusal:
    """An Expect header other than 100-continue."""
    return Refusal(417, "expectation_failed", "header Expect may only be 100-continue; leave it out")


def wrong_method(method: bytes, allow: bytes) -> Refusal:
    """The path exists, but not for this method."""
    text = f"{method.decode('ascii')} is not allowed here; use {allow.decode('ascii')}"
    return Refusal(405, "method_not_allowed", text, allow=allow)


def unknown_path(text: str) -> Refusal:
    """Nobody answers this path."""
    return Refusal(404, "not_found", text)


def key_missing() -> Refusal:
    """The server has keys, and the request came without one."""
    return _unauthenticated(
        "send a key as `authorization: Bearer KEY`; the server's owner makes one with `sojourn key create`"
    )


def key_incomplete() -> Refusal:
    """What was sent is no key: its length or its checksum is wrong."""
    return _unauthenticated("this is not a whole key: copy all of its text, from `sj_` to the last letter")


def key_unknown() -> Refusal:
    """A well-formed key that is not honoured; which of the reasons it is, is not told."""
    return _unauthenticated("this key is unknown, has expired or was revoked; ask the server's owner for another")


def _unauthenticated(text: str) -> Refusal:
    return Refusal(401, "unauthenticated", text, asks_key=True)


def not_ready() -> Refusal:
    """The answer of the readiness probe while functions wait for replicas."""
    return Refusal(503, "not_ready", "some functions have no replica yet; ask again soon")


def unserved(why: str) -> Refusal:
    """A function that is deployed cannot be served, whoever calls it and however often."""
    return Refusal(503, "not_served", why)


def starting() -> Refusal:
    """A function was called before the server knew its functions."""
    return Refusal(503, "not_ready", "the server is starting, its functions are not there yet; come back in a moment")


def internal_error() -> Refusal:
    """A fault of ours; the server's log has the details."""
    return Refusal(500, "internal_error", "the server failed to read this request; its log says why")


def body_too_large(limits: Limits) -> Refusal:
    """Content-Length or the bytes received passed the limit."""
    text = f"the body is larger than {limits.body_bytes} bytes, the setting body_bytes; send a smaller item"
    return refusal_of(Fault.BODY_TOO_LARGE, text)


def bodies_too_large(limits: Limits) -> Refusal:
    """This body would take those of all connections past their bound."""
    text = (
        f"requests in flight hold {limits.inflight_body_bytes} bytes of bodies, the setting inflight_body_bytes; "
        "come back later"
    )
    return Refusal(503, "too_many_body_bytes", text, Fault.QUEUE_FULL)


def too_many_connections(limits: Limits) -> Refusal:
    """One connection more than the limit."""
    text = f"more than {limits.connections} connections are open, the setting connections; reuse connections"
    return Refusal(503, "too_many_connections", text)


def too_few_descriptors(limit: int) -> Refusal:
    """The process has hardly a file descriptor left."""
    text = f"the server is near its {limit} open files; come back later (its owner can raise `ulimit -n`)"
    return Refusal(503, "too_many_connections", text)


def shutting_down() -> Refusal:
    """The server ends before the request has come."""
    return refusal_of(Fault.SHUTTING_DOWN, "the server is shutting down; send the request to another one")


def uri_too_long(limits: Limits) -> Refusal:
    """The request target passed the limit."""
    return Refusal(414, "uri_too_long", f"the URL is longer than {limits.uri_bytes} bytes, the setting uri_bytes")


def headers_too_many(limits: Limits) -> Refusal:
    """More header fields than the limit."""
    text = f"the request has more than {limits.header_count} header fields, the setting header_count; send fewer"
    return Refusal(431, "headers_too_large", text)


def headers_too_large(limits: Limits) -> Refusal:
    """More bytes of header fields than the limit."""
    text = f"the request's headers exceed {limits.header_bytes} bytes, the setting header_bytes; send shorter ones"
    return Refusal(431, "headers_too_large", text)


def too_many_pipelined(limits: Limits) -> Refusal:
    """More requests waiting on one connection than the limit."""
    text = f"more than {limits.pipelined} requests wait on this connection, the setting pipelined; use more connections"
    return Refusal(429, "too_many_pipelined", text)


def chunks_too_small(limits: Limits, bytes_min: int) -> Refusal:
    """A flood of tiny chunks."""
    text = f"more than {limits.small_chunks} chunks of under {bytes_min} bytes on average, the setting small_chunks"
    return malformed(text)


def headers_too_slow(limits: Limits) -> Refusal:
    """The headers were not complete in time."""
    text = f"the headers did not arrive within {limits.receipt_headers_s:g} s, the setting receipt_headers_s"
    return refusal_of(Fault.TOO_SLOW, text)


def body_too_slow(limits: Limits) -> Refusal:
    """The body was not complete in time."""
    text = f"the body did not arrive within {limits.receipt_body_s:g} s, the setting receipt_body_s"
    return refusal_of(Fault.TOO_SLOW, text)

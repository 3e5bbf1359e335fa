"""Bytes of answers: the one table from outcome to HTTP status, and the heads written in front of bodies."""

from __future__ import annotations

import itertools
import math
import os
import time
from enum import IntEnum
from http import HTTPStatus
from typing import Final

import msgspec

from sojourn.domain.answer import ErrorBody
from sojourn.domain.request import Fault
from sojourn.wire.message import ContentKind

STATUS_OF_FAULT: Final[dict[Fault, int]] = {
    Fault.MALFORMED: 400,
    Fault.ITEM_INVALID: 422,
    Fault.BODY_TOO_LARGE: 413,
    Fault.UNSUPPORTED_CONTENT_TYPE: 415,
    Fault.BAD_REQUEST: 400,
    Fault.TOO_SLOW: 408,
    Fault.POISONED: 422,
    Fault.CLIENT_GONE: 499,  # never sent, since nobody is there; nginx's number in its logs
    Fault.FUNCTION_RAISED: 500,
    Fault.BAD_RESULT: 500,
    Fault.ITEM_ERROR: 422,  # unless the function chose a status of its own
    Fault.POISONED: 422,
    Fault.QUEUE_FULL: 429,
    Fault.OVERLOADED: 429,
    Fault.OVERLOADED: 429,
    Fault.UNAVAILABLE: 503,
    Fault.SHUTTING_DOWN: 503,
    Fault.REPLICA_LOST: 502,
    Fault.TIMEOUT: 504,
}

# Told to come back later even if nobody computed when.
_STATUSES_WITH_RETRY_AFTER: Final = frozenset({429, 503})
RETRY_AFTER_S_DEFAULT: Final = 1.0


class Persistence(IntEnum):
    """What becomes of the connection after an answer, and so which header says it."""

    CLOSE = 0
    KEEP = 1  # HTTP/1.1: keeping is the rule, nothing is said
    KEEP_SAID = 2  # HTTP/1.0: a client that asked for it must be told


_CONNECTION: Final = (b"connection: close\r\n", b"", b"connection: keep-alive\r\n")
_CONTENT_TYPE: Final = {
    ContentKind.JSON: b"application/json",
    ContentKind.MSGPACK: b"application/msgpack",
    ContentKind.BYTES: b"application/octet-stream",
}

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

AnswerHeads = tuple[tuple[bytes, ...], ...]

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


_encode_json = msgspec.json.Encoder().encode


def date_line(wall_s: float) -> bytes:
    """The Date header of an instant in seconds since the epoch (RFC 9110, section 5.6.7), line end included."""
    at = time.gmtime(wall_s)  # no strftime: its names of days follow the locale
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    hour = f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"
    return f"date: {day}, {at.tm_mday:02d} {month} {at.tm_year} {hour} GMT\r\n".encode()


def answer_heads(date: bytes) -> AnswerHeads:
    """Heads of a 200 by persistence and content kind, everything in place but what differs by request.

    To be filled in with `%`: body length, request id, Server-Timing.
    """
    return tuple(
        tuple(
            b"HTTP/1.1 200 OK\r\n%bcontent-type: %b\r\n%b" % (date, _CONTENT_TYPE[kind], _CONNECTION[persistence])
            + b"content-length: %d\r\nx-request-id: %b\r\nserver-timing: %b\r\n\r\n"
            for kind in ContentKind
        )
        for persistence in Persistence
    )


class RequestIds:
    """Names requests whose client named none: a prefix of this process, then a counter."""

    def __init__(self) -> None:
        self._form = os.urandom(6).hex().encode() + b"-%x"
        self._next = itertools.count(1).__next__

    def new(self) -> bytes:
        """An id no other request of this process has."""
        return self._form % self._next()


def status_line(status: int) -> bytes:
    """The first line of an answer; statuses outside the standard get no phrase."""
    phrase = _PHRASES.get(status, "")
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


def error_answer(
    status: int,
    code: str,
    message: str,
    request_id: bytes,
    *,
    persistence: int = Persistence.CLOSE,
    retry_after_s: float = 0.0,
    allow: bytes = b"",
    is_head: bool = False,
    date: bytes = b"",
    trace_parent: bytes | None = None,
    timing: bytes = b"",
    asks_key: bool = False,
) -> bytes:
    """A whole error answer, head and JSON body.

    Args:
        status: HTTP status, in [400, 599].
        code: Stable name of the error.
        message: What is wrong, where, and how to fix it.
        request_id: Printable ASCII.
        persistence: What becomes of the connection.
        retry_after_s: When to come back, in seconds; 0 says nothing, except with 429 and 503.
        allow: Value of the Allow header, for 405.
        is_head: Whether this answers HEAD: the length is told, the body is not sent.
        date: Line of the Date header, if it is to be sent.
        trace_parent: Value of the traceparent header, if it is to be sent.
        timing: Value of the Server-Timing header; empty sends none.
        asks_key: Whether to say how a key is sent.
    """
    body = _encode_json(ErrorBody(message, code, request_id.decode("ascii")))
    fields = date + _CONNECTION[persistence]
    if retry_after_s > 0 or status in _STATUSES_WITH_RETRY_AFTER:
        if not 0 < retry_after_s < math.inf:
            retry_after_s = RETRY_AFTER_S_DEFAULT
        fields += b"retry-after: %d\r\n" % math.ceil(retry_after_s)
    if trace_parent is not None:
        fields += b"traceparent: %b\r\n" % trace_parent
    if timing:
        fields += b"server-timing: %b\r\n" % timing
    if asks_key:
        fields += b"www-authenticate: Bearer\r\n"
    if allow:
        fields += b"allow: %b\r\n" % allow
    return b"%bcontent-type: application/json\r\n%bcontent-length: %d\r\nx-request-id: %b\r\n\r\n%b" % (
        status_line(status),
        fields,
        len(body),
        request_id,
        b"" if is_head else body,
    )


def health_answer(text: bytes, request_id: bytes, *, persistence: int, is_head: bool, date: bytes = b"") -> bytes:
    """A 200 of a health endpoint."""
    return b"%bcontent-type: application/json\r\n%bcontent-length: %d\r\nx-request-id: %b\r\n\r\n%b" % (
        status_line(200),
        date + _CONNECTION[persistence],
        len(text),
        request_id,
        b"" if is_head else text,
    )

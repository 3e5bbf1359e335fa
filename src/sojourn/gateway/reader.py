"""Reads requests out of bytes with httptools, and refuses what should not be read any further."""

from __future__ import annotations

import logging
import math
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import httptools

from sojourn.domain.request import Fault
from sojourn.gateway import refusal
from sojourn.gateway.body import ArrivingBody
from sojourn.gateway.context import Context
from sojourn.gateway.door import HEALTH
from sojourn.gateway.head import SINGLE, Headers, RequestHead, framing_fault, read_head, request_id_of
from sojourn.gateway.known_heads import VARYING
from sojourn.gateway.refusal import Refusal
from sojourn.gateway.response import Persistence, error_answer, health_answer
from sojourn.gateway.routes import FUNCTIONS, Service, path_of, unknown_path_text
from sojourn.gateway.verdict import Verdict

if TYPE_CHECKING:
    from sojourn.gateway.connection import Connection

_log: Final = logging.getLogger(__name__)

# Around a header: colon, space, CR and LF.
_HEADER_FRAMING_BYTES: Final = 4


class Phase(IntEnum):
    """Where in a request the reader is."""

    BETWEEN = 0  # no byte of a request seen since the last one
    HEAD = 1
    BODY = 2
    DROP = 3  # the body of a request that has been answered already
    DEAF = 4  # nothing more is read from this connection


class _StopReading(Exception):  # noqa: N818 - not an error: how a callback ends the parser's run
    """The rest of the bytes are not to be parsed; the client has been told."""


class RequestReader:
    """Turns bytes of one connection into calls of it; made when the first head is not a known one.

    Feed it, then look at `phase`. It calls the connection's `submit` for each complete request and
    `respond` for those it answers itself.
    """

    __slots__ = (
        "_began_at_s", "_body", "_connection", "_context", "_header_bytes", "_header_count", "_headers", "_limits", "_own_id",
        "_parser", "_persistence", "_raw", "_repeated", "_service", "_url", "has_unread", "head", "phase", "readable_head",
    )  # fmt: skip

    def __init__(self, connection: Connection, context: Context) -> None:
        self._connection = connection
        self._context = context
        self._limits = context.limits
        self._parser = httptools.HttpRequestParser(self)
        self.phase: Phase = Phase.BETWEEN
        self.has_unread = False
        self.head: RequestHead | None = None
        self.readable_head: RequestHead | None = None
        self._service: Service | None = None
        self._body = ArrivingBody(context)
        self._began_at_s: float | None = None
        self._headers: Headers = {}
        self._own_id: bytes | None = None  # what we call the request, if its client does not name it
        self._raw = 0
        self._persistence: int = Persistence.CLOSE
        self._reset()

    @property
    def varying(self) -> int:
        """How many fields of the head just read have another value in each request."""
        return len(VARYING & self._headers.keys())

    @property
    def _is_deaf(self) -> bool:
        return self.phase is Phase.DEAF

    def feed(self, data: bytes) -> None:
        """Read on; never raises for what a client sent."""
        if self._is_deaf:
            self.has_unread = True
            return
        self._raw += len(data)
        self.readable_head = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            if not self._is_deaf:
                _log.exception("gateway.reader_failed", exc_info=error.__context__ or error)
                self._refuse_for_good(refusal.internal_error())
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._is_deaf:
                self.has_unread = True
            else:
                self._refuse_for_good(refusal.malformed(str(error)))
        if Phase.HEAD <= self.phase <= Phase.DROP:
            self._watch_unfinished()

    def _watch_unfinished(self) -> None:
        """A request came in part: see that the rest has a deadline and no unseen bulk."""
        if self._began_at_s is None:
            self._began_at_s = self._context.clock()
            self._connection.wake_by(self.deadline_at_s())
        limits = self._limits
        if self.phase is Phase.HEAD:
            # A header without end is not shown to `on_header` before its end.
            if self._raw > limits.header_bytes + limits.uri_bytes:
                self._refuse_for_good(refusal.headers_too_large(limits))
        elif not self._body.allows(self._raw):
            self._refuse_for_good(refusal.malformed("more chunk framing than body"))

    def deadline_at_s(self) -> float:
        """When the rest of the present request must have come; infinity if there is none."""
        if self._began_at_s is None or not Phase.HEAD <= self.phase <= Phase.DROP:
            return math.inf
        limits = self._limits
        if self.phase is Phase.HEAD:
            return self._began_at_s + limits.receipt_headers_s
        return self._began_at_s + limits.receipt_body_s + self._body.received / limits.receipt_body_bytes_per_s

    def give_up(self) -> None:
        """The deadline has passed: tell the client and read no more."""
        limits = self._limits
        if self.phase is Phase.HEAD:
            self._refuse_for_good(refusal.headers_too_slow(limits))
        elif self.phase is Phase.BODY:
            self._refuse_for_good(refusal.body_too_slow(limits))
        elif self.phase is Phase.DROP:
            self._go_deaf()
            self._connection.end()

    def dismiss(self) -> None:
        """The server ends: tell a client whose request has come in part."""
        if self.phase in {Phase.HEAD, Phase.BODY}:
            self._refuse_for_good(refusal.shutting_down())

    def stop(self) -> bool:
        """Read no more; says whether the client may still be sending."""
        is_sending = self.has_unread or Phase.HEAD <= self.phase <= Phase.DROP
        self._go_deaf()
        return is_sending

    def abandon(self) -> None:
        """The client is gone: a request it was still sending is counted as cancelled."""
        service, self._service = self._service, None
        if self.phase is Phase.BODY and service is not None:
            self._tell(service, Fault.CLIENT_GONE)
        self._go_deaf()

    # ---- called by the parser

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self.phase is Phase.DEAF:  # pipelined behind a request whose answer closed the connection
            raise _StopReading
        self.phase = Phase.HEAD
        self._reset()

    def _reset(self) -> None:
        self._began_at_s = None
        self._url = b""
        self._headers = {}
        self._header_bytes = self._header_count = self._raw = 0
        self._body.begin()
        self._repeated = b""
        self._own_id = None
        self._persistence = Persistence.CLOSE

    def on_url(self, piece: bytes) -> None:
        """A piece of the request target."""
        self._url += piece
        limits = self._limits
        if len(self._url) > limits.uri_bytes:
            self._stop(refusal.uri_too_long(limits))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header field, or a trailer."""
        limits = self._limits
        self._header_count += 1
        self._header_bytes += len(name) + len(value) + _HEADER_FRAMING_BYTES
        if self._header_count > limits.header_count:
            self._stop(refusal.headers_too_many(limits))
        if self._header_bytes > limits.header_bytes:
            self._stop(refusal.headers_too_large(limits))
        if self.phase is not Phase.HEAD:
            return  # a trailer: it counts but says nothing
        key = name.lower()
        if key in self._headers and key in SINGLE:
            self._repeated = key
        self._headers[key] = value

    def on_headers_complete(self) -> None:
        """Decide from the head alone whether the body is wanted."""
        parser, headers = self._parser, self._headers
        self._began_at_s = None
        version, method = parser.get_http_version(), parser.get_method()
        asks_upgrade = method == b"CONNECT" or parser.should_upgrade()
        fault = framing_fault(version, headers, repeated=self._repeated, asks_upgrade=asks_upgrade)
        if fault is not None:
            self._stop(fault)
        if self._connection.is_full:
            self._stop(refusal.too_many_pipelined(self._limits))
        if parser.should_keep_alive():
            self._persistence = Persistence.KEEP if version == "1.1" else Persistence.KEEP_SAID
        path = self._found(method)
        if path is None or self._service is None:  # told already
            return
        if method != b"POST":
            self._service = None  # a wrong method is wrong routing: not counted
            self._refuse(refusal.wrong_method(method, b"POST"), is_head=method == b"HEAD")
            return
        head = read_head(path, version, headers, self._persistence, self._limits)
        if isinstance(head, Refusal):
            self._refuse(head)
        elif self._is_wanted(self._service, head):
            self.head, self.phase = head, Phase.BODY
            if head.expects_continue:
                self._connection.invite_body()

    def _found(self, method: bytes) -> bytes | None:
        """The path of the function that is asked for, once it is in `_service`; None if the client was told otherwise."""
        path = path_of(self._url)
        leave = self._context.door.leave(path, self._headers)
        if isinstance(leave, Refusal):
            self._refuse(leave, is_head=method == b"HEAD")
            return None
        routes = self._context.routes
        self._service = routes.by_path.get(path) if leave else None
        if self._service is None:
            if leave and path in routes.unserved:
                self._refuse(refusal.unserved(routes.unserved[path]), is_head=method == b"HEAD")
            else:
                self._answer_without_function(path, method)
            return None
        return path

    def _is_wanted(self, service: Service, head: RequestHead) -> bool:
        """Whether a body that is yet to come has room here and can be served; if not, the client is told."""
        length = max(head.content_length, 0)
        if not self._context.has_room_for(length):
            self._refuse(refusal.bodies_too_large(self._limits))
            return False
        verdict = Verdict(self._request_id(), head.trace_parent)
        self._service = service.announce(verdict, head.priority, head.client_timeout_s, length)
        if verdict.refusal is None:
            return True
        self._service = None  # it is counted already
        self._refuse(verdict.refusal)
        return False

    def on_chunk_header(self) -> None:
        """One more chunk of the body."""
        why = self._body.chunk()
        if why is not None:
            self._stop(why)

    def on_body(self, piece: bytes) -> None:
        """A piece of the body: kept, or dropped if the answer is out already."""
        if self.phase is Phase.DROP:
            if not self._body.pass_by(piece):
                self._go_deaf()
                self._connection.end()
                raise _StopReading
            return
        why = self._body.keep(piece)
        if why is not None:
            self._stop(why)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        connection, phase = self._connection, self.phase
        self.phase = Phase.DEAF if self._persistence == Persistence.CLOSE else Phase.BETWEEN
        if phase is not Phase.BODY:
            connection.rest()
            return
        (body, held_bytes), head, service = self._body.take(), self.head, self._service
        self.head = self._service = None
        if head is None or service is None:  # cannot be: a body is only read for a function
            self._context.held_bytes -= held_bytes
            return
        if not head.expects_continue and self._persistence == Persistence.KEEP:
            self.readable_head = head
        if service.is_closed:  # it was retired while the body came; without a successor it says so itself
            service = self._context.routes.by_path.get(head.path, service)
        connection.submit(service, head, body, held_bytes)

    # ---- answers of our own

    def _answer_without_function(self, path: bytes, method: bytes) -> None:
        is_head = method == b"HEAD"
        if path not in HEALTH:
            is_early = self._context.routes.is_filling and path.startswith(FUNCTIONS)
            why = refusal.starting() if is_early else refusal.unknown_path(unknown_path_text(path))
            self._refuse(why, is_head=is_head)
        elif not is_head and method != b"GET":
            self._refuse(refusal.wrong_method(method, b"GET, HEAD"))
        elif path == b"/livez" or self._context.is_ready():
            text = b'{"status":"live"}' if path == b"/livez" else b'{"status":"ready"}'
            persistence = self._settle_persistence()
            date = self._context.date_line
            answer = health_answer(text, self._request_id(), persistence=persistence, is_head=is_head, date=date)
            self._respond(answer, persistence)
        else:
            self._refuse(refusal.not_ready(), is_head=is_head)

    def _stop(self, why: Refusal) -> None:
        """Refuse and let the parser run no further."""
        self._refuse_for_good(why)
        raise _StopReading

    def _refuse_for_good(self, why: Refusal) -> None:
        """Refuse a request after which nothing on this connection can be understood or is wanted."""
        if self.phase is Phase.BETWEEN:
            self._headers, self._own_id = {}, None  # those of the request before
        self._count(why)
        was_answered = self.phase is Phase.DROP
        self._go_deaf()
        if was_answered:  # only the dropped body is at fault: a second answer would belong to no request
            self._connection.end()
            return
        answer = error_answer(why.status, why.code, why.message, self._request_id(), date=self._context.date_line)
        self._connection.respond(answer, is_last=True)

    def _refuse(self, why: Refusal, *, is_head: bool = False) -> None:
        """Refuse a request from its head; its body is dropped if that is cheap, else the connection ends."""
        self._count(why)
        persistence = self._settle_persistence()
        answer = error_answer(
            why.status, why.code, why.message, self._request_id(),
            persistence=persistence, allow=why.allow, is_head=is_head, date=self._context.date_line,
            retry_after_s=why.retry_after_s, asks_key=why.asks_key,
        )  # fmt: skip
        self._respond(answer, persistence)

    def _settle_persistence(self) -> int:
        """Whether the connection outlives an answer given before the body has come."""
        drain_bytes, headers = self._limits.drain_bytes, self._headers
        is_long = drain_bytes == 0 if b"transfer-encoding" in headers else self._body_length() > drain_bytes
        # Whoever was refused the 100 may send the body or not; nobody can tell, so nothing more is read.
        if is_long or b"expect" in headers:
            self._persistence = Persistence.CLOSE
        return self._connection.persistence_now(self._persistence)

    def _respond(self, answer: bytes, persistence: int) -> None:
        has_body = b"transfer-encoding" in self._headers or self._body_length() > 0
        is_last = persistence == Persistence.CLOSE
        self._persistence = persistence
        self.phase = Phase.DROP
        if is_last:
            self._go_deaf()
            self.has_unread = has_body
        self._connection.respond(answer, is_last=is_last)
        if is_last:
            raise _StopReading

    def _body_length(self) -> int:
        return int(self._headers.get(b"content-length", b"0"))

    def _request_id(self) -> bytes:
        """The client's name for the request, or one of ours: the same however often it is asked for."""
        request_id = request_id_of(self._headers) or self._own_id
        if request_id is None:  # not among the headers: a head that varies is not remembered
            self._own_id = request_id = self._context.request_ids.new()
        return request_id

    def _count(self, why: Refusal) -> None:
        self._context.refused[why.code] += 1
        service, self._service = self._service, None
        if service is not None:
            self._tell(service, why.fault, why.message)

    def _tell(self, service: Service, fault: Fault, message: str = "") -> None:
        """Let the function know of a request that is not going to reach it."""
        service.refused_at_the_door(fault, Verdict(self._request_id(), self._headers.get(b"traceparent")), message)

    def _go_deaf(self) -> None:
        self.phase = Phase.DEAF
        self.has_unread = True
        self.head = None
        self._body.forget()

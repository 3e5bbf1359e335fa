"""One client's connection: known heads short-cut the parser, answers leave in the order of requests."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from typing import Final, cast

from sojourn.gateway import refusal
from sojourn.gateway.context import UNCOUNTED_BYTES_MAX, Context
from sojourn.gateway.descriptors import Room
from sojourn.gateway.exchange import Exchange, trace_of
from sojourn.gateway.head import RequestHead
from sojourn.gateway.reader import Phase, RequestReader
from sojourn.gateway.refusal import Refusal
from sojourn.gateway.response import CONTINUE, Persistence, error_answer
from sojourn.gateway.routes import Service

_log: Final = logging.getLogger(__name__)

# Larger bodies are handed to the transport beside their head instead of being copied behind it.
_COPIED_BODY_BYTES_MAX: Final = 64 * 1024
_HEAD_END: Final = b"\r\n\r\n"
# Connections past the limit are told so while there are no more of them than this; then they are cut off.
_TURNED_AWAY_MAX: Final = 256
# `expires_at_s` of a connection that has just become idle: the next sweep sets the clock going, so that
# a request costs no look at the clock.
_FRESH: Final = 0.0


class Connection(asyncio.Protocol):
    """Bytes in, requests to functions; answers to bytes out.

    `expires_at_s` is when the sweep has to look at this connection again.
    """

    __slots__ = (
        "_continue_is_due", "_ends_at_s", "_exchanges", "_heads", "_is_between", "_pipelined", "_reader", "_routes",
        "_stall_ends_at_s", "_transport", "_unsent_bytes", "_write", "context", "expires_at_s",
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        self.context = context
        self.expires_at_s = _FRESH
        self._heads = context.known_heads.by_bytes
        self._routes = context.routes.by_path
        self._pipelined = context.limits.pipelined
        self._exchanges: deque[Exchange] = deque()
        self._reader: RequestReader | None = None
        self._is_between = True  # no byte of an unfinished request has been read
        self._continue_is_due = False
        self._ends_at_s: float | None = None
        self._stall_ends_at_s = math.inf
        self._unsent_bytes = 0  # in the transport's buffer when it was last looked at

    # ---- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or turn the client away if too many are here."""
        self._transport = cast("asyncio.Transport", transport)
        self._write = self._transport.write
        limits, connections = self.context.limits, self.context.connections
        self._transport.set_write_buffer_limits(limits.write_buffer_bytes)
        room = self.context.descriptors.room_after(transport.get_extra_info("socket").fileno())
        if len(connections) >= limits.connections + _TURNED_AWAY_MAX or room is Room.NONE:
            self.context.refused["too_many_connections"] += 1
            self._transport.abort()
            return
        connections.add(self)
        if len(connections) > limits.connections:
            self._turn_away(refusal.too_many_connections(limits))
        elif room is Room.SCARCE:
            self._turn_away(refusal.too_few_descriptors(self.context.descriptors.limit))

    def data_received(self, data: bytes) -> None:
        """Take requests in; the usual one is whole and has a head seen before."""
        try:
            if self._is_between:
                end = data.find(_HEAD_END) + 4
                head = self._heads.get(data[:end])
                request_id = trace_parent = None
                if head is None:
                    recalled = self.context.known_heads.recall(data[:end])
                    if recalled is not None:
                        head, request_id, trace_parent = recalled
                if head is not None and len(data) - end == head.content_length:
                    service = self._routes.get(head.path)
                    exchanges = self._exchanges
                    if (
                        service is not None
                        and len(exchanges) < self._pipelined
                        and (head.content_length <= UNCOUNTED_BYTES_MAX or self._holds(head.content_length))
                    ):
                        exchange = Exchange(self, service, request_id, head.persistence)
                        if trace_parent is not None:
                            exchange.trace = trace_of(trace_parent)
                        if head.content_length > UNCOUNTED_BYTES_MAX:
                            exchange.held_bytes = head.content_length
                        exchanges.append(exchange)
                        try:
                            exchange.number = service.submit(
                                exchange, data[end:], head.kind, head.priority, head.client_timeout_s
                            )
                        except Exception:  # noqa: BLE001 - logged there; others are served on
                            self._submit_failed(exchange)
                        return
                self._read(data, end)
            else:
                self._read(data, 0)
        except Exception:  # noqa: BLE001 - whatever broke, only this client is cut off
            _log.exception("gateway.connection_failed")
            self.abort()

    def eof_received(self) -> None:
        """The client will send no more: taken as gone, since HTTP clients wait with an open connection."""
        self._forget_client()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it was lost changes nothing
        """The connection is no more; its requests are cancelled."""
        self._forget_client()
        self.context.forget(self)
        self._reader = None  # a parser holds methods of its reader: leave no cycle behind

    def pause_writing(self) -> None:
        """The client does not read its answers: read nothing more from it."""
        self._stall_ends_at_s = self.context.clock() + self.context.limits.write_stall_s
        self._unsent_bytes = self._transport.get_write_buffer_size()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._stall_ends_at_s = math.inf
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # ---- called by the reader

    @property
    def is_full(self) -> bool:
        """Whether one more request would be too many waiting for their answers."""
        return len(self._exchanges) >= self._pipelined

    def submit(self, service: Service, head: RequestHead, body: bytes, held_bytes: int) -> None:
        """Hand a complete request to its function; its body is counted with `held_bytes` in the context."""
        self._continue_is_due = False
        exchange = Exchange(self, service, head.request_id, head.persistence, held_bytes=held_bytes)
        if head.trace_parent is not None:
            exchange.trace = trace_of(head.trace_parent)
        self._exchanges.append(exchange)
        try:
            exchange.number = service.submit(exchange, body, head.kind, head.priority, head.client_timeout_s)
        except Exception:  # noqa: BLE001 - logged there; others are served on
            self._submit_failed(exchange)

    def respond(self, answer: bytes, *, is_last: bool) -> None:
        """Send an answer that no function gave, in its turn."""
        self._continue_is_due = False
        exchange = Exchange(None, None, None, Persistence.CLOSE)
        self._exchanges.append(exchange)
        self.send(exchange, answer, b"", is_last)

    def invite_body(self) -> None:
        """Tell a client that waits for it to send its body, once earlier answers are out."""
        if self._exchanges:
            self._continue_is_due = True
        else:
            self._write(CONTINUE)

    def end(self) -> None:
        """Nothing more can be read: part as soon as the answers still due are out."""
        if self._exchanges:
            self._exchanges[-1].is_last = True  # an answer of the reader's own, waiting for its turn
        else:
            self.part()

    def rest(self) -> None:
        """A dropped body has ended: idle time begins now."""
        self.expires_at_s = _FRESH

    def wake_by(self, at_s: float) -> None:
        """Have the sweep look here no later than `at_s`."""
        if self.expires_at_s == _FRESH or at_s < self.expires_at_s:
            self.expires_at_s = at_s

    # ---- called by exchanges

    @property
    def has_unsent(self) -> bool:
        """Whether bytes of an answer, or an answer that waits for its turn, are still here."""
        waits = any(exchange.response is not None for exchange in self._exchanges)
        return waits or (self._transport.get_write_buffer_size() > 0 and not self._transport.is_closing())

    def persistence_now(self, persistence: int) -> int:
        """What becomes of the connection after an answer: a draining server lets the last one close it."""
        return Persistence.CLOSE if self.context.is_draining and len(self._exchanges) <= 1 else persistence

    def send(self, exchange: Exchange, head: bytes, body: bytes, is_last: bool) -> None:  # noqa: FBT001 - hot path
        """Write an answer, or keep it until those before it are written."""
        exchanges = self._exchanges
        if len(exchanges) == 1:
            exchanges.popleft()
            if len(body) <= _COPIED_BODY_BYTES_MAX:
                self._write(head + body)
            else:
                self._transport.writelines((head, body))
            self.expires_at_s = _FRESH
            if is_last:
                self.part()
            elif self._continue_is_due:
                self._continue_is_due = False
                self._write(CONTINUE)
            return
        exchange.response = head + body
        exchange.is_last = is_last
        if exchanges and exchanges[0] is exchange:
            self._flush()

    def _flush(self) -> None:
        """Write all answers whose turn has come, together."""
        exchanges, ready, is_last = self._exchanges, [], False
        while exchanges and not is_last:
            exchange = exchanges[0]
            if exchange.response is None:
                break
            exchanges.popleft()
            ready.append(exchange.response)
            is_last = exchange.is_last
        self._write(b"".join(ready))
        self.expires_at_s = _FRESH
        if is_last:
            self.part()
        elif not exchanges:
            if self._continue_is_due:
                self._continue_is_due = False
                self._write(CONTINUE)
            self.close_if_idle_in_drain()

    # ---- the end

    def part(self) -> None:
        """The last answer is written: close, and let the client read it first if it may still be sending."""
        self._cancel_all()
        if self._reader is not None and self._reader.stop():
            self._half_close()
        else:
            self._close()

    def close_if_idle_in_drain(self) -> None:
        """While the server drains, connections without work are closed."""
        if self.context.is_draining and self._is_idle() and self._ends_at_s is None:
            self._close()

    def abort(self) -> None:
        """Cut the client off."""
        self._forget_client()
        self._transport.abort()

    def dismiss(self) -> None:
        """The server ends: tell the client of each request without an answer, and part."""
        reader = self._reader
        if reader is not None:
            reader.dismiss()
        for exchange in tuple(self._exchanges):
            if exchange.connection is not None:
                if exchange.service is not None and exchange.number:
                    exchange.service.cancel(exchange.number)
                why = refusal.shutting_down()
                exchange.refuse(why.fault, why.message)
        if self._ends_at_s is None:
            self._close()

    def expire(self, now_s: float) -> None:
        """Look at every deadline of this connection; called by the sweep when `expires_at_s` has come."""
        reader, limits = self._reader, self.context.limits
        receipt_at_s = math.inf if reader is None else reader.deadline_at_s()
        if self._ends_at_s is not None:
            self._wait_for_end(now_s, self._ends_at_s)
        elif now_s >= self._stall_ends_at_s:
            self._stall_ends_at_s += self._time_earned_s()
            self.expires_at_s = self._stall_ends_at_s
            if now_s >= self._stall_ends_at_s:
                self.abort()
        elif reader is not None and now_s >= receipt_at_s:
            reader.give_up()
            self._is_between = False
        elif not self._is_idle() or self._stall_ends_at_s < math.inf:
            self.expires_at_s = min(receipt_at_s, self._stall_ends_at_s)
        elif self.expires_at_s == _FRESH:
            self.expires_at_s = now_s + limits.http_keep_alive_s
        else:
            self._close()

    def _wait_for_end(self, now_s: float, ends_at_s: float) -> None:
        """Cut off a client that leaves our last bytes unread; one that does read them earns time."""
        limits, unsent_before = self.context.limits, self._unsent_bytes
        ends_at_s += self._time_earned_s()
        if unsent_before and not self._unsent_bytes:  # all is out: it may take that long to read it
            ends_at_s = now_s + limits.linger_s
        self._ends_at_s = ends_at_s
        if now_s >= ends_at_s:
            self.abort()
        else:
            self.expires_at_s = min(ends_at_s, now_s + limits.linger_s)

    def _time_earned_s(self) -> float:
        """How much longer a client is waited for, that has taken so many bytes since the last look."""
        unsent_before, self._unsent_bytes = self._unsent_bytes, self._transport.get_write_buffer_size()
        return max(unsent_before - self._unsent_bytes, 0) / self.context.limits.receipt_body_bytes_per_s

    def _is_idle(self) -> bool:
        return not self._exchanges and self._is_between

    def _close(self) -> None:
        """Close once what is written has left; a client that does not take it is cut off in the end."""
        self._begin_end(self.context.limits.write_stall_s)
        self._transport.close()

    def _half_close(self) -> None:
        """Say that nothing more will come, drop what still arrives, and close after a while.

        Closing at once would make the kernel answer unread bytes with a reset, and the reset can overtake
        our answer (RFC 9112, section 9.6).
        """
        limits = self.context.limits
        self._begin_end(limits.write_stall_s if self._transport.get_write_buffer_size() else limits.linger_s)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _begin_end(self, patience_s: float) -> None:
        """Take no more requests; the sweep looks in now and then whether the client takes our last bytes."""
        limits = self.context.limits
        now_s = self.context.clock()
        self._is_between = False
        self._unsent_bytes = self._transport.get_write_buffer_size()
        self._ends_at_s = now_s + patience_s
        self.expires_at_s = now_s + min(patience_s, limits.linger_s)

    def _turn_away(self, why: Refusal) -> None:
        """Tell a client that has only just connected why it is not served."""
        self.context.refused[why.code] += 1
        request_id = self.context.request_ids.new()
        self._write(error_answer(why.status, why.code, why.message, request_id, date=self.context.date_line))
        self._half_close()

    def _holds(self, body_bytes: int) -> bool:
        """Count a body that is here whole, if there is room for it; the reader refuses it otherwise."""
        has_room = self.context.has_room_for(body_bytes)
        if has_room:
            self.context.held_bytes += body_bytes
        return has_room

    def _read(self, data: bytes, end: int) -> None:
        """Let the parser read; remember the head of a request that came whole and alone."""
        if self._ends_at_s is not None:
            return
        reader = self._reader
        if reader is None:
            reader = self._reader = RequestReader(self, self.context)
        was_between = self._is_between
        reader.feed(data)
        self._is_between = is_between = reader.phase is Phase.BETWEEN
        head = reader.readable_head
        if head is not None and was_between and is_between and len(data) - end == head.content_length:
            self.context.known_heads.remember(data[:end], head, varying=reader.varying)

    def _cancel_all(self) -> None:
        exchanges, self._exchanges = self._exchanges, deque()
        for exchange in exchanges:
            if exchange.connection is not None:
                exchange.name()  # who looks for it later finds it by an id, though nobody was told one
                exchange.connection = None
                self.context.held_bytes -= exchange.held_bytes
                if exchange.service is not None and exchange.number:
                    exchange.service.cancel(exchange.number)

    def _forget_client(self) -> None:
        try:
            self._cancel_all()
            if self._reader is not None:
                self._reader.abandon()
        except Exception:  # noqa: BLE001 - whatever broke, only this client is cut off
            _log.exception("gateway.cancel_failed")
        self._is_between = False

    def _submit_failed(self, exchange: Exchange) -> None:
        """A function's service broke: tell this client, and leave all others alone."""
        _log.exception("gateway.submit_failed")
        exchange.refuse_as(500, "internal_error", "the server failed to take this request in; its log says why")

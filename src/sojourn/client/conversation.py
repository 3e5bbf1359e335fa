"""HTTP/1.1 over one connection, without a socket: bytes of a request out, bytes of its answer in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import h11
import msgspec

from sojourn.errors import UnusableAnswerError

ANSWER_BYTES_MAX: Final = 1024**3
_HEAD_BYTES_MAX: Final = 64 * 1024


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent.

    Args:
        method: HTTP method.
        path: Path and query, quoted, without the endpoint's prefix.
        is_admin: Whether it goes to the admin port.
        body: Empty for none.
        headers: Names in lower case; `host`, `content-length` and the key are added.
        is_reading: Whether it changes nothing, so that it may be sent twice.
    """

    method: str
    path: str
    is_admin: bool = False
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    is_reading: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What came back; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """Kind of its body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Broken(Exception):  # noqa: N818 - it is the transports' own, and no caller sees it
    """The connection ended before the answer did; the text says where."""


class Conversation:
    """One connection's side of HTTP: `begin` a request, `receive` until there is an answer, again while reusable.

    Args:
        place: How errors name the server.
        answer_bytes_max: Longest body of an answer.
    """

    def __init__(self, place: str, answer_bytes_max: int = ANSWER_BYTES_MAX) -> None:
        self._place = place
        self._answer_bytes_max = answer_bytes_max
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES_MAX)
        self._head: h11.Response | None = None
        self._body = bytearray()

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow: the last one was answered, and both sides keep the connection."""
        return self._h11.our_state is h11.IDLE and self._h11.their_state is h11.IDLE

    def begin(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
        """The bytes of the head; the body follows as it is."""
        fields = [*headers, ("content-length", str(len(body)))]
        head = self._h11.send(h11.Request(method=method, target=target, headers=fields)) or b""
        if body:
            self._h11.send(h11.Data(data=body))
        self._h11.send(h11.EndOfMessage())
        return head

    def receive(self, data: bytes) -> Answer | None:
        """Take what came (nothing: the other side ended); the answer once it is whole.

        Raises:
            Broken: The connection ended before.
            UnusableAnswerError: It is not HTTP/1.1, or too long.
        """
        if not data and self._h11.their_state is h11.SEND_RESPONSE:
            raise Broken("closed by the server before it answered")
        try:
            self._h11.receive_data(data)
            return self._read()
        except h11.RemoteProtocolError as error:
            if not data:
                raise Broken("closed by the server in the middle of its answer") from error
            raise UnusableAnswerError(
                f"{self._place}: not an HTTP answer ({error}); is this the right port, and should it be https?"
            ) from error

    def _read(self) -> Answer | None:
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Response):
                self._head = event
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._answer_bytes_max:
                    raise UnusableAnswerError(
                        f"{self._place}: the answer is longer than {self._answer_bytes_max} bytes"
                    )
            elif isinstance(event, h11.EndOfMessage):
                return self._whole()
            elif event is h11.NEED_DATA:
                return None
            elif not isinstance(event, h11.InformationalResponse):  # closed, or stopped after an upgrade
                raise Broken("closed by the server before it answered")

    def _whole(self) -> Answer:
        assert self._head is not None, "an end without a head"
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._head.headers}
        answer = Answer(self._head.status_code, headers, bytes(self._body))
        self._head, self._body = None, bytearray()
        # What came behind the answer belongs to no request: such a connection is not trusted with another one.
        is_done = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        if is_done and not self._h11.trailing_data[0]:
            self._h11.start_next_cycle()
        return answer

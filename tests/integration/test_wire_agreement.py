"""Two parsers on the same bytes: whatever this gateway takes as a request, h11 reads as the same request.

A proxy in front of the gateway may read with other eyes. Where ours accept, the others must see the same
method, target and body, at the same place; where ours refuse, nothing can be smuggled past anybody.
"""

import asyncio
import itertools
import re
from contextlib import suppress

import h11
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sojourn.gateway.connection import Connection
from sojourn.gateway.context import Context
from sojourn.gateway.limits import Limits
from sojourn.gateway.routes import Routes, path_of
from sojourn.wire.message import ContentKind


class Socket:
    """The number of a descriptor far from any limit."""

    def fileno(self):
        """Some number."""
        return 3


class Wire(asyncio.Transport):
    """Keeps what is written; bytes reach the connection by `data_received`, with no socket in between."""

    def __init__(self):
        super().__init__({"socket": Socket()})
        self.written = b""
        self.is_over = False

    def write(self, data):
        """Keep an answer."""
        self.written += data

    def set_write_buffer_limits(self, high=None, low=None):
        """Nothing is buffered."""

    def get_write_buffer_size(self):
        """Nothing is buffered."""
        return 0

    def can_write_eof(self):
        """As sockets can."""
        return True

    def write_eof(self):
        """No more answers."""
        self.is_over = True

    close = abort = write_eof

    def is_closing(self):
        """Whether it was closed."""
        return self.is_over


class Taker:
    """A function under every path: notes what it is given and answers at once."""

    is_closed = False

    def __init__(self, taken, path):
        self.taken, self.path = taken, path

    def submit(self, caller, body, kind, priority, client_timeout_s):
        """Note and answer."""
        self.taken.append((self.path, body))
        caller.answer(b"taken", ContentKind.JSON, b"")
        return len(self.taken)

    def announce(self, caller, priority, client_timeout_s, body_bytes):
        """Every body is wanted."""
        return self

    def cancel(self, request_number):
        """Nothing waits."""

    def refused_at_the_door(self, fault, caller, message):
        """Not counted here."""


class Everywhere(dict):
    """A table in which each path under /f has a function."""

    def get(self, path, default=None):
        """A function that knows by which path it was found."""
        return Taker(self.taken, path) if path.startswith(b"/f") else default


def read_by_gateway(context, taken, segments):
    """Per request answered: None if refused, else (path, body)."""
    taken.clear()
    wire = Wire()
    connection = Connection(context)
    connection.connection_made(wire)
    for segment in segments:
        if not wire.is_over:
            connection.data_received(segment)
    connection.connection_lost(None)
    assert context.held_bytes == 0
    answers = re.findall(rb"HTTP/1\.1 (\d{3}) .*?\r\n\r\n(taken)?", wire.written, re.DOTALL)
    requests = iter(taken)
    return [next(requests) if is_taken else None for status, is_taken in answers if status != b"100"]


_SPACED = re.compile(rb"[\r\n]*([A-Z]+) +([^ ]+) +(HTTP/1\.[01]\r\n)")


def read_by_h11(data):
    """Per request begun: (method, target, body), the last body None if it does not end or is malformed."""
    found = []
    while data:
        # Before a request the gateway's parser skips line ends, and between the words of its first line
        # spaces, as RFC 9112 (sections 2.2 and 3) lets it; h11 is stricter. Neither can be part of
        # anything else there, so that there is one way to read it.
        spaced = _SPACED.match(data)
        if spaced:
            data = b" ".join(spaced.groups()) + data[spaced.end() :]
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1_000_000)
        parser.receive_data(data)
        with suppress(h11.RemoteProtocolError):
            event = parser.next_event()
            if not isinstance(event, h11.Request):
                return found
            request = [event.method, event.target, None]
            found.append(request)
            body = b""
            while isinstance(event := parser.next_event(), h11.Data):
                body += bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                request[2] = body
                data = parser.trailing_data[0]
                continue
        return found
    return found


START = b"POST /f/echo HTTP/1.1\r\nHost: t\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"
VALID = [
    START + b"Content-Length: 5\r\n\r\n12345",
    START + b"X-Request-ID: abc\r\nTraceparent: 00-11-22-01\r\nContent-Length: 3\r\n\r\n[1]",
    START + b"X-Priority: critical\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 0\r\n\r\n",
    CHUNKED + b"3\r\n[1,\r\n3;x=y\r\n 2]\r\n0\r\nT: v\r\n\r\n",
    CHUNKED + b'00a;q="s"\r\n0123456789\r\n0\r\n\r\n',
    b"POST /f?a=b%20c HTTP/1.1\r\nHost: t\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
    b"POST http://t/f/x HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n1",
    b"POST /f/old HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n1",
    b"GET /f/echo HTTP/1.1\r\nHost: t\r\n\r\n",
    b"POST /nowhere HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nlost",
    b"GET /livez HTTP/1.1\r\nHost: t\r\n\r\n",
]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\x00", b"\x7f", b"\x80", b"\xff", b"\t", b" ", b":", b";", b",", b'"', b"\\", b"#", b"?",
    b"Host: t\r\n", b"Content-Length: 3\r\n", b"Content-Length: +3\r\n", b"content-length:\t3 \r\n", b" 3", b"0x", b"-",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"TE: trailers\r\n", b"chunked", b"0\r\n\r\n",
    b"1\r\nx\r\n", b";" + b"e" * 40, b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"X: y\r\n z\r\n",
    b"X-Request-ID: 1\r\n", b"traceparent: \r\n", b"GET / HTTP/1.1\r\n", b"HTTP/1.0", b"\r\n\r\n",
]  # fmt: skip
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 6), st.sampled_from(PIECES) | st.binary(max_size=3)), max_size=4
)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    requests=st.lists(st.sampled_from(VALID), min_size=1, max_size=3),
    edits=EDITS,
    cuts=st.lists(st.floats(0, 1), max_size=3),
    are_heads_known=st.booleans(),
)
def test_what_the_gateway_takes_h11_reads_alike(requests, edits, cuts, are_heads_known):
    """Mutated pipelines in random segments: each request that was run is, in its place, h11's request too."""
    data = b"".join(requests)
    for place, removed, inserted in edits:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + removed :]
    agree(data, cuts, are_heads_known=are_heads_known)


def agree(data, cuts=(), *, are_heads_known=False):
    """Check one input."""
    routes, taken = Routes(), []
    routes.by_path = Everywhere()
    routes.by_path.taken = taken
    context = Context(routes, Limits(), lambda: True, lambda: 0.0)
    if are_heads_known:
        for request in VALID:
            read_by_gateway(context, taken, [request])
    places = [0, *sorted(int(cut * len(data)) for cut in cuts), len(data)]
    ours = read_by_gateway(context, taken, [data[a:b] for a, b in itertools.pairwise(places) if a < b])
    theirs = read_by_h11(data)
    for number, request in enumerate(ours):
        if request is not None:
            assert number < len(theirs), (data, ours, theirs)
            method, target, body = theirs[number]
            assert (method, path_of(target), body) == (b"POST", path_of(request[0]), request[1]), (data, ours, theirs)
    return ours, theirs


def test_the_two_parsers_agree_on_what_is_valid():
    """The comparison compares something: every valid request is taken by both, known head or not."""
    for request in VALID[:8]:
        for are_heads_known in (False, True):
            ours, theirs = agree(request + request, are_heads_known=are_heads_known)
            assert None not in ours
            assert len(ours) == len(theirs) == 2

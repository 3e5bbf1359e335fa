"""Platform events over real HTTP: pages, and streams that begin, go on, are bounded and end."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import ClassVar

import pytest
import uvloop

from sojourn.control.connection import ConnectionBounds
from sojourn.telemetry.events import EventRing, PlatformEvents
from sojourn.telemetry.log import EventLog

_SPEC = spec_from_file_location("overview", Path(__file__).with_name("overview.py"))
_MODULE = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
admin_server = _MODULE.admin_server

STREAM = {"accept": "text/event-stream"}


def with_events(question, count=3, ring=None, **options):
    """What `await question(port, events)` returns while an admin port serves a ring with `count` events."""

    async def main():
        events = PlatformEvents(EventLog(log_level="error"), ring)
        for number in range(count):
            events.ring.record("info", "replica.ready", {"function": "ab"[number % 2], "replica": number})
        server = admin_server(events=events, **options)
        _, port = await server.start("127.0.0.1", 0)
        try:
            return await question(port, events)
        finally:
            await server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


class Reader:
    """One stream, read by message in a thread; closed after the test if not before."""

    opened: ClassVar[list] = []

    def __init__(self, port, path="/api/v1/events", headers=None):
        self.opened.append(self)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._connection.request("GET", path, headers={**STREAM, **(headers or {})})
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.content_type = self._response.getheader("content-type")
        if self.status == 200:
            assert self._message() == ["retry: 2000"]

    @classmethod
    async def open(cls, *arguments, **options):
        """Begin a stream; when this returns, it is open."""
        return await asyncio.to_thread(cls, *arguments, **options)

    def _message(self):
        """The lines of the next message; None at the end."""
        lines = []
        while line := self._response.readline().decode().rstrip("\n"):
            lines.append(line)
        return lines or None

    async def message(self):
        """As above, off the loop."""
        return await asyncio.to_thread(self._message)

    async def replica(self):
        """What the next event was recorded with; its id is its number."""
        lines = await self.message()
        event = json.loads(lines[-1].removeprefix("data: "))
        assert lines == [f"id: {event['seq']}", lines[-1]]
        return event["fields"]["replica"]

    def body(self):
        """The rest, of an answer that has an end."""
        return json.loads(self._response.read())

    def leave(self):
        """Go away at once."""
        self._connection.close()
        self._response.close()


@pytest.fixture(autouse=True)
def _close_readers():
    yield
    while Reader.opened:
        Reader.opened.pop().leave()


def page(port, query="", headers=None):
    """Status and body of an ordinary request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", f"/api/v1/events{query}", headers=headers or {})
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


async def until(condition):
    """Let the loop turn until it is so (the test's own time limit ends what never is)."""
    while not condition():  # noqa: ASYNC110 (nothing of the server tells when a reader is gone)
        await asyncio.sleep(0)


def test_pages_of_the_past():
    """The latest by default, those after a number, of one function; each page says how to go on."""

    async def ask(port, events):
        first = events.ring.last_seq - 4
        queries = ("", "?limit=2", f"?since={first}&limit=2", f"?since={first}&function=b", "?since=1&limit=1")
        return first, [await asyncio.to_thread(page, port, query) for query in queries]

    first, answers = with_events(ask, 5)
    assert [[event["fields"]["replica"] for event in body["events"]] for _, body in answers] == [
        [0, 1, 2, 3, 4],
        [3, 4],
        [1, 2],
        [1, 3],
        [0],
    ]
    assert answers[2][1]["next_since"] == first + 2
    assert answers[3][1]["next_since"] == first + 4


@pytest.mark.parametrize(
    "query", ["?since=-1", "?since=x", "?limit=0", "?limit=1001", "?since=" + "9" * 400, "?follow=yes"]
)
def test_a_query_that_is_none_is_refused(query):
    """The answer names the parameter and its range."""

    async def ask(port, events):
        return await asyncio.to_thread(page, port, query)

    status, body = with_events(ask)
    assert (status, body["code"]) == (400, "bad_request")
    assert query[1:].partition("=")[0] in body["error"]


def test_a_stream_brings_what_happens():
    """From now on, or with the last ones first, or from a number; the rest comes as it happens."""

    async def ask(port, events):
        last = events.ring.last_seq
        readers = [
            await Reader.open(port),
            await Reader.open(port, "/api/v1/events?limit=1"),
            await Reader.open(port, f"/api/v1/events?since={last - 2}"),
            await Reader.open(port, "/api/v1/events?follow=1&function=b", headers={"accept": "*/*"}),
            await Reader.open(port, "/api/v1/events?since=1", headers={"last-event-id": str(last - 1)}),
        ]
        events.info("replica.ready", function="a", replica=3)
        events.info("replica.ready", function="b", replica=4)
        return [
            (reader.content_type, [await reader.replica() for _ in range(count)])
            for reader, count in zip(readers, (2, 3, 4, 1, 3), strict=True)
        ]

    answers = with_events(ask)
    assert {content_type for content_type, _ in answers} == {"text/event-stream; charset=utf-8"}
    assert [read for _, read in answers] == [[3, 4], [2, 3, 4], [1, 2, 3, 4], [4], [2, 3, 4]]


def test_who_comes_too_late_is_told_how_much_is_missing():
    """A reader whose place in the ring was overwritten gets a count, then what is still there."""

    async def ask(port, events):
        reader = await Reader.open(port, f"/api/v1/events?since={events.ring.last_seq - 8}")
        return await reader.message(), [await reader.replica() for _ in range(3)]

    dropped, read = with_events(ask, 8, EventRing(3))
    assert dropped == ["event: dropped", 'data: {"count":5}']
    assert read == [5, 6, 7]


def test_a_silent_stream_beats_and_outlives_the_time_of_an_answer():
    """Heartbeats come, and the connection is not cut like one whose client does not read its answer."""

    async def ask(port, events):
        reader = await Reader.open(port)
        beats = [await reader.message() for _ in range(30)]
        events.info("replica.ready", replica=9)
        lines = await reader.message()
        while lines == [": still here"]:
            lines = await reader.message()
        return beats, lines

    # Thirty heartbeats take three times as long as an answer may.
    beats, lines = with_events(ask, heartbeat_s=0.05, bounds=ConnectionBounds(answer_s=0.5))
    assert beats == [[": still here"]] * 30
    assert '"replica":9' in lines[1]


def test_readers_are_bounded_and_leaving_makes_room():
    """One too many is told so at once; a place is free as soon as its reader is gone."""

    async def ask(port, events):
        readers = [await Reader.open(port) for _ in range(2)]
        refused = await Reader.open(port)
        told = refused.status, refused.body()
        readers[0].leave()
        await until(lambda: len(events.ring._listeners) < 2)
        again = await Reader.open(port)
        return told, again.status

    (status, body), again = with_events(ask, ring=EventRing(listeners_max=2))
    assert (status, body["code"]) == (503, "too_many_streams")
    assert again == 200


def test_who_does_not_read_is_cut_off():
    """A reader that takes nothing holds its place no longer than an answer may take, and no more than the buffers."""

    async def ask(port, events):
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.get_running_loop().run_in_executor(None, deaf.connect, ("127.0.0.1", port))
            deaf.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
            await until(lambda: events.ring._listeners)
            while events.ring._listeners:
                events.ring.record("info", "replica.output", {"line": "x" * 2000})
                await asyncio.sleep(0)
        return await asyncio.to_thread(page, port, "?limit=1")

    status, _ = with_events(ask, bounds=ConnectionBounds(answer_s=0.2))
    assert status == 200


def test_close_ends_streams_after_what_was_recorded(caplog):
    """The last events still arrive, then an end: nobody waits for a time limit, and no stream is cut in the middle."""

    async def main():
        events = PlatformEvents(EventLog(log_level="error"))
        server = admin_server(events=events)
        _, port = await server.start("127.0.0.1", 0)
        reader = await Reader.open(port)
        events.info("server.stopping", replica=1)
        await server.close()
        return await reader.replica(), await reader.message(), events.ring._listeners

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == (1, None, [])
    assert not caplog.records, "the web server had to cut something off"


def test_head_and_other_sites_open_no_stream():
    """HEAD has no body to go on; a page of another site could hold places without being seen."""

    async def ask(port, events):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("HEAD", "/api/v1/events", headers=STREAM)
        head = (await asyncio.to_thread(connection.getresponse)).getheader("content-type")
        connection.close()
        foreign = await Reader.open(port, headers={"sec-fetch-site": "cross-site"})
        own = await Reader.open(port, headers={"sec-fetch-site": "same-origin"})
        return head, foreign.status, foreign.body()["code"], own.status, len(events.ring._listeners)

    assert with_events(ask) == ("application/json", 403, "other_site", 200, 1)

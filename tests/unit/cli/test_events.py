"""`sojourn events`: the past of a real server, and streams that break and come back."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from sojourn.cli.event_follow import follow
from sojourn.cli.events import _told
from sojourn.errors import ClientError

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"

AWAY = b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nfull"


def test_the_past_oldest_first(sojourn, urls):
    """Each replica of the server started and became ready; a filter and a number of lines hold."""
    told = sojourn("events", "-n", "1000", "--admin-url", urls[1]).stdout.decode().splitlines()
    mine = [line for line in told if "double" in line]
    assert "function.scaled" in mine[0]
    assert "replica.starting" in mine[1]
    assert next(line for line in mine if "replica.ready" in line).split()[3] == "double"
    one = sojourn("events", "--function", "double", "-n", "1", "--admin-url", urls[1]).stdout.decode()
    assert one.count("\n") == 1
    answer = json.loads(sojourn("events", "--json", "--admin-url", urls[1]).stdout)
    assert {"events", "next_since", "dropped"} == set(answer)


def test_following_shows_what_happens_until_interrupted(sojourn, urls):
    """A change made meanwhile appears; Ctrl-C ends it well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sojourn.cli.main", "events", "-f", "--json", "-n", "1", "--admin-url", urls[1]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    try:
        assert json.loads(process.stdout.readline())["seq"]
        assert sojourn("scale", "double", "--max", "7", "--admin-url", urls[1]).returncode == 0
        event = json.loads(process.stdout.readline())
        assert (event["event"], event["fields"]["max_replicas"]) == ("function.limits", 7)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_after_a_break_it_goes_on_where_it_was(scripted):
    """The second attempt names the last number; a break is told once, however long it lasts."""
    url, asked = scripted(
        HEAD + b'retry: 2000\n\nid: 41\ndata: {"seq":41}\n\n: beat\n\nid: 42\ndata: {"seq":42}\n\nid: 43\ndata: {"se',
        AWAY,
        AWAY,
        HEAD + b'event: dropped\ndata: {"count":3}\n\n',
        HEAD + b'id: 46\ndata:{"seq":46}\n\n',
    )
    breaks = []
    told = list(itertools.islice(follow(url, "/api/v1/events", breaks.append, 0.0), 4))
    assert told == [
        ("message", {"seq": 41}),
        ("message", {"seq": 42}),
        ("dropped", {"count": 3}),
        ("message", {"seq": 46}),
    ]
    assert "last-event-id" not in asked[0]
    assert all("last-event-id: 42\r\n" in one for one in asked[1:])
    assert breaks == ["the server ended the stream"] * 2


def test_a_first_attempt_that_fails_is_an_error(scripted):
    """Nobody there, or somebody who says no: that is told instead of tried for ever."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ClientError, match="cannot reach a server"):
        next(follow(f"http://127.0.0.1:{port}", "/", print, 0.0))
    url, _ = scripted(AWAY)
    with pytest.raises(ClientError, match="status 503: full"):
        next(follow(url, "/", print, 0.0))


def test_texts_from_elsewhere_do_not_reach_the_terminal_as_they_are():
    """A cause may hold what user code printed: escape sequences stay visible text."""
    event = {"event": "replica.exited", "function": "a\x1b[2J", "fields": {"cause": "\x1b]0;x\x07", "replica": 1}}
    assert _told(event) == "a\\x1b[2J cause=\\x1b]0;x\\x07 replica=1"
    scaled = {"before": 1, "after": 2, "why": "two\nlines", "terms": {"x": 1.0}, "cause": "policy"}
    event = {"event": "function.scaled", "function": "a", "fields": scaled}
    assert _told(event) == "a 1 -> 2: two\\nlines cause=policy"

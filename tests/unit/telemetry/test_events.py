"""The ring of platform events against a plain list, and the one call that also logs."""

from __future__ import annotations

import json
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.telemetry.events import EventRing, PlatformEvents
from sojourn.telemetry.log import EventLog

NOON_S = 1_800_000_000.25


def ring_of(count, capacity=1000, **options):
    """A ring that saw `count` events, of functions a and b in turn."""
    ring = EventRing(capacity, lambda: NOON_S, **options)
    for number in range(count):
        ring.record("info", "replica.ready", {"function": "ab"[number % 2], "replica": number})
    return ring


def replicas(page):
    """The events of a page by the number they were recorded with."""
    return [event.fields["replica"] for event in page.events]


@given(
    st.integers(0, 30), st.integers(1, 12), st.integers(-5, 35), st.integers(1, 12), st.sampled_from([None, "a", "b"])
)
def test_a_page_is_what_a_list_would_give(count, capacity, since, limit, function):
    """The first ones after the number that are still kept; what fell out before them is counted."""
    ring = ring_of(count, capacity)
    first_seq = ring.last_seq - count + 1
    page = ring.since(first_seq + since, limit, function)
    kept = list(range(count))[-capacity:]
    wanted = [n for n in kept if n > since and (function is None or "ab"[n % 2] == function)]
    assert replicas(page) == wanted[:limit]
    assert page.dropped == len([n for n in range(count - len(kept)) if n > since])
    latest = [n for n in kept if function is None or "ab"[n % 2] == function][-limit:]
    assert replicas(ring.latest(limit, function)) == latest


@given(st.integers(1, 7), st.sampled_from([None, "a"]))
def test_pages_one_after_the_other_are_all_there_is(limit, function):
    """`next_since` leads on without gap or repetition, whatever the filter."""
    ring = ring_of(20)
    since, read = ring.last_seq - 20, []
    while since < ring.last_seq:
        page = ring.since(since, limit, function)
        read += replicas(page)
        assert page.next_since > since
        since = page.next_since
    assert read == list(range(0, 20, 1 if function is None else 2))


def test_who_remembers_a_number_of_the_server_before_gets_everything():
    """Numbers grow across restarts, and what the other server did is not counted as missed here."""
    before = EventRing(10, lambda: NOON_S)
    last = [before.record("info", "replica.ready", {}) for _ in range(5)][-1].seq
    after = EventRing(10, lambda: NOON_S + 1)
    after.record("info", "replica.ready", {"replica": 7})
    page = after.since(last, 10)
    assert replicas(page) == [7]
    assert page.dropped == 0


def test_listeners_are_told_and_bounded():
    """Each event is told to each listener until it leaves; one too many is refused."""
    told = []
    ring = ring_of(0, listeners_max=2)
    first, second = (lambda: told.append("first")), (lambda: told.append("second"))
    assert ring.listen(first)
    assert ring.listen(second)
    assert not ring.listen(lambda: told.append("third"))
    ring.record("info", "x", {})
    assert told == ["first", "second"]
    ring.unlisten(first)
    assert ring.listen(first)


def test_one_call_logs_and_keeps():
    """The line and the event say the same; figures for programs are in the event alone."""
    reading, writing = os.pipe()
    events = PlatformEvents(EventLog(writing, "json", lambda: NOON_S), EventRing(10, lambda: NOON_S))
    events.info("function.scaled", {"terms": {"rate_per_s": 4.5}}, function="digits", before=1)
    events.warning("replica.exited", function="digits", cause="killed")
    events.error("function.crash_loop", function="digits")
    os.close(writing)
    with os.fdopen(reading) as log:
        lines = [json.loads(line) for line in log]
    kept = events.ring.latest(10).events
    assert [(line["time"], line["level"], line["event"]) for line in lines] == [
        (event.at, event.level, event.event) for event in kept
    ]
    assert kept[0].at == "2027-01-15T08:00:00.250Z"
    assert kept[0].function == lines[0]["function"] == "digits"
    assert kept[0].fields == {"before": 1, "terms": {"rate_per_s": 4.5}}
    assert "terms" not in lines[0]


@pytest.mark.parametrize("value", [object(), {1, 2}, 2**80, "\ud800", "x" * 100_000, float("nan")])
def test_whatever_is_told_can_be_sent(value):
    """No value of a field can break the answer that carries it, nor fill the memory."""
    ring = ring_of(0)
    ring.record("info", "odd", {"function": "digits", "value": value})
    assert len(msgspec.json.encode(ring.latest(1))) < 3000

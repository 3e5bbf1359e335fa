"""The event log: one line per event, safe for terminals, and never in its caller's way."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.telemetry import log as log_module
from sojourn.telemetry.log import LINE_BYTES_MAX, EventLog, escaped, shown

NOON_S = 43_200.125
FIELDS = st.dictionaries(
    st.text(max_size=8).filter(lambda key: key not in {"self", "event"}),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text())),
    max_size=6,
)


class Sink:
    """A pipe the log writes to."""

    def __init__(self, log_format="text"):
        self.reading, self.writing = os.pipe()
        self.log = EventLog(self.writing, log_format, wall_clock=lambda: NOON_S)

    def text(self):
        return os.read(self.reading, 1 << 20).decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.reading)
        os.close(self.writing)


def test_text_line_says_time_level_event_and_fields():
    """The line a person reads, with quotes only where they are needed."""
    with Sink() as sink:
        sink.log.info("replica.ready", replica=1, cold_start_s=0.8, cause="out of memory", note="", most=None)
        time, rest = sink.text().split(" ", 1)
        assert time.endswith(":00.125")
        assert rest == 'info    replica.ready replica=1 cold_start_s=0.8 cause="out of memory" note="" most=none\n'


def test_json_line_is_one_object():
    """The line a program reads, numbers as numbers."""
    with Sink("json") as sink:
        sink.log.warning("replica.exited", replica=1, cause="killed", huge=2**70, data={"a": [1]})
        assert json.loads(sink.text()) == {
            "time": "1970-01-01T12:00:00.125Z",
            "level": "warning",
            "event": "replica.exited",
            "replica": 1,
            "cause": "killed",
            "huge": str(2**70),
            "data": {"a": [1]},
        }


@pytest.mark.parametrize("log_format", ["text", "json"])
@given(event=st.text(max_size=30), fields=FIELDS)
def test_any_event_is_one_printable_line(log_format, event, fields):
    """No field can forge a second line or an escape sequence; JSON stays JSON."""
    with Sink(log_format) as sink:
        sink.log.error(event, **fields)
        written = sink.text()
    assert written.endswith("\n")
    assert written[:-1].isprintable() or log_format == "json"
    assert "\n" not in written[:-1]
    assert "\x1b" not in written
    if log_format == "json":
        assert json.loads(written)["level"] == "error"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_long_line_is_clipped_to_what_a_pipe_takes_at_once(log_format):
    """A replica's endless output neither tears a line nor blocks; JSON stays readable."""
    with Sink(log_format) as sink:
        sink.log.info("replica.output", line="ä\n" * 100_000, other="x" * 100_000)
        written = sink.text()
    assert len(written.encode()) <= LINE_BYTES_MAX
    assert written.endswith("\n")
    if log_format == "json":
        assert json.loads(written)["clipped"] is True


def test_of_a_value_that_is_all_escapes_no_more_is_looked_at_than_a_line_shows():
    """Replicas print what they like, thousands of lines a second: to escape all of it would cost the loop its time."""
    assert len(shown("\x00" * 1_000_000)) == 4 * LINE_BYTES_MAX
    assert shown("\x00" * 1_000_000, 3) == r"\x00\x00\x00"
    with Sink("json") as sink:
        sink.log.info("replica.output", line="\x00" * 1_000_000, other="\x1b")
        assert json.loads(sink.text())["line"].startswith(r"\x00\x00")


def test_each_character_is_escaped_for_itself_and_few_are_remembered():
    """What can be printed stays, of all planes; the memory of escapes has a bound."""
    every = "".join(map(chr, [*range(0x3000), *range(0x3000, 0x110000, 97)]))
    one_by_one = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in every)
    for _ in range(2):
        assert escaped(every) == one_by_one
    assert len(log_module._ESCAPES) <= 4096


def test_a_stalled_sink_costs_lines_not_time():
    """A full pipe that nobody reads: events are dropped and counted, and the log tells so later."""
    with Sink() as sink:
        os.set_blocking(sink.writing, False)
        while True:
            try:
                os.write(sink.writing, b"." * 4096)
            except BlockingIOError:
                break
        os.set_blocking(sink.writing, True)
        sink.log.info("lost")
        sink.log.info("lost.too")
        assert sink.log.dropped == 2
        sink.text()
        sink.log.info("back")
        dropped, back = sink.text().splitlines()
        assert "log.dropped events=2" in dropped
        assert back.endswith("back")
        assert sink.log.dropped == 2


def test_a_sink_that_is_gone_never_raises():
    """A broken pipe, a full disk and a closed descriptor are counted, not raised."""
    with Sink() as sink:
        os.close(sink.reading)
        sink.log.info("nobody reads")
        assert sink.log.dropped == 1
        sink.reading = os.open(os.devnull, os.O_RDONLY)
    full = os.open("/dev/full", os.O_WRONLY)
    log = EventLog(full)
    log.info("disk is full")
    os.close(full)
    log.info("descriptor is closed")
    assert log.dropped == 2


def test_a_value_whose_text_fails_is_told_as_such():
    """A broken `__str__` in user code does not reach the caller of the log."""

    class Broken:
        def __str__(self):
            raise RuntimeError

    for log_format in ("text", "json"):
        with Sink(log_format) as sink:
            sink.log.info("event", value=Broken())
            assert "Broken: no text" in sink.text()


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ({}, ["info", "warning", "error"]),
        ({"log_level": "debug"}, ["debug", "info", "warning", "error"]),
        ({"log_level": "error"}, ["error"]),
    ],
)
def test_events_below_the_level_are_left_out(options, levels):
    """Debugging events are for those who ask; nothing that was left out counts as dropped."""
    reading, writing = os.pipe()
    log = EventLog(writing, "json", **options)
    for level in ("debug", "info", "warning", "error"):
        getattr(log, level)("x")
    os.close(writing)
    with os.fdopen(reading) as lines:
        assert [json.loads(line)["level"] for line in lines] == levels
    assert log.dropped == 0

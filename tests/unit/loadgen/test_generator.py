"""The open loop against a small scripted server on real sockets."""

import asyncio

import httptools
import pytest
import uvloop

from sojourn.domain.request import Outcome
from sojourn.errors import ClientError, ConfigurationError
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.record import OUTCOMES
from sojourn.loadgen.result import summarize
from sojourn.loadgen.target import Target


def reply(body=b"ok", status=200, headers=b""):
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), headers, body)


class ScriptedServer:
    """Answers the n-th request with `script(n, body)`: bytes to write, None for silence, or a function of the server."""

    def __init__(self, script):
        self.script = script
        self.bodies = []
        self.transports = []

    async def __aenter__(self):
        self.server = await asyncio.get_running_loop().create_server(lambda: Peer(self), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self.vanish()
        await self.server.wait_closed()

    @property
    def target(self):
        return Target("127.0.0.1", self.port, "/functions/f")

    @property
    def port(self):
        return self.server.sockets[0].getsockname()[1]

    def vanish(self):
        self.server.close()
        for transport in self.transports:
            transport.abort()


class Peer(asyncio.Protocol):
    def __init__(self, owner):
        self.owner = owner
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def connection_made(self, transport):
        self.transport = transport
        self.owner.transports.append(transport)

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        number = len(self.owner.bodies)
        self.owner.bodies.append(self.body)
        self.body = b""
        answer = self.owner.script(number, self)
        if answer is not None:
            self.transport.write(answer)


def drive(script, arrivals, bodies=(b"{}",), **options):
    """Run arrivals against a scripted server; returns the run and the server."""
    check = options.pop("check", None)
    on_progress = options.pop("on_progress", None)

    async def main():
        async with ScriptedServer(script) as server:
            run = LoadRun(
                server.target,
                arrivals,
                bodies,
                options=LoadOptions(**options),
                check=check,
                on_progress=on_progress,
            )
            await run.run()
            return run, server

    return uvloop.run(main())


def outcomes(run):
    return {name: count for name, count in summarize(run, duration_s=1).outcomes.items() if count}


SOON = [number / 1000 for number in range(40)]


def test_every_arrival_is_sent_and_answered_and_bodies_take_turns():
    """Forty arrivals, three bodies: all served, each body used in turn, one row per request."""
    run, server = drive(lambda *_: reply(), SOON, [b"1", b"22", b"333"])
    assert outcomes(run) == {"served": 40}
    assert sorted(server.bodies) == sorted([b"1", b"22", b"333"] * 13 + [b"1"])
    assert list(run.log.intended_at_s) == SOON
    assert all(lateness_s >= 0 for lateness_s in run.log.lateness_s)
    assert all(latency_s >= late_s for latency_s, late_s in zip(run.log.latency_s, run.log.lateness_s, strict=True))


def test_nobody_waits_for_an_answer():
    """The server answers nothing until it has all forty requests; a loop that waits for answers would hang."""
    held = []

    def script(number, peer):
        held.append(peer.transport)
        if number == 39:
            for transport in held:
                transport.write(reply())

    run, _ = drive(script, SOON)
    assert outcomes(run) == {"served": 40}
    assert run.connections_peak == 40


def test_a_body_function_is_asked_by_index_and_each_answer_is_checked_against_it():
    """Answers echo their body; the check sees the right pair every time and counts the one wrong answer."""
    echo = []

    def script(number, peer):
        body = peer.owner.bodies[number]
        return reply(b"wrong" if body == b"7" else body)

    def check(index, body):
        echo.append(index)
        return body == str(index).encode()

    run, _ = drive(script, SOON, lambda index: str(index).encode(), check=check)
    assert sorted(echo) == list(range(40))
    assert run.log.mismatched == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "served"),
        (429, "shed"),
        (503, "shed"),
        (504, "expired"),
        (422, "failed"),
        (500, "failed"),
        (302, "failed"),
    ],
)
def test_the_status_decides_the_outcome(status, outcome):
    """The one table of the design; what was not served keeps the first answer's text for the report."""
    run, _ = drive(lambda *_: reply(b"why", status), SOON[:3])
    assert outcomes(run) == {outcome: 3}
    assert run.log.statuses == {status: 3}
    assert run.log.first_failure == ("" if status == 200 else f"HTTP {status}: why")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"whole"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2\r\nle\r\n0\r\n\r\n",
        reply(b"whole", headers=b"Connection: close\r\n"),
    ],
    ids=["interim", "chunked", "last of its connection"],
)
def test_answers_of_all_shapes_are_read(answer):
    """Interim answers are passed over, chunks joined, and a closing server costs only a new connection."""
    seen = []
    run, _ = drive(lambda *_: answer, SOON, check=lambda _, body: seen.append(body) or True)
    assert outcomes(run) == {"served": 40}
    assert set(seen) == {b"whole"}


def test_an_answer_that_ends_with_the_connection_is_whole():
    """No length and no chunks: the end of the stream is the end of the body."""

    def script(_, peer):
        peer.transport.write(b"HTTP/1.1 200 OK\r\n\r\nwho")
        peer.transport.write(b"le")
        peer.transport.close()

    seen = []
    run, _ = drive(script, SOON[:5], check=lambda _, body: seen.append(body) or True)
    assert outcomes(run) == {"served": 5}
    assert set(seen) == {b"whole"}


def test_server_timing_is_kept_per_request():
    """Queue wait, service time (as seconds) and batch size; without the header they are unknown."""
    timing = b'Server-Timing: parse;dur=0.1, queue;dur=1.5, service;dur=20, batch;desc="16"\r\n'
    run, _ = drive(lambda number, _: reply(headers=timing if number else b""), [0.0, 0.02])
    assert list(run.log.batch_size) == [0, 16]
    assert run.log.queue_wait_s[1] == pytest.approx(0.0015)
    assert run.log.service_time_s[1] == pytest.approx(0.02)
    assert run.log.queue_wait_s[0] != run.log.queue_wait_s[0]


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
def test_a_broken_answer_fails_alone(answer):
    """One request gets garbage or half an answer and a closed connection; the others are served."""

    def script(number, peer):
        if number != 5:
            return reply()
        peer.transport.write(answer)
        peer.transport.close()
        return None

    run, _ = drive(script, SOON)
    assert outcomes(run) == {"served": 39, "failed": 1}
    assert summarize(run, duration_s=1).failures.connections == 1


def test_a_server_gone_in_mid_run_fails_the_rest_and_the_run_ends():
    """After ten requests the server vanishes; every later one is a failed connection, none is left open."""

    def script(number, peer):
        if number == 9:
            peer.owner.vanish()
        return reply()

    run, _ = drive(script, SOON)
    result = summarize(run, duration_s=1)
    assert result.sent == sum(result.outcomes.values()) == 40
    assert result.outcomes["failed"] == result.failures.connections >= 30
    assert result.failures.first


def test_patience_ends_and_the_connection_is_dropped():
    """A request that is never answered is failed by timeout; those after it are served on other connections."""
    run, server = drive(lambda number, _: None if number == 3 else reply(), SOON, timeout_s=2.0)
    result = summarize(run, duration_s=1)
    assert outcomes(run) == {"served": 39, "failed": 1}
    assert result.failures.timeouts == 1
    assert run.log.outcome[3] == OUTCOMES.index(Outcome.FAILED)
    assert len(server.bodies) == 40


def test_a_run_that_hits_its_connection_bound_is_void():
    """Two connections and a server that answers in pairs: all are served, but the generator had to hold some back."""
    held = []

    def script(_, peer):
        held.append(peer.transport)
        if len(held) == 2:
            for transport in held:
                transport.write(reply())
            held.clear()

    run, _ = drive(script, [0.0] * 40, connections_max=2)
    result = summarize(run, duration_s=1)
    assert outcomes(run) == {"served": 40}
    assert run.connections_peak == 2
    assert result.void
    assert "2 connections were taken" in result.void_reason


def test_a_request_held_back_goes_out_when_a_connection_ends():
    """One connection at a time, each closed by the server after its answer: all forty get one in the end."""
    run, _ = drive(lambda *_: reply(headers=b"Connection: close\r\n"), [0.0] * 40, connections_max=1, timeout_s=5)
    assert outcomes(run) == {"served": 40}


def test_the_connection_of_a_request_given_up_makes_room():
    """The only connection is held by a request that is never answered; once it is given up, the next is served."""
    run, _ = drive(lambda number, _: reply() if number else None, [0.0, 0.4], connections_max=1, timeout_s=0.5)
    assert outcomes(run) == {"served": 1, "failed": 1}


def test_requests_held_back_still_run_out_of_patience():
    """The bound is taken by a silent server: every request ends by timeout and the run ends."""
    run, _ = drive(lambda *_: None, SOON, connections_max=2, timeout_s=0.2)
    assert outcomes(run) == {"failed": 40}
    assert summarize(run, duration_s=1).failures.timeouts == 40


def test_no_arrivals_is_an_empty_run():
    """Nothing to send ends at once, with no quantiles and no division by zero."""
    run, _ = drive(lambda *_: reply(), [])
    result = summarize(run, duration_s=1)
    assert (result.sent, result.within_slo, result.latency_s.p99, result.void) == (0, None, None, False)


def test_nothing_listening_is_an_error_with_a_remedy():
    """The first connection fails before anything is measured."""

    async def main():
        async with ScriptedServer(lambda *_: reply()) as server:
            target = server.target
        await LoadRun(target, SOON, [b"{}"]).run()

    with pytest.raises(ClientError, match="is the server running"):
        uvloop.run(main())


def test_what_check_or_progress_raise_ends_the_run():
    """A fault of the caller's own code is raised to the caller, not counted as the server's."""

    def broken(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(lambda *_: reply(), SOON, check=broken)
    with pytest.raises(ZeroDivisionError):
        drive(lambda *_: None, SOON, timeout_s=5, on_progress=broken)


def test_progress_sees_the_run_go_on():
    """Counters may be read while requests are in flight."""
    seen = []
    drive(lambda *_: None, SOON, timeout_s=0.3, on_progress=lambda run: seen.append((len(run.log), run.in_flight)))
    assert seen
    assert all(in_flight <= sent for sent, in_flight in seen)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"timeout_s": 0}, "timeout_s"),
        ({"connections_max": 0}, "connections_max"),
        ({"progress_every_s": -1}, "progress"),
    ],
)
def test_bad_options_are_refused(options, what):
    """At construction, by name."""
    with pytest.raises(ConfigurationError, match=what):
        LoadOptions(**options)


def test_an_empty_list_of_bodies_is_refused():
    """There would be nothing to send."""
    with pytest.raises(ConfigurationError, match="at least one request body"):
        LoadRun(Target("127.0.0.1", 1, "/"), [], [])

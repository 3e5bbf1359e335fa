"""How long a simulation will take: the estimate, the question before a long one, and what an interrupted one keeps."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from sojourn.cli.main import run
from sojourn.cli.simulate_estimate import estimate, expected_requests, long_text
from sojourn.domain.function import FunctionSettings
from sojourn.sim.replica import ModelledService
from sojourn.sim.scenario import Scenario, SimulatedFunction, Traffic
from sojourn.workload.spec import parse_arrivals

MODEL = ["--model", "0.0005,0.005", "--cold-start", "100ms"]


def scenario(rate_per_s, duration_s, functions=1, arrivals="poisson"):
    return Scenario(
        functions=tuple(
            SimulatedFunction(
                settings=FunctionSettings(name=f"f{number}"),
                service=ModelledService(0.0005, 0.005),
                traffic=Traffic(parse_arrivals(arrivals), rate_per_s),
            )
            for number in range(functions)
        ),
        duration_s=duration_s,
    )


@pytest.mark.parametrize(
    ("arrivals", "rate_per_s", "duration_s"),
    [("poisson", 10.0, 100.0), ("constant", 1e9, 3600.0), ("flash", 1e4, 600.0), ("timer", 0.01, 1000.0)],
)
def test_requests_are_estimated(arrivals, rate_per_s, duration_s):
    """Within a tenth of what the rate says, however many there are."""
    expected = expected_requests(scenario(rate_per_s, duration_s, arrivals=arrivals))
    assert expected == pytest.approx(rate_per_s * duration_s, rel=0.1)


def test_a_small_run_is_not_measured_and_a_large_one_is():
    """The clock moves a millisecond at each look: the first requests tell how long the rest takes."""
    assert estimate(scenario(100.0, 10.0)).time_s == 0.0
    ticks = iter(step / 1000 for step in range(100_000))
    large = estimate(scenario(1000.0, 36_000.0), clock=lambda: next(ticks))
    assert large.requests == pytest.approx(3.6e7)
    assert large.requests_per_s is not None
    assert large.time_s == pytest.approx(large.requests / large.requests_per_s)
    assert large.memory_bytes > 1e9
    assert "36,000,000 requests" in large.text()


def test_a_run_whose_beginning_takes_long_is_not_waited_for():
    """A clock that runs away: after a few seconds the look ahead ends, and says that it does not know."""
    ticks = iter(10.0 * step for step in range(1000))
    unknown = estimate(scenario(1000.0, 36_000.0), clock=lambda: next(ticks))
    assert "an unknown time" in unknown.text()
    assert next(ticks) < 100


def test_a_run_with_hardly_a_request_is_over_at_once():
    """A year with a request in a century: the look ahead was the whole run, and its time is known."""
    ticks = iter(step / 1000 for step in range(1_000_000))
    bare = estimate(scenario(1e-10, 3e7), clock=lambda: next(ticks))
    assert bare.text().startswith("hardly any requests, ")
    assert bare.time_s < 1


def test_sparse_traffic_is_estimated_by_time():
    """Few requests over days: a hundredth of the time tells of the rest."""
    ticks = iter(step / 1000 for step in range(1_000_000))
    sparse = estimate(scenario(1e-4, 3e6), clock=lambda: next(ticks))
    assert sparse.requests_per_s is None
    assert 0 < sparse.time_s < 1e6


@pytest.mark.parametrize(
    ("value_s", "text"), [(40.0, "40 seconds"), (600.0, "10 minutes"), (1e4, "2.8 hours"), (1e10, "320 years")]
)
def test_long_times_are_told_roughly(value_s, text):
    """In the unit that suits them."""
    assert long_text(value_s) == text


HOURS = [*MODEL, "--slo", "50ms", "--rate", "1500", "--duration", "3h"]  # minutes of work on any machine


def test_hours_of_work_are_not_begun_unasked(capsys, monkeypatch):
    """Without a terminal there is nobody to ask: the estimate is told, and what to say."""
    monkeypatch.setattr("sys.stdin", io.StringIO())  # also where the tests themselves have a terminal
    assert run(["simulate", *HOURS]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "16,200,000 requests" in said
    assert "minutes" in said
    assert "--yes" in said


class Terminal:
    """`sojourn simulate` with a terminal for its standard input and error; `with` sees to it that it ends."""

    def __init__(self, *arguments):
        self._master, slave = pty.openpty()
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sojourn.cli.main", "simulate", *arguments],
            stdin=slave,
            stderr=slave,
            stdout=subprocess.PIPE,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(slave)

    def wait_for(self, text, count=1):
        while self.seen.count(text) < count:
            self.seen += os.read(self._master, 4096)

    def type(self, text):
        os.write(self._master, text)

    def end(self):
        out = self.process.stdout.read()
        return self.process.wait(60), out

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        os.close(self._master)


def test_an_interrupted_run_keeps_what_it_has():
    """Asked, agreed, watched, interrupted: the partial numbers are printed and marked, exit 130."""
    with Terminal(*HOURS, "--json") as terminal:
        terminal.wait_for(b"[y/N]")
        terminal.type(b"y\n")
        terminal.wait_for(b"requests/s", 3)
        terminal.process.send_signal(signal.SIGINT)
        code, out = terminal.end()
    assert code == 130
    told = json.loads(out)
    assert told["partial"] is True
    assert told["sent"] > 0
    assert told["duration_s"] < 3 * 3600
    assert told["rate_per_s"] == pytest.approx(1500, rel=0.2)
    assert any("partial" in note for note in told["notes"])
    assert b"of 10,800 s" in terminal.seen


def test_a_no_is_a_no():
    """Nothing is simulated, exit 1."""
    with Terminal(*HOURS) as terminal:
        terminal.wait_for(b"[y/N]")
        terminal.type(b"n\n")
        terminal.wait_for(b"nothing was simulated")
        code, out = terminal.end()
    assert code == 1
    assert out == b""

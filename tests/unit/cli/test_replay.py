"""`sojourn replay`: the same decisions, another policy on the recorded traffic, and what is refused."""

from __future__ import annotations

import json
from random import Random

import msgspec
import pytest
from click.testing import CliRunner

from sojourn.cli.replay import replay
from sojourn.cli.simulate import simulate
from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import DispatcherAction
from sojourn.domain.event import DispatcherEvent
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.telemetry.journal_file import JournalHead, write_journal
from sojourn.workload.arrivals import poisson


@pytest.fixture
def recorded(tmp_path):
    """A function of a journal: (head, steps, and a way to write them)."""
    settings = FunctionSettings(name="f", slo=SLO(0.1), max_batch_size=8, min_replicas=1, max_replicas=1)
    steps = []

    def keep(event, now_s, actions):
        if isinstance(event, DispatcherEvent) and all(isinstance(action, DispatcherAction) for action in actions):
            steps.append((now_s, event, actions))

    service = ModelledService(0.002, 0.010, sigma=0.1)
    simulation = Simulation(
        Dispatcher(settings, batching_policy(settings.batching)), Controller(Random(1)), service, Random(1), keep
    )
    simulation.run(poisson(200.0, 5.0, Random(1)))
    head = JournalHead(function="f", revision="r", settings=settings)

    def write(head=head, steps=steps):
        path = tmp_path / "f.journal"
        write_journal(path, head, steps)
        return str(path)

    return head, steps, write


def run(*arguments):
    return CliRunner().invoke(replay, list(arguments), standalone_mode=False)


def test_a_journal_is_played_again(recorded):
    """Every step, and the sentence says so; as JSON, too."""
    _, steps, write = recorded
    done = run(write())
    assert done.return_value == 0
    assert f"{len(steps):,} steps played again: every decision is the one recorded" in done.output
    assert json.loads(run(write(), "--json").output)["differs_at"] is None


def test_the_first_other_decision_is_shown(recorded):
    """With what was recorded and what is decided now; exit code 1."""
    _, steps, write = recorded
    place = next(number for number, step in enumerate(steps) if step[2])
    at_s, event, actions = steps[place]
    done = run(write(steps=[*steps[:place], (at_s, event, actions[:-1]), *steps[place + 1 :]]))
    assert f"step {place:,} at" in done.output
    assert done.return_value == 1
    assert "recorded:" in done.output


def test_recorded_traffic_meets_another_policy(recorded):
    """The same requests in batches of one: too much for one replica, and exit code 3."""
    _, steps, write = recorded
    arrivals = sum(type(event).__name__ == "RequestArrived" for _, event, _ in steps)
    as_was = json.loads(run(write(), "--traffic", "--json").output)
    other = run(write(), "--batching", "none", "--json")
    alone = json.loads(other.output)
    assert as_was["sent"] == alone["sent"] == arrivals
    assert as_was["within_slo"] > 0.95 > alone["within_slo"]
    assert other.return_value == 3
    assert alone["functions"]["f"]["batching"] == "none"
    assert "batching" not in run(write(), "--replicas", "2").output


def test_what_cannot_be_played_is_refused(recorded, tmp_path):
    """A tail, a policy nobody knows, two answers to one question, no journal."""
    head, steps, write = recorded
    tail = write(msgspec.structs.replace(head, dropped=3), steps[3:])
    assert "--journal-steps" in str(run(tail).exception)
    assert run(tail, "--traffic").return_value in {0, 3}
    assert "window" in str(run(write(), "--batching", "windw").exception)
    assert "one of them" in str(run(write(), "--replicas", "2", "--scaling", "slo").exception)
    assert "cannot be read" in str(run(str(tmp_path / "none")).exception)


def test_a_simulated_run_writes_a_journal_that_is_played_again(tmp_path):
    """As a server's: every decision of the run is made again, and two functions have no single journal."""
    path = tmp_path / "model.journal"
    asked = ["--model", "0.002,0.01,0.1", "--slo", "100ms", "--rate", "300", "--duration", "4", "--cold-start", "1s"]
    done = CliRunner().invoke(simulate, [*asked, "--journal", str(path)], standalone_mode=False)
    assert done.exception is None
    again = run(str(path))
    assert "every decision is the one recorded" in again.output
    assert again.return_value == 0
    two = tmp_path / "two.csv"
    two.write_text("t_s,function\n0,a\n1,b\n")
    refused = CliRunner().invoke(
        simulate, ["--model", "0.01,0.01", "--arrivals", f"trace:{two}", "--journal", f"{path}2"], standalone_mode=False
    )
    assert "one function" in str(refused.exception)

"""Recorded journals: played again they decide the same, and as traffic they make runs like the recorded one."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import DispatcherAction
from sojourn.domain.event import BatchCompleted, DispatcherEvent
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.errors import ConfigurationError
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.arrival import Arrival
from sojourn.sim.driver import Simulation
from sojourn.sim.mishap import MishapRates, SeededFates
from sojourn.sim.replay import arrivals_of, replay, service_of
from sojourn.sim.replica import ModelledService
from sojourn.telemetry.journal_file import JournalHead, RecordedJournal
from sojourn.workload.arrivals import poisson


def recorded(batching="slo", service=None, seed=1, rate_per_s=300.0) -> RecordedJournal:
    """The journal of a simulated function with deaths, lost replies and clients that leave."""
    settings = FunctionSettings(
        name="f", slo=SLO(0.05), max_batch_size=8, min_replicas=2, max_replicas=2, batching=BATCHING_BY_NAME[batching]
    )
    steps = []

    def keep(event, now_s, actions):
        if isinstance(event, DispatcherEvent) and all(isinstance(action, DispatcherAction) for action in actions):
            steps.append((now_s, event, actions))

    simulation = Simulation(
        Dispatcher(settings, batching_policy(settings.batching)),
        Controller(Random(seed)),
        service or ModelledService(0.001, 0.004, sigma=0.1),
        Random(seed),
        keep,
        fates=SeededFates(MishapRates(death=0.01, lost_reply=0.01), Random(seed)),
    )
    rng = Random(seed)
    simulation.run(
        Arrival(at_s, body_bytes=7, patience_s=0.004 if rng.random() < 0.05 else None)
        for at_s in poisson(rate_per_s, 10.0, Random(seed))
    )
    return RecordedJournal(JournalHead(function="f", revision="r", settings=settings), steps)


@pytest.mark.parametrize("batching", ["slo", "window", "consolidate", "fixed"])
def test_a_journal_played_again_decides_the_same(batching):
    """Every action of every step, faults included."""
    journal = recorded(batching)
    played = replay(journal)
    assert (played.differs_at, played.steps) == (None, len(journal.steps))
    assert played.steps > 3000


def test_another_decision_is_found_at_its_step():
    """A journal of one policy does not pass for that of another; the first step that differs is shown."""
    journal = recorded("slo")
    other = msgspec.structs.replace(journal.head.settings, batching=BATCHING_BY_NAME["none"])
    played = replay(RecordedJournal(msgspec.structs.replace(journal.head, settings=other), journal.steps))
    assert played.differs_at is not None
    assert played.expected != played.found
    assert played.steps == played.differs_at + 1


def test_a_tail_cannot_be_played_again():
    """The state at its beginning is unknown; the error says what to do."""
    journal = recorded()
    tail = RecordedJournal(msgspec.structs.replace(journal.head, dropped=12), journal.steps[12:])
    with pytest.raises(ConfigurationError, match="--journal-steps"):
        replay(tail)
    assert arrivals_of(tail)


def test_requests_and_service_times_are_taken_over():
    """Instants, sizes and leaving clients of the requests; alpha, beta and spread of the batches."""
    journal = recorded(service=ModelledService(0.002, 0.010, sigma=0.1), rate_per_s=250.0)
    arrivals = arrivals_of(journal)
    assert len(arrivals) == pytest.approx(2500, rel=0.1)
    assert {arrival.body_bytes for arrival in arrivals} == {7}
    left = [arrival.patience_s for arrival in arrivals if arrival.patience_s is not None]
    assert left == [pytest.approx(0.004)] * len(left)
    assert left
    service = service_of(journal)
    assert service.mean_s(8) == pytest.approx(0.026, rel=0.05)
    assert service.mean_s(1) == pytest.approx(0.012, rel=0.1)
    mean_s = sum(service.duration_s(8, Random(n)) for n in range(2000)) / 2000
    assert mean_s == pytest.approx(0.026, rel=0.05)


def test_service_times_need_batches():
    """Three at least."""
    journal = recorded()
    few = [step for step in journal.steps if not isinstance(step[1], BatchCompleted)]
    with pytest.raises(ConfigurationError, match="0 batches"):
        service_of(RecordedJournal(journal.head, few))

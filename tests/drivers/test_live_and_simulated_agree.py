"""The live driver and the simulator make the same decisions from the same arrivals."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from virtual_loop import VirtualLoop

from sojourn.core.admission import QueueBounds
from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import DispatchBatch, Finish
from sojourn.domain.event import ReplicaLeased
from sojourn.domain.function import FunctionManifest, FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.domain.request import Outcome
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.runtime import service as service_module
from sojourn.runtime.service import FunctionService
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.telemetry.journal import Journal
from sojourn.telemetry.meter import FunctionMeter
from sojourn.wire.message import ContentKind, Done

# Noise keeps completions from falling on one instant, where asyncio's order of timers is open.
SERVICE = ModelledService(alpha_s=0.001, beta_s=0.004, sigma=0.1)
STEPS_KEPT = 1_000_000


class CountingCaller:
    """Takes the answer of one request."""

    trace = None

    def __init__(self, ends: list[str]) -> None:
        self._ends = ends

    def name(self) -> str:
        return "r"

    def outbox(self):
        return None

    def answer(self, body, kind, timing) -> None:
        assert body == b"r"
        self._ends.append("answered")

    def refuse(self, fault, message, status, retry_after_s, timing=b"") -> None:
        self._ends.append(str(fault))


class Owner:
    """Nobody is suspected or infeasible here."""

    def lease_returned(self, replica_id):
        raise AssertionError("no replica was revoked")

    def replica_suspected(self, suspect):
        raise AssertionError("no replica is ill")

    def objective_infeasible(self, function, why):
        raise AssertionError("the objective is feasible")

    def demand_reported(self, report):
        assert report.replicas >= 1

    def cause_of(self, function):
        return ""


class ModelledLink:
    """A replica on the virtual loop: answers each batch after its modelled service time."""

    def __init__(self, replica_id: int, loop: VirtualLoop, service: FunctionService, rng: Random) -> None:
        self.replica_id = replica_id
        self._loop = loop
        self._service = service
        self._rng = rng

    def run(self, batch_id: int, bodies: list[bytes], kinds: bytes) -> None:
        now_s = self._loop.time()
        done = Done(batch_id, now_s, now_s, now_s, now_s, [b"r"] * len(bodies), kinds)
        self._loop.call_later(SERVICE.duration_s(len(bodies), self._rng), self._service.batch_done, self, done)

    def send(self, message) -> None:
        """Cancelled calls run to their end, as in the simulator."""


def decisions(steps) -> list[tuple]:
    """What was decided and when: batches with their members, ends with their outcome."""
    found: list[tuple] = []
    for now_s, _, actions in steps:
        for action in actions:
            if isinstance(action, DispatchBatch):
                found.append((now_s, "batch", action.replica_id, tuple(action.request_ids)))
            elif isinstance(action, Finish):
                found.append((now_s, action.outcome, action.request_id))
    return found


def run_live(function: FunctionSettings, arrivals_s: list[float], replicas: int) -> tuple[list[tuple], list[str]]:
    loop = VirtualLoop()
    try:
        journal, ends = Journal(STEPS_KEPT), []
        manifest = FunctionManifest(target="app.py", attribute="f", settings=function, revision="r")
        meter = FunctionMeter("f", "r", (0.1, 1.0))
        service = FunctionService(manifest, meter, QueueBounds(), journal, Owner(), clock=loop.time)
        rng = Random(0)

        async def main() -> None:
            for replica_id in range(1, replicas + 1):
                service.links[replica_id] = ModelledLink(replica_id, loop, service, rng)
                service.happened(ReplicaLeased(replica_id))
            for at_s in arrivals_s:
                loop.call_at(at_s, service.submit, CountingCaller(ends), b"{}", ContentKind.JSON, 1, None)
            finished = loop.create_future()
            loop.call_at(arrivals_s[-1] + 60.0, finished.set_result, None)
            await finished

        loop.run_until_complete(main())
        service.close()
        return decisions(journal.tail(STEPS_KEPT)), ends
    finally:
        loop.close()


def run_simulated(function: FunctionSettings, arrivals_s: list[float], replicas: int) -> list[tuple]:
    steps: list[tuple] = []
    dispatcher = Dispatcher(function, batching_policy(function.batching), QueueBounds())
    simulation = Simulation(
        dispatcher,
        Controller(Random(0)),
        SERVICE,
        Random(0),
        observe=lambda event, now_s, actions: steps.append((now_s, event, actions)),
    )
    simulation.run(arrivals_s)
    return decisions(steps)


@pytest.fixture(autouse=True, scope="module")
def exact_timers():
    """The virtual loop's timers fire when they are due; real ones up to half a millisecond early, which the service allows for.

    Who arrives within that half millisecond would be decided on in another order, and rightly so.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_module, "_TIMER_TICK_S", 1e-9)
        yield


@example(gaps_s=[1e-06, 0.00113, 0.0071, 0.0071, 0.23], replicas=1)
@pytest.mark.parametrize("policy", ["slo", "latency", "none", "fixed", "window"])
@given(
    gaps_s=st.lists(
        st.sampled_from([0.000_001, 0.000_001, 0.00037, 0.00113, 0.0071, 0.031, 0.23]), min_size=1, max_size=120
    ),
    replicas=st.integers(1, 3),
)
@settings(max_examples=15, deadline=None)
def test_same_arrivals_same_decisions(policy: str, gaps_s: list[float], replicas: int):
    """Each batch has the same members, replica and instant in both drivers; each request the same end."""
    function = FunctionSettings(
        name="f",
        slo=SLO(0.05),
        max_batch_size=8,
        min_replicas=replicas,
        max_replicas=replicas,
        timeout_s=0.5,
        batching=BATCHING_BY_NAME[policy],
    )
    arrivals_s, at_s = [], 0.001
    for gap_s in gaps_s:
        at_s += gap_s
        arrivals_s.append(at_s)
    live, ends = run_live(function, arrivals_s, replicas)
    simulated = run_simulated(function, arrivals_s, replicas)
    assert [decision[1:] for decision in live] == [decision[1:] for decision in simulated]
    assert [decision[0] for decision in live] == pytest.approx([decision[0] for decision in simulated], abs=1e-6)
    assert len(ends) == len(arrivals_s)
    assert ends.count("answered") == sum(1 for decision in live if decision[1] is Outcome.SERVED)

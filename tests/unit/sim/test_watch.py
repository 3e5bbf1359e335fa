"""Objectives in virtual time: counted, blamed and alerted on as a server does."""

from __future__ import annotations

from random import Random

from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.event import ReplicaExited, ReplicaLost
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.request import Outcome
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.arrival import Arrival
from sojourn.sim.driver import Simulation
from sojourn.sim.replica import ModelledService
from sojourn.sim.watch import Watch
from sojourn.slo.alert import AlertState
from sojourn.slo.cause import Cause
from sojourn.workload.arrivals import constant, poisson


def watched(arrivals, *, slo, service, kill_at_s=None, **options):
    settings = FunctionSettings(name="f", slo=slo, max_replicas=1, **options)
    watch = Watch(slo)
    run = Simulation(
        Dispatcher(settings, batching_policy(settings.batching)), Controller(Random(1)), service, Random(1), watch=watch
    )
    if kill_at_s is not None:
        run.at(kill_at_s, ReplicaLost(1))
        run.at(kill_at_s, ReplicaExited(1, "killed"))
    return run.run(arrivals), watch


def test_counts_are_those_of_the_result_and_each_bad_request_has_a_cause():
    """Clients that leave early count for nothing; good and bad add up."""
    arrivals = [
        Arrival(1.0 + at_s, patience_s=0.001 if number % 50 == 0 else None)
        for number, at_s in enumerate(poisson(900.0, 20.0, Random(2)))
    ]
    service = ModelledService(0.001, 0.02, sigma=0.3, drift=((0.0, 1.0), (12.0, 2.0)))
    result, watch = watched(arrivals, slo=SLO(0.1), service=service, max_batch_size=32)
    total, good = watch.monitor.total_good(30.0, 3600.0)
    assert good == result.within_slo
    left = result.outcomes[Outcome.CANCELLED]  # others were refused before they could leave
    assert left > 100
    assert total == result.sent - left
    assert sum(watch.bad_by_cause.values()) == total - good > 0


def test_a_lost_replica_spends_the_budget_and_pages():
    """Of steady traffic, what waits for the new replica is bad, and a page fires while it is not there."""
    result, watch = watched(
        (1.0 + at_s for at_s in constant(100.0, 120.0)),
        slo=SLO(0.1, 0.999, 3600.0),
        service=ModelledService(0.0, 0.004, cold_start_s=20.0),
        kill_at_s=60.0,
        start_timeout_s=60.0,
    )
    assert result.within_share < 0.9
    assert watch.bad_by_cause.get(Cause.REPLICA_LOSS, 0) + watch.bad_by_cause.get(Cause.COLD_START, 0) > 1000
    fired = [at_s for at_s, rule, state in watch.alerts if rule == "page-fast" and state is AlertState.FIRING]
    assert fired
    assert fired[0] < 82.0


def test_a_quiet_run_has_neither_causes_nor_alerts():
    """Everything is in time."""
    _, watch = watched((1.0 + at_s for at_s in constant(50.0, 60.0)), slo=SLO(0.1), service=ModelledService(0.0, 0.004))
    assert watch.bad_by_cause == {}
    assert watch.alerts == []

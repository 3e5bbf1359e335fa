"""The simulator against queueing theory: mean waits of M/M/1, M/M/c, M/D/1 and M/G/1, and Little's law."""

import sys
from math import exp, fsum
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import queues

from sojourn.domain.action import Finish
from sojourn.domain.event import RequestArrived
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import FixedReplicas
from sojourn.estimate.queueing import erlang_c
from sojourn.sim.replica import ModelledService
from sojourn.sim.scenario import Scenario, SimulatedFunction, Traffic, simulate
from sojourn.workload.spec import parse_arrivals

PLAIN = ModelledService(queues.SERVICE_S, 0.0)
REPLICATIONS, REQUESTS = 8, 2500
SLACK = 3.0


def waits_s(servers, load, service=PLAIN, *, exponential=False):
    return [
        queues.mean_wait_s(
            servers=servers, load=load, requests=REQUESTS, seed=seed, service=service, exponential=exponential
        )
        for seed in range(REPLICATIONS)
    ]


@pytest.mark.parametrize(("servers", "load"), [(1, 0.6), (4, 0.75)])
def test_mean_wait_of_m_m_c(servers, load):
    """Poisson arrivals, exponential service: C(c, a) / (c mu - lam), within three standard errors."""
    mu, lam = 1 / queues.SERVICE_S, servers * load / queues.SERVICE_S
    expected_s = erlang_c(servers, servers * load) / (servers * mu - lam)
    assert queues.standard_errors_off(waits_s(servers, load, exponential=True), expected_s) < SLACK


def test_mean_wait_of_m_d_1():
    """Constant service halves the wait of M/M/1: lam s^2 / (2 (1 - rho))."""
    load = 0.7
    expected_s = load * queues.SERVICE_S / (2 * (1 - load))
    waits = waits_s(1, load)
    assert queues.standard_errors_off(waits, expected_s) < SLACK
    assert queues.standard_errors_off(waits, 2 * expected_s) > 10 * SLACK  # the test can tell them apart


def test_mean_wait_of_m_g_1_with_lognormal_service():
    """The noise of modelled replicas has the second moment it should: Pollaczek and Khinchine, E S^2 = s^2 e^(sigma^2)."""
    load, sigma = 0.6, 0.5
    expected_s = load * queues.SERVICE_S * exp(sigma**2) / (2 * (1 - load))
    waits = waits_s(1, load, ModelledService(queues.SERVICE_S, 0.0, sigma=sigma))
    assert queues.standard_errors_off(waits, expected_s) < SLACK


def test_mean_wait_of_m_g_1_with_measured_ratios():
    """Service times drawn from quantiles, linear between them: uniform ratios from 0.2 to 1.8, E S^2 = s^2 (1 + 0.64 x 4/12)."""
    load = 0.6
    expected_s = load * queues.SERVICE_S * (1 + 0.64 / 3) / (2 * (1 - load))
    waits = waits_s(1, load, ModelledService(queues.SERVICE_S, 0.0, ratios=(0.2, 1.0, 1.8)))
    assert queues.standard_errors_off(waits, expected_s) < SLACK


def test_littles_law_is_exact_whatever_happens():
    """Bursts, batches, refusals and expiry: the time average of requests inside is arrival rate x mean sojourn, exactly."""
    function = SimulatedFunction(
        settings=FunctionSettings(name="f", slo=SLO(0.05), max_batch_size=16, scaling=FixedReplicas(2)),
        service=ModelledService(0.001, 0.01, sigma=0.3, cold_start_s=0.3),
        traffic=Traffic(parse_arrivals("bursty"), 2000.0),
    )
    inside, last_s, area, arrived, sojourns_s, ends = 0, 0.0, 0.0, 0, [], set()

    def observe(event, now_s, actions):
        nonlocal inside, last_s, area, arrived
        area += inside * (now_s - last_s)
        last_s = now_s
        if isinstance(event, RequestArrived):
            inside, arrived = inside + 1, arrived + 1
        for action in actions:
            if isinstance(action, Finish):
                inside -= 1
                sojourns_s.append(action.latency_s)
                ends.add(action.outcome)

    simulate(Scenario(functions=(function,), duration_s=4.0, seed=5), observe=observe)
    assert inside == 0
    assert arrived == len(sojourns_s) > 5000
    assert len(ends) > 1  # some were served, some were not
    length_s = last_s
    time_average, rate_per_s, sojourn_s = area / length_s, arrived / length_s, fsum(sojourns_s) / arrived
    assert time_average == pytest.approx(rate_per_s * sojourn_s, rel=1e-9)


def test_replications_are_independent():
    """Different seeds give different waits: the standard error is one of chance, not zero."""
    values = [queues.mean_wait_s(servers=1, load=0.5, requests=200, seed=seed, service=PLAIN) for seed in range(5)]
    assert len(set(values)) == 5
    assert queues.mean_wait_s(servers=1, load=0.5, requests=200, seed=3, service=PLAIN) == values[3]

"""Queueing formulas against textbook values and a simulated queue."""

from __future__ import annotations

from heapq import heapify, heapreplace
from math import exp, factorial, inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.estimate.queueing import erlang_c, wait_quantile_s


def plain_erlang_c(servers, offered):
    """The textbook sum."""
    last = offered**servers / factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**k / factorial(k) for k in range(servers)) + last)


@given(st.integers(1, 40), st.floats(0.01, 0.99))
def test_erlang_c_is_the_textbook_formula(servers, utilization):
    """The recurrence and the sum agree."""
    offered = utilization * servers
    assert erlang_c(servers, offered) == pytest.approx(plain_erlang_c(servers, offered), rel=1e-9)


def test_one_server_waits_as_often_as_it_is_busy():
    """M/M/1: the probability of waiting is rho; from saturation on everybody waits."""
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(3, 3.0) == 1.0
    assert erlang_c(2000, 1800.0) < 0.2  # and no overflow


def test_no_wait_while_few_wait_and_no_bound_in_overload():
    """Under 1 % waiting the p99 is 0; at 1 it is infinite."""
    assert wait_quantile_s(10, 10.0, 0.1) == 0.0
    assert wait_quantile_s(10, 100.0, 0.1) == inf


@pytest.mark.parametrize(("servers", "utilization"), [(1, 0.5), (1, 0.9), (4, 0.8), (16, 0.9)])
def test_the_quantile_is_near_a_simulated_queue(servers, utilization):
    """p99 of the wait in M/D/c: within a quarter of simulation, where somebody waits at all."""
    rng, service_s = Random(7), 0.02
    rate = utilization * servers / service_s
    free_at_s = [0.0] * servers
    heapify(free_at_s)
    now_s, waits_s = 0.0, []
    for _ in range(200_000):
        now_s += rng.expovariate(rate)
        began_s = max(now_s, free_at_s[0])
        heapreplace(free_at_s, began_s + service_s)
        waits_s.append(began_s - now_s)
    p99_s = sorted(waits_s)[int(0.99 * len(waits_s))]
    assert wait_quantile_s(servers, rate, service_s) == pytest.approx(p99_s, rel=0.25)


def test_batches_of_poisson_arrivals_wait_less():
    """Every 25th arrival of a Poisson stream: a queue of such batches waits 1/25 as long, near saturation."""
    rng, service_s, size = Random(11), 0.04, 25
    now_s, free_at_s, waits_s = 0.0, 0.0, []
    for _ in range(100_000):
        now_s += rng.gammavariate(size, service_s / 0.97 / size)
        waits_s.append(max(free_at_s - now_s, 0.0))
        free_at_s = max(free_at_s, now_s) + service_s
    p99_s = sorted(waits_s)[int(0.99 * len(waits_s))]
    assert wait_quantile_s(1, 0.97 / service_s, service_s, burstiness=1 / size) == pytest.approx(p99_s, rel=0.3)


def test_mm1_quantile_is_halved():
    """M/M/1: ln(rho/0.01) / (mu - lam), halved."""
    lam, mu = 8.0, 10.0
    full_s = 2 * wait_quantile_s(1, lam, 1 / mu)
    assert 0.8 * exp(-(mu - lam) * full_s) == pytest.approx(0.01)

"""Waiting times of a queue before several servers, from formulas."""

from __future__ import annotations

from math import inf, log


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival has to wait in M/M/c, in [0, 1]; 1 from saturation on.

    Args:
        servers: Servers `c`, >= 1.
        offered: Offered load `a` = arrival rate x mean service time, >= 0 [Erlang].

    Source:
        A. K. Erlang's delay formula by the recurrence of the loss formula, B(c) = a B(c-1) / (c + a B(c-1)); see
        R. B. Cooper, "Introduction to Queueing Theory", 2nd ed., 3.4. The recurrence does not overflow for many
        servers as the sum of powers and factorials does.
    """
    if offered >= servers:
        return 1.0
    blocked = 1.0
    for server in range(1, servers + 1):
        blocked = offered * blocked / (server + offered * blocked)
    return blocked / (1.0 - offered / servers * (1.0 - blocked))


def wait_quantile_s(
    servers: int, arrivals_per_s: float, service_s: float, burstiness: float = 1.0, quantile: float = 0.99
) -> float:
    """Quantile of the queue wait before servers with constant service times, approximately [s].

    The M/M/c quantile, scaled by how much less arrivals and service times vary than there: by a half for M/D/c.
    Infinite from saturation on.

    Args:
        servers: Servers, >= 1.
        arrivals_per_s: Arrival rate, >= 0 [1/s].
        service_s: Service time, > 0 [s].
        burstiness: Squared coefficient of variation of the times between arrivals, >= 0; 1 for Poisson, 1/b for
            batches of `b` requests that arrive as Poisson.
        quantile: In (0, 1).

    Source:
        M/M/c: W exceeds t with probability C exp(-(c/s - lam) t). The scaling by (Ca^2 + Cs^2) / 2 is A. O. Allen's and
        J. Cunneen's for the mean wait; used for the quantile as in Faro (ALGORITHMS 4).
    """
    waiting = erlang_c(servers, arrivals_per_s * service_s)
    return quantile_of_waiting_s(waiting, servers, arrivals_per_s, service_s, burstiness, quantile)


def quantile_of_waiting_s(
    waiting: float, servers: int, arrivals_per_s: float, service_s: float, burstiness: float, quantile: float
) -> float:
    """`wait_quantile_s` for whoever knows the probability of having to wait, as `erlang_c` tells it [s]."""
    if arrivals_per_s * service_s >= servers:
        return inf
    if waiting <= 1.0 - quantile:
        return 0.0
    return 0.5 * burstiness * log(waiting / (1.0 - quantile)) / (servers / service_s - arrivals_per_s)

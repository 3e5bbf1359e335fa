"""Markov-modulated Poisson arrivals: a rate that jumps at random between a few levels.

Real traffic is often calm, busy or wild for a while. Each of these states has a rate and a mean stay; within
a state arrivals are Poisson. `arrivals.on_off` with exponential phases is the case of two states, one silent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random

from sojourn.workload.arrivals import poisson_between
from sojourn.workload.bounds import check_duration, fault_unless, refuse_faults

STATES_MAX = 32
_SELDOM = 1e-8  # requests per stay below which all states are long averaged out between two requests

Moves = Sequence[Sequence[float]]


def mmpp(
    rates_per_s: Sequence[float],
    stays_s: Sequence[float],
    duration_s: float,
    rng: Random,
    *,
    moves: Moves | None = None,
) -> Iterator[float]:
    """Poisson arrivals whose rate follows a Markov chain in continuous time.

    The run begins in a state drawn from the chain's stationary distribution, so that it is stationary. The
    mean rate is `mean_rate_of_mmpp`, the burstiness `burstiness_of_mmpp`.

    Args:
        rates_per_s: Arrival rate in each state, >= 0; 2 to 32 states.
        stays_s: Mean stay in each state in seconds, > 0; stays are exponential.
        duration_s: Length of the run in seconds, > 0.
        rng: Source of chance.
        moves: `moves[i][j]` is the chance that state i is left for j: rows that sum to 1, with a zero diagonal,
            and every state reachable from every other. None: all others are equally likely.

    Raises:
        ConfigurationError: A value is out of range.
    """
    check_duration(duration_s)
    chances = _checked_moves(rates_per_s, stays_s, moves)
    return _mmpp(tuple(rates_per_s), tuple(stays_s), chances, duration_s, rng)


def mean_rate_of_mmpp(rates_per_s: Sequence[float], stays_s: Sequence[float], *, moves: Moves | None = None) -> float:
    """Mean arrival rate per second: each state's rate by the share of time spent in it. Arguments as in `mmpp`."""
    chances = _checked_moves(rates_per_s, stays_s, moves)
    return _mean(_shares(stays_s, chances), rates_per_s)


def burstiness_of_mmpp(rates_per_s: Sequence[float], stays_s: Sequence[float], *, moves: Moves | None = None) -> float:
    """Squared coefficient of variation of `mmpp`'s interarrival times; Poisson is 1. Arguments as in `mmpp`.

    With Q the chain's generator, L the diagonal matrix of rates, p the stationary shares and m the mean rate:
    `2 m p (L - Q)^-1 1 - 1`.

    Source:
        Fischer and Meier-Hellstern (1993), "The Markov-modulated Poisson process (MMPP) cookbook": moments of
        the time between arrivals, E[X^2] = 2 f (L-Q)^-2 1 with f = p L / m, and p L = p (L-Q).
    """
    chances = _checked_moves(rates_per_s, stays_s, moves)
    shares = _shares(stays_s, chances)
    mean_per_s = _mean(shares, rates_per_s)
    if mean_per_s * max(stays_s) < _SELDOM:
        return 1.0
    states = range(len(stays_s))
    matrix = [[-chances[i][j] / stays_s[i] for j in states] for i in states]
    for i in states:
        matrix[i][i] += rates_per_s[i] + 1 / stays_s[i]
    waits_s = _solved(matrix, [1.0 for _ in states])  # mean time to the next arrival, from each state
    return 2 * mean_per_s * _mean(shares, waits_s) - 1


def dispersion_of_mmpp(rates_per_s: Sequence[float], stays_s: Sequence[float], *, moves: Moves | None = None) -> float:
    """Variance over mean of the counts in long windows; Poisson is 1. Arguments as in `mmpp`.

    With the names of `burstiness_of_mmpp` and d = (L - m) 1, the rates' deviations: `1 + 2 p L y / m`, where
    `-Q y = d` and `p y = 0`.

    Source:
        The same cookbook, limiting index of dispersion for counts, written with the deviation matrix.
    """
    chances = _checked_moves(rates_per_s, stays_s, moves)
    shares = _shares(stays_s, chances)
    mean_per_s = _mean(shares, rates_per_s)
    if mean_per_s == 0:
        return 1.0
    states = range(len(stays_s))
    # -Q is singular by one; adding p to each row makes p y = 0 the solution that is found.
    matrix = [[shares[j] - chances[i][j] / stays_s[i] for j in states] for i in states]
    for i in states:
        matrix[i][i] += 1 / stays_s[i]
    excess = _solved(matrix, [rate - mean_per_s for rate in rates_per_s])
    return 1 + 2 * sum(shares[i] * rates_per_s[i] * excess[i] for i in states) / mean_per_s


def _mmpp(
    rates_per_s: tuple[float, ...], stays_s: tuple[float, ...], moves: Moves, duration_s: float, rng: Random
) -> Iterator[float]:
    states = range(len(rates_per_s))
    onward = [list(accumulate(row)) for row in moves]
    state = rng.choices(states, weights=_shares(stays_s, moves))[0]
    began_at_s = 0.0
    while began_at_s < duration_s:
        ends_at_s = began_at_s + rng.expovariate(1 / stays_s[state])
        yield from poisson_between(began_at_s, min(ends_at_s, duration_s), rates_per_s[state], rng)
        state = rng.choices(states, cum_weights=onward[state])[0]
        began_at_s = ends_at_s


def _checked_moves(rates_per_s: Sequence[float], stays_s: Sequence[float], moves: Moves | None) -> Moves:
    count = len(rates_per_s)
    faults = [
        fault_unless(2 <= count <= STATES_MAX, "the number of states", f"in [2, {STATES_MAX}]", count),
        fault_unless(len(stays_s) == count, "stays_s", f"one number per state ({count})", list(stays_s)),
    ]
    faults += [
        fault_unless(0 <= rate < math.inf, "each rate", "a number per second >= 0", rate) for rate in rates_per_s
    ]
    faults += [fault_unless(0 < stay < math.inf, "each stay", "> 0 seconds", stay) for stay in stays_s]
    if moves is None:
        refuse_faults("Markov-modulated arrivals", faults)
        return [[0.0 if i == j else 1 / (count - 1) for j in range(count)] for i in range(count)]
    is_square = len(moves) == count and all(len(row) == count for row in moves)
    faults.append(fault_unless(is_square, "moves", f"{count} rows of {count} chances", moves))
    if is_square:
        faults += [_fault_of_row(number, row) for number, row in enumerate(moves)]
    refuse_faults("Markov-modulated arrivals", faults)
    if not all(_reached(moves, start) for start in range(count)):
        refuse_faults("Markov-modulated arrivals", ["moves must lead from every state to every other"])
    return moves


def _fault_of_row(number: int, row: Sequence[float]) -> str | None:
    is_good = all(0 <= chance <= 1 for chance in row) and row[number] == 0 and abs(sum(row) - 1) <= 1e-9
    return fault_unless(is_good, f"moves[{number}]", "chances that sum to 1, with zero for the state itself", list(row))


def _reached(moves: Moves, start: int) -> bool:
    seen, edge = {start}, [start]
    while edge:
        here = edge.pop()
        fresh = {there for there, chance in enumerate(moves[here]) if chance > 0} - seen
        seen |= fresh
        edge += fresh
    return len(seen) == len(moves)


def _shares(stays_s: Sequence[float], moves: Moves) -> list[float]:
    """Share of time in each state: visits of the jump chain, weighted by the stays."""
    states = range(len(stays_s))
    # visits = visits * moves, with the last equation replaced by "they sum to 1".
    matrix = [[(moves[i][j] - (i == j)) for i in states] for j in states]
    matrix[-1] = [1.0 for _ in states]
    visits = _solved(matrix, [0.0] * (len(stays_s) - 1) + [1.0])
    times = [visit * stay for visit, stay in zip(visits, stays_s, strict=True)]
    return [max(time, 0.0) / sum(times) for time in times]


def _mean(shares: Sequence[float], values: Sequence[float]) -> float:
    return sum(share * value for share, value in zip(shares, values, strict=True))


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Gauss elimination with partial pivoting; the matrix is regular by construction."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda number: abs(rows[number][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        top = rows[column]
        for number in range(column + 1, size):
            factor = rows[number][column] / top[column]
            if factor:
                rows[number] = [value - factor * above for value, above in zip(rows[number], top, strict=True)]
    found = [0.0] * size
    for number in reversed(range(size)):
        known = sum(rows[number][other] * found[other] for other in range(number + 1, size))
        found[number] = (rows[number][size] - known) / rows[number][number]
    return found

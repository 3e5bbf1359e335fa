"""No policy holds an objective with less replica time than this: a lower bound for given arrivals and cold starts."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, exp, inf, log

import msgspec

from sojourn.study.work import LeastWork, least_costs_s

_ROUNDING_S = 1e-9
_SEARCH_STEPS = 14
_NODES_MAX = 20_000  # windows times layers looked at
_GOLDEN = (5**0.5 - 1) / 2


class Cluster(msgspec.Struct, frozen=True):
    """Requests whose times from arrival to deadline overlap in a chain.

    Args:
        gap_s: Before them, the time in which no request is open [s].
        count: How many they are.
        costs_s: Their least replica times, each with how many have it.
    """

    gap_s: float
    count: int
    costs_s: tuple[tuple[float, int], ...]


class Need(msgspec.Struct, frozen=True):
    """A window that a layer of replicas must touch.

    Args:
        free_before: Windows right before it that the layer may leave untouched.
        drops: Requests to give up in it so that the layer need not touch it.
    """

    free_before: int
    drops: float


class CostBound:
    """Least replica-seconds with which a share of the requests can be answered on time, the future being known.

    Replica time counts from the decision to start until the exit or the last arrival, whichever is first; that of
    `RunSummary.replica_seconds` goes on to the end of the run, so that it is never less. Two relaxations are solved and the larger result is taken; in both any requests
    may be given up, as many as the share allows (a price per request given up: for every price the value is a bound,
    by Lagrangian duality; the best price is searched).

    *One replica* (`sparse_s`): all kept requests cost their least replica time (`least_costs_s`), no matter where.
    Besides, at least one replica is ready from the deadline of one kept request to the arrival of the next, or a new
    one is started between them: `min(start_s, gap)`, and the first is started too. In a gap nobody's window is open,
    so time spent ready there is not time spent on kept requests. Relaxed are capacity in time and all replicas but one.

    *Layers* (`layered_s`): time is cut into windows of length L, and only requests that arrive and are due in the
    same window count. If more than j - 1 replicas' worth of work (W > (j-1) L) is kept in a window, at some instant of
    it at least j are ready. So layer j (the time during which at least j are ready) must touch each such window; it is
    a union of intervals, each of which costs its length and `start_s`. Between the first and last window of a chain of
    touched ones each is full, or a pause lies in it; a pause touches at most two of them and ends with a start, so each
    costs at least `min(L, start_s / 2)`. Through windows that need no touch a layer stays (L each) or is started anew.
    To leave layer j untouched enough requests must be given up that W <= (j-1) L. Relaxed are: where in the window the
    work is, requests across borders, the first and last window of each chain, and that layers are nested.

    With noise the work is an expectation, and so is the bound.

    Args:
        arrivals_s: Instants of the requests that count, ascending [s].
        work: What batches and starts cost at least.
        ends_s: Last arrival of the run, to which replica time is counted; None takes the last of these [s].
        costs_s: Their `least_costs_s`, if known.
    """

    def __init__(
        self,
        arrivals_s: Sequence[float],
        work: LeastWork,
        ends_s: float | None = None,
        costs_s: Sequence[float] | None = None,
    ) -> None:
        self._count = len(arrivals_s)
        self._start_s = work.start_s
        if ends_s is None:
            ends_s = arrivals_s[-1] if arrivals_s else 0.0
        if costs_s is None:
            costs_s = least_costs_s(arrivals_s, work)
        # Who is due before the very first replica could serve is on time under no policy.
        alone_s = 0.0 if work.is_noisy or not work.by_size_s else work.by_size_s[0]
        served_from = bisect_left(arrivals_s, work.first_ready_s + alone_s - work.latency_s - _ROUNDING_S)
        costs_s = [inf] * served_from + list(costs_s[served_from:])
        self._hopeless = sum(cost_s == inf for cost_s in costs_s)
        # Requests due after the end may be served when nobody counts any more.
        inside = bisect_left(arrivals_s, ends_s - work.latency_s + _ROUNDING_S)
        arrivals_s, costs_s = arrivals_s[:inside], costs_s[:inside]
        self._clusters = _clusters(arrivals_s, costs_s, work.latency_s)
        self._layered = [
            (min(length_s, work.start_s / 2), length_s, layers)
            for length_s in _window_lengths_s(work)
            if (layers := _layers(arrivals_s, costs_s, work.latency_s, length_s))
        ]
        self._least_price_s = max(min(costs_s, default=1.0), 1e-9) / 8
        self._most_price_s = 4 * (ends_s + work.start_s + 1.0)

    def at(self, attainment: float) -> float:
        """Least replica-seconds for a share of the requests on time; infinite if no policy can reach it.

        Args:
            attainment: In [0, 1].
        """
        needed = ceil(attainment * self._count - 1e-6)
        spare = self._count - needed
        if needed <= 0:
            return 0.0
        if self._hopeless > spare:
            return inf
        relaxations: list[Callable[[float], float]] = [self.sparse_s]
        relaxations += [partial(self.layered_s, number) for number in range(len(self._layered))]
        return max(self._dual_s(least_s, spare) for least_s in relaxations)

    def sparse_s(self, price_s: float) -> float:
        """Least cost of the *one replica* relaxation if each request given up costs `price_s`."""
        asleep_s, awake_s = 0.0, inf  # least cost so far with no replica, with at least one
        for cluster in self._clusters:
            served_s = sum(min(cost_s, price_s) * count for cost_s, count in cluster.costs_s)
            stays_s = min(awake_s + cluster.gap_s, min(asleep_s, awake_s) + self._start_s)
            asleep_s = min(asleep_s, awake_s) + cluster.count * price_s
            awake_s = stays_s + served_s
        return min(asleep_s, awake_s)

    def layered_s(self, number: int, price_s: float) -> float:
        """Least cost of the *layers* relaxation with the window length of this number."""
        inner_s, length_s, layers = self._layered[number]
        return sum(self._layer_s(needs, inner_s, length_s, price_s) for needs in layers)

    def _layer_s(self, needs: Sequence[Need], inner_s: float, length_s: float, price_s: float) -> float:
        start_s = self._start_s
        off_s, first_s, more_s = 0.0, inf, inf  # untouched; touched, in the first of a chain; touched, in a later one
        for need in needs:
            on_s = min(first_s, more_s + inner_s)  # a later one that is no longer the last is an inner one
            if need.free_before:
                on_s += need.free_before * length_s
                off_s = min(off_s, first_s, more_s)
            untouched_s = min(off_s, first_s, more_s) + need.drops * price_s
            off_s, first_s, more_s = untouched_s, off_s + start_s, on_s
        return min(off_s, first_s, more_s)

    def _dual_s(self, least_s: Callable[[float], float], spare: int) -> float:
        """The best bound over the prices of a request given up."""
        if not spare:
            return least_s(1e18)
        low, high = log(self._least_price_s), log(self._most_price_s)

        def value_s(price: float) -> float:
            return least_s(exp(price)) - exp(price) * spare

        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        left_s, right_s = value_s(left), value_s(right)
        best_s = max(least_s(0.0), left_s, right_s)
        for _ in range(_SEARCH_STEPS):
            if left_s >= right_s:
                high, right, right_s = right, left, left_s
                left = high - _GOLDEN * (high - low)
                left_s = value_s(left)
            else:
                low, left, left_s = left, right, right_s
                right = low + _GOLDEN * (high - low)
                right_s = value_s(right)
            best_s = max(best_s, left_s, right_s)
        return best_s


def _clusters(arrivals_s: Sequence[float], costs_s: Sequence[float], latency_s: float) -> list[Cluster]:
    clusters: list[Cluster] = []
    first = 0
    for index in range(1, len(arrivals_s) + 1):
        if index < len(arrivals_s) and arrivals_s[index] <= arrivals_s[index - 1] + latency_s:
            continue
        gap_s = arrivals_s[first] - arrivals_s[first - 1] - latency_s if first else 0.0
        clusters.append(Cluster(gap_s, index - first, tuple(Counter(costs_s[first:index]).items())))
        first = index
    return clusters


def _window_lengths_s(work: LeastWork) -> list[float]:
    """Lengths worth trying: half a start, below which no pause in a layer pays, and shorter ones that see peaks better."""
    shortest_s = 1.5 * work.latency_s
    return sorted({max(work.start_s / part, shortest_s) for part in (2, 6, 20)}) if work.start_s > 0.0 else []


def _layers(
    arrivals_s: Sequence[float], costs_s: Sequence[float], latency_s: float, length_s: float
) -> list[list[Need]]:
    """The windows each layer must touch; nothing if they are too many to look at."""
    counts: dict[int, int] = {}
    works_s: dict[int, float] = {}
    dearest_s: dict[int, float] = {}
    for at_s, cost_s in zip(arrivals_s, costs_s, strict=True):
        window = int(at_s / length_s)
        if cost_s == inf or at_s + latency_s > (window + 1) * length_s:
            continue
        counts[window] = counts.get(window, 0) + 1
        works_s[window] = works_s.get(window, 0.0) + cost_s
        dearest_s[window] = max(dearest_s.get(window, 0.0), cost_s)
    if sum(ceil(work_s / length_s) for work_s in works_s.values()) > _NODES_MAX:
        return []
    layers: list[list[Need]] = []
    reached: list[int] = []  # the last window of each layer
    for window in sorted(works_s):
        work_s, each_s = works_s[window], max(dearest_s[window], 1e-12)
        for layer in range(max(ceil(work_s / length_s - _ROUNDING_S), 1)):
            if layer == len(layers):
                layers.append([])
                reached.append(-1)
            left = counts[window] if layer == 0 else (work_s - layer * length_s) / each_s
            further = max((work_s - (layer + 1) * length_s) / each_s, 0.0)
            layers[layer].append(Need(window - reached[layer] - 1, max(left - further, 0.0)))
            reached[layer] = window
    return layers

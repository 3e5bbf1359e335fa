"""No policy serves more requests on time than this: an upper bound for given arrivals and replicas."""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.study.on_time_cost import on_time_costs_s
from sojourn.study.work import LeastWork

_ROUNDING_S = 1e-9


def most_on_time(
    arrivals_s: Sequence[float], work: LeastWork, replicas: int | None, costs_s: Sequence[float] | None = None
) -> float:
    """Upper bound on how many requests any policy answers within the objective, even one that knows the future.

    Why it is a bound. Take any schedule. A batch of mean time l(b) with k requests on time costs replica time of at
    least l(k) (`LeastWork.by_size_s`), which is charged in equal parts to the k. Each is charged at least c, the
    smallest `on_time_costs_s` of all, and all of it while its batch runs: after it arrived and before its deadline. So
    every schedule is also a schedule of this relaxed problem: requests are unit jobs of work c with release
    `max(arrival, first ready)` and deadline `arrival + S`, and the replicas together are one machine of `replicas`
    times the speed. Relaxed are: that requests share batches (only the cheapest share is paid), that a batch runs
    whole on one replica without pause, that replicas other than the first must be started, and that the future is
    unknown. In the relaxed problem releases and deadlines are in the same order and all jobs are equal, so taking
    jobs in order and refusing those that would be late keeps the most (each refusal is forced, and what is kept ends
    as early as possible): the count is exact for the relaxation.

    With noise times are random, l(b) their means, and the bound is one in expectation: the expected replica time of
    batches begun is the sum of their means whatever the policy (Wald), and a request is on time with at most
    `on_time_share` even alone. Fractions of requests count (a batch longer than the objective on the mean may be
    lucky). For noise that is new-better-than-used in expectation, as moderate lognormal noise is but for its far tail,
    no window can be expected to complete more than its length over the mean (R. E. Barlow, F. Proschan, "Statistical
    Theory of Reliability and Life Testing", 1975, ch. 6); a single run may be luckier than the mean.

    Args:
        arrivals_s: Instants of the requests that count, ascending [s].
        work: What batches cost at least.
        replicas: Most replicas at once, >= 0; None is without bound.
        costs_s: Their `on_time_costs_s`, if known.

    Source:
        Greedy order for equal jobs with agreeable windows: B. Simons, "Multiprocessor scheduling of unit-time jobs
        with arbitrary release times and deadlines", SIAM J. Computing 12, 1983, of which this is the simple case.
    """
    cap = work.on_time_share * len(arrivals_s)
    if not arrivals_s or not work.by_size_s or replicas == 0:
        return 0.0
    cost_s = 0.0
    if replicas is not None:
        costs_s = on_time_costs_s(arrivals_s, work) if costs_s is None else costs_s
        cost_s = min(costs_s) / replicas
        span_s = arrivals_s[-1] + work.latency_s - max(arrivals_s[0], work.first_ready_s)
        cap = min(cap, _cheapest(costs_s, replicas * span_s))
    alone_s = 0.0 if work.is_noisy else work.by_size_s[0]
    count, free_s = 0.0, work.first_ready_s
    for at_s in arrivals_s:
        deadline_s = at_s + work.latency_s + _ROUNDING_S
        begins_s = max(at_s, free_s)
        if max(at_s, work.first_ready_s) + alone_s > deadline_s:
            continue
        if begins_s + cost_s <= deadline_s:
            count += 1.0
            free_s = begins_s + cost_s
        elif work.is_noisy and begins_s < deadline_s:
            count += (deadline_s - begins_s) / cost_s
            free_s = deadline_s
    return min(count, cap)


def _cheapest(costs_s: Sequence[float], spend_s: float) -> float:
    """How many of the cheapest this much replica time pays for; the last one in part."""
    count, left_s = 0.0, spend_s + _ROUNDING_S
    for cost_s in sorted(costs_s):
        if cost_s > left_s:
            return count + max(left_s, 0.0) / cost_s
        left_s -= cost_s
        count += 1.0
    return count

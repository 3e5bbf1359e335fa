"""The adaptive keep-alive against fixed 10 minutes on a trace of invocations per minute.

Counts cold requests (those that wait for a start) and the replica time spent idle. Each function has one replica at
most. The arrivals of a minute are drawn once spread over it (Poisson, given their number) and once as a burst at its
start. The trace is a CSV file with one row per function and one column of counts per minute, such as the sample of
Azure Functions 2019; a second file may give the functions' mean durations.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import harness

from sojourn.domain.policy import AdaptiveKeepAlive, FixedKeepAlive
from sojourn.policy.keepalive.catalogue import keepalive_policy
from sojourn.policy.keepalive.port import KeepAlive, KeepAlivePolicy, KeepAliveView

MINUTE_S = 60.0
SPARSE_BELOW_PER_MINUTE = 1.0
UNKNOWN_DURATION_S = 0.1
POLICIES: dict[str, Callable[[], KeepAlivePolicy]] = {
    "fixed 10 min": lambda: keepalive_policy(FixedKeepAlive(600.0)),
    "fixed 20 min": lambda: keepalive_policy(FixedKeepAlive(1200.0)),
    "adaptive": lambda: keepalive_policy(AdaptiveKeepAlive()),
}


class Function(NamedTuple):
    """One row of the trace: counts per minute, and how long one request takes."""

    name: str
    counts: list[int]
    duration_s: float


class Cost(NamedTuple):
    """What a policy cost: requests, those that waited for a start, replica time idle and replica time at work [s]."""

    requests: int = 0
    cold: int = 0
    idle_s: float = 0.0
    active_s: float = 0.0

    def plus(self, other: Cost) -> Cost:
        """The sum of two."""
        return Cost(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def read_functions(trace: Path, durations: Path | None) -> list[Function]:
    """The functions of a trace that were called at all."""
    mean_s: dict[str, float] = {}
    if durations is not None:
        with durations.open(newline="") as file:
            mean_s = {row["func_id"]: float(row["avg_ms"]) / 1000 for row in csv.DictReader(file) if row["avg_ms"]}
    functions = []
    with trace.open(newline="") as file:
        reader = csv.DictReader(file)
        minutes = [name for name in reader.fieldnames or [] if name.isdigit()]
        for row in reader:
            counts = [int(row[minute] or 0) for minute in minutes]
            if any(counts):
                functions.append(Function(row["func_id"], counts, mean_s.get(row["func_id"], UNKNOWN_DURATION_S)))
    return functions


def arrivals_s(counts: list[int], draw: str, rng: Random) -> Iterator[float]:
    """Instants of arrival, in order."""
    for minute, count in enumerate(counts):
        if draw == "burst":
            yield from (minute * MINUTE_S for _ in range(count))
        else:
            yield from sorted((minute + rng.random()) * MINUTE_S for _ in range(count))


def replay(function: Function, policy: KeepAlivePolicy, draw: str, options: argparse.Namespace) -> Cost:
    """One function through the trace with a policy of its own."""
    rng = Random(f"{function.name} {draw} {options.seed}")  # noqa: S311 - arrivals are no secret
    end_s = len(function.counts) * MINUTE_S
    requests = cold = idles = 0
    idle_s = active_s = 0.0
    busy_until_s: float | None = None  # None before the first request
    ready_at_s = 0.0  # of the replica that serves now

    def answer() -> KeepAlive:
        view = KeepAliveView(options.latency, options.budget, options.cold_start, max(requests / max(idles, 1), 1.0))
        return policy.decide(view)

    for at_s in arrivals_s(function.counts, draw, rng):
        if busy_until_s is None:
            ready_at_s = busy_until_s = at_s + options.cold_start
        elif at_s > busy_until_s:
            gap_s = at_s - busy_until_s
            kept_s, wait_s = outcome(answer(), gap_s, options.cold_start)
            idle_s += kept_s
            ready_at_s = at_s + wait_s
            policy.idle_ended(gap_s)
            idles += 1
        requests += 1
        began_s = max(at_s, ready_at_s)
        cold += began_s - at_s > options.latency
        ended_s = began_s + function.duration_s
        active_s += max(ended_s - max(busy_until_s, began_s), 0.0)
        busy_until_s = max(ended_s, busy_until_s)
    if busy_until_s is not None and busy_until_s < end_s:
        idle_s += outcome(answer(), end_s - busy_until_s, options.cold_start)[0]
    return Cost(requests, cold, idle_s, active_s)


def outcome(answer: KeepAlive, gap_s: float, cold_start_s: float) -> tuple[float, float]:
    """Replica time spent idle (or starting for nobody yet) in an idle time, and how long the request at its end waits."""
    if gap_s <= answer.keep_s:
        return gap_s, 0.0
    again_s = answer.prewarm_after_s
    if again_s is None or gap_s <= again_s:
        return answer.keep_s, cold_start_s
    spent_s = answer.keep_s + min(gap_s - again_s, answer.prewarm_keep_s)
    if gap_s > again_s + answer.prewarm_keep_s:
        return spent_s, cold_start_s
    return spent_s, max(again_s + cold_start_s - gap_s, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", type=Path, help="counts per minute, one row per function")
    parser.add_argument("--durations", type=Path, help="columns func_id and avg_ms; else every request takes 0.1 s")
    parser.add_argument("--cold-start", type=float, default=2.0, help="seconds from the decision to start until ready")
    parser.add_argument("--latency", type=float, default=0.5, help="the objective's latency in seconds")
    parser.add_argument("--budget", type=float, default=0.01, help="the error budget, 1 - objective")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    functions = read_functions(options.trace, options.durations)
    minutes = max(len(function.counts) for function in functions)
    sparse = [each for each in functions if sum(each.counts) < SPARSE_BELOW_PER_MINUTE * minutes]
    others = [each for each in functions if sum(each.counts) >= SPARSE_BELOW_PER_MINUTE * minutes]
    rows, results = [], []
    for draw in ("poisson", "burst"):
        for label, group in (("sparse", sparse), ("others", others)):
            for name, make in POLICIES.items():
                cost = Cost()
                for function in group:
                    cost = cost.plus(replay(function, make(), draw, options))
                rows.append([
                    f"{draw}, {label} ({len(group)}), {name}", cost.requests, cost.cold,
                    f"{cost.cold / max(cost.requests, 1):.4f}", f"{cost.idle_s / 3600:.1f}",
                    f"{cost.idle_s / max(cost.active_s, 1e-9):.2f}",
                ])  # fmt: skip
                results.append({"draw": draw, "functions": label, "policy": name, **cost._asdict()})
    harness.print_table(["", "requests", "cold", "cold share", "idle [h]", "idle / active"], rows)
    facts = {"trace": options.trace.name, "minutes": minutes, "cold_start_s": options.cold_start}
    facts |= {"latency_s": options.latency, "budget": options.budget, "seed": options.seed}
    print(f"written: {harness.save('keepalive', {**facts, 'costs': results}, keep=options.keep)}")


if __name__ == "__main__":
    main()

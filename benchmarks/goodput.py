"""The highest rate an emulated accelerator carries with 99 % of requests within 50 ms, and a lone request's wait.

examples/accelerator.py takes 5 ms + 0.5 ms x b for a batch of b <= 32, so it can do 32 / 21 ms = 1,523 requests
per second at most. Arrivals are Poisson, sent open-loop; one replica; nothing is tuned by hand. Runs in which the
load generator itself was late are void and made again.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from random import Random

import harness

from sojourn.domain.objective import SLO
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.result import LoadResult, summarize
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import Target, parse_target
from sojourn.workload.arrivals import constant, poisson

ALPHA_S, BETA_S, BATCH_MAX = 0.0005, 0.005, 32
CAPACITY_PER_S = BATCH_MAX / (BETA_S + ALPHA_S * BATCH_MAX)
LONE_SERVICE_S = BETA_S + ALPHA_S
OBJECTIVE = SLO(latency_s=0.05, objective=0.99)
STEP = 0.01  # of capacity: how fine the highest rate is searched
SEARCH_DOUBT_STEPS = 3
ATTEMPTS_MAX = 4
TARGET_SHARE, TARGET_LONE_S = 0.92, LONE_SERVICE_S + 0.001


class Bench:
    """Runs against one server; each has its own seed."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._seeds = itertools.count(1)
        self.voids = 0

    def poisson(self, rate_per_s: float, duration_s: float) -> LoadResult:
        """A run at a rate that was not void.

        Raises:
            RuntimeError: The generator could not keep up, several times in a row.
        """
        for _ in range(ATTEMPTS_MAX):
            seed = next(self._seeds)
            arrivals = poisson(rate_per_s, duration_s, Random(seed))  # noqa: S311 - arrivals are no secret
            run = run_load(self._target, arrivals, _body, options=LoadOptions(connections_max=10_000))
            result = summarize(run, duration_s=duration_s, slo=OBJECTIVE)
            if not result.void:
                print(
                    f"{rate_per_s:7.0f}/s ({rate_per_s / CAPACITY_PER_S:.3f} of capacity), seed {seed}: "
                    f"{result.within_slo:.4f} within, p99 {(result.latency_s.p99 or 0) * 1e3:.1f} ms, "
                    f"goodput {result.goodput_per_s:,.0f}/s, mean batch {result.batch_size_mean or 0:.1f}",
                    file=sys.stderr,
                )
                return result
            self.voids += 1
            print(f"{rate_per_s:7.0f}/s: void, again: {result.void_reason}", file=sys.stderr)
        raise RuntimeError(f"{ATTEMPTS_MAX} runs in a row were void; the machine is too busy to measure on")

    def lone(self, duration_s: float) -> LoadResult:
        """Requests so far apart that each finds the server empty."""
        run = run_load(self._target, constant(10, duration_s), _body)
        return summarize(run, duration_s=duration_s, slo=OBJECTIVE)


def highest(bench: Bench, search_s: float, final_s: float, runs: int) -> tuple[float, list[LoadResult]]:
    """The highest share of capacity whose median attainment reaches the objective, and its runs.

    Short runs halve the range, but one unlucky run may end such a search too low: longer ones begin a few
    steps higher and step down until the median holds.
    """
    low, high = round(0.5 / STEP), round(1.1 / STEP)  # in steps; above capacity nothing can hold
    while high - low > 1:
        middle = (low + high) // 2
        is_held = (bench.poisson(middle * STEP * CAPACITY_PER_S, search_s).within_slo or 0) >= OBJECTIVE.objective
        low, high = (middle, high) if is_held else (low, middle)
    for step in range(low + SEARCH_DOUBT_STEPS, 0, -1):
        results = [bench.poisson(step * STEP * CAPACITY_PER_S, final_s) for _ in range(runs)]
        if statistics.median(result.within_slo or 0 for result in results) >= OBJECTIVE.objective:
            return step * STEP, results
    return 0.0, []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--search", type=float, default=10.0, help="seconds of each run of the search")
    parser.add_argument("--final", type=float, default=30.0, help="seconds of each run that confirms")
    parser.add_argument("--runs", type=int, default=3, help="runs that confirm, at least 3 for a figure to publish")
    parser.add_argument("--overload", type=float, help="also measure goodput at this multiple of capacity")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    harness.pin_this_process()
    with harness.EchoProcess() as echo:
        # The same pace and load generator, but nothing in between: what the machine's idle cores take to wake up.
        echo_s = Bench(parse_target(echo.url)).lone(10.0).latency_s.p50 or float("inf")
    with harness.start_server("accelerator.py") as server:
        bench = Bench(parse_target(f"{server.url}/functions/accelerator"))
        bench.poisson(0.3 * CAPACITY_PER_S, 5.0)  # what a server has yet to learn is not measured
        lone = bench.lone(20.0)
        share, finals = highest(bench, options.search, options.final, options.runs)
        overload = (
            [bench.poisson(options.overload * CAPACITY_PER_S, options.final) for _ in range(options.runs)]
            if options.overload
            else []
        )
    lone_s = lone.latency_s.p50 or float("inf")
    attained = statistics.median([result.within_slo or 0 for result in finals] or [0.0])
    rows = [
        ["highest rate held", f"{share * CAPACITY_PER_S:,.0f}/s", f"{share:.3f} of capacity", f">= {TARGET_SHARE}"],
        ["attainment there (median)", f"{attained:.4f}", "", f">= {OBJECTIVE.objective}"],
        [
            "lone request, p50",
            f"{lone_s * 1e3:.2f} ms",
            f"service {LONE_SERVICE_S * 1e3:g} ms",
            f"<= {TARGET_LONE_S * 1e3:g} ms",
        ],
        ["  of a bare echo at the same pace", f"{echo_s * 1e3:.2f} ms", "", ""],
    ]
    results: dict[str, object] = {
        "capacity_per_s": CAPACITY_PER_S,
        "highest_share_of_capacity": share,
        "highest_rate_per_s": share * CAPACITY_PER_S,
        "attainment_median": attained,
        "lone_latency_s_p50": lone_s,
        "lone_service_s": LONE_SERVICE_S,
        "lone_echo_latency_s_p50": echo_s,
        "void_runs": bench.voids,
        "runs": [_brief(result) for result in finals],
    }
    if overload:
        goodput = statistics.median(result.goodput_per_s for result in overload) / CAPACITY_PER_S
        rows.append([f"goodput at {options.overload:g} x capacity", f"{goodput:.3f} of capacity", "", ">= 0.95"])
        results |= {"overload": options.overload, "overload_goodput_share": goodput}
        results["overload_runs"] = [_brief(result) for result in overload]
    harness.print_table(["", "measured", "", "bar"], rows)
    print(f"void runs made again: {bench.voids}")
    print(f"written: {harness.save('goodput', results, keep=options.keep)}")


def _body(index: int) -> bytes:
    return b'{"id":%d}' % index


def _brief(result: LoadResult) -> dict[str, object]:
    return {
        "rate_per_s": result.rate_per_s,
        "within_slo": result.within_slo,
        "goodput_per_s": result.goodput_per_s,
        "latency_s_p50": result.latency_s.p50,
        "latency_s_p99": result.latency_s.p99,
        "batch_size_mean": result.batch_size_mean,
        "outcomes": result.outcomes,
        "late_share": result.late_share,
    }


if __name__ == "__main__":
    main()

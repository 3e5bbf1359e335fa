"""How many requests per second the simulator gets through on one core: the production core in virtual time.

One function on one and on four replicas in batches of about 8, and eight functions that share a pool; then, with --many, a
thousand functions on a hundred machines for an hour of virtual time, with its time and memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from random import Random

import harness

from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.resources import Resources
from sojourn.sim.replica import ModelledService
from sojourn.sim.scenario import Run, Scenario, SimulatedFunction, Traffic, simulate
from sojourn.workload.spec import parse_arrivals

TARGET_PER_S = 100_000
SERVICE = ModelledService(alpha_s=0.0005, beta_s=0.005, sigma=0.1, cold_start_s=0.5)


def function(name: str, rate_per_s: float, *, arrivals: str = "poisson", replicas: int = 0) -> SimulatedFunction:
    """One function on the emulated accelerator; `replicas` 0 lets it scale."""
    settings = FunctionSettings(
        name=name,
        slo=SLO(0.1),
        max_batch_size=32,
        min_replicas=replicas,
        max_replicas=replicas or None,
    )
    return SimulatedFunction(
        settings=settings, service=SERVICE, traffic=Traffic(parse_arrivals(arrivals), rate_per_s=rate_per_s)
    )


def scenarios(duration_s: float) -> dict[str, Scenario]:
    """What is timed, by name."""
    return {
        "1 replica, 900/s": Scenario(functions=(function("a", 900.0, replicas=1),), duration_s=duration_s),
        "4 replicas, 3,600/s": Scenario(functions=(function("a", 3600.0, replicas=4),), duration_s=duration_s / 4),
        "8 functions scaling, 400/s each": Scenario(
            functions=tuple(function(f"f{number}", 400.0) for number in range(8)),
            duration_s=duration_s / 4,
            capacity=Resources(16.0, 0.0, 2**40),
        ),
    }


def timed(scenario: Scenario) -> tuple[float, Run]:
    """Requests per second of processor time, and the run."""
    began_s = time.process_time()
    run = simulate(scenario)
    return run.total.sent / (time.process_time() - began_s), run


def many_functions(functions: int, machines: int, duration_s: float) -> dict[str, float]:
    """A heavy-tailed mix of rates, as on a serverless platform: a tenth of the functions has nine tenths of the calls."""
    rng = Random(7)  # noqa: S311 - repeatable
    rates = [min(rng.lognormvariate(-4.5, 2.5), 60.0) for _ in range(functions)]
    scenario = Scenario(
        functions=tuple(
            SimulatedFunction(
                settings=FunctionSettings(name=f"f{number}", slo=SLO(0.2), max_batch_size=16),
                service=ModelledService(0.002, 0.01, sigma=0.1, cold_start_s=2.0),
                traffic=Traffic(parse_arrivals("poisson"), rate_per_s=rate),
            )
            for number, rate in enumerate(rates)
        ),
        duration_s=duration_s,
        machines=tuple(Resources(16.0, 0.0, 64 * 2**30) for _ in range(machines)),
    )
    began_s = time.process_time()

    def progress(now_s: float, sent: int) -> None:
        print(f"  {now_s:,.0f} s of {duration_s:,.0f}, {sent:,} requests", file=sys.stderr)

    run = simulate(scenario, progress=progress)
    return {
        "functions": functions,
        "machines": machines,
        "virtual_s": duration_s,
        "processor_s": time.process_time() - began_s,
        "requests": run.total.sent,
        "within_slo": run.total.within_slo or 0.0,
        "steps": run.steps,
        "replicas_max": run.total.replicas_max,
        "cold_starts": run.total.cold_starts,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each; medians are told")
    parser.add_argument("--duration", type=float, default=120.0, help="virtual seconds of one replica's run")
    parser.add_argument(
        "--many", action="store_true", help="also a thousand functions on a hundred machines for an hour"
    )
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    harness.pin_this_process()
    results: dict[str, object] = {}
    rows = []
    for name, scenario in scenarios(options.duration).items():
        rates, last = [], None
        for _ in range(options.runs):
            rate, last = timed(scenario)
            rates.append(rate)
        assert last is not None
        median = statistics.median(rates)
        rows.append(
            [name, f"{last.total.sent:,}", f"{last.total.batch_size_mean:.1f}", f"{median:,.0f}", f"{max(rates):,.0f}"]
        )
        results[name] = {"requests_per_s": rates, "median_per_s": median, "batch_size_mean": last.total.batch_size_mean}
    harness.print_table(["run", "requests", "mean batch", "requests/s, median", "best"], rows)
    print(f"bar: {TARGET_PER_S:,} requests per second of one core in batches of about 8")
    if options.many:
        many = many_functions(1000, 100, 3600.0)
        results["many"] = many
        print(
            f"{many['functions']} functions on {many['machines']} machines for an hour: {many['requests']:,} requests, "
            f"{many['steps']:,} steps in {many['processor_s']:,.0f} s of processor time, {many['memory_mib']:,.0f} MiB"
        )
    print(f"written: {harness.save('simspeed', results, keep=options.keep)}")


if __name__ == "__main__":
    main()

"""What it costs to count each request and to tell its times: the same server with and without, taking turns.

Both serve the no-op function on one core, with 64 keep-alive connections on the other. "Without" is a server from which
`benchmarks/unmonitored` has taken the meters, the search for causes, the kept requests and the value of Server-Timing. Then
the memory of a monitor that has seen ninety days of constant traffic.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tracemalloc

import harness
from overhead import drive, measure

from sojourn.slo.monitor import Monitor
from sojourn.telemetry.edges import common_edges_s
from sojourn.telemetry.meter import FunctionMeter

TARGET_US, TARGET_MB = 3.0, 2.0
_DAY_S = 86_400.0


def monitor_bytes() -> tuple[int, int]:
    """Bytes of a monitor whose every cell is in use, and of the meter of a function never called."""
    latencies_s = [0.001 * 1.03**step for step in range(40)]
    tracemalloc.start()
    monitor = Monitor("r")

    def fill(now_s: float) -> None:
        cell = monitor.current(now_s)
        for latency_s in latencies_s:
            cell.latency.observe(latency_s)
        cell.total += 1000
        cell.good += 999
        cell.causes[0] += 1

    now_s = 0.0
    for length_s, cells in ((3600.0, 91 * 24), (60.0, 4 * 24 * 60), (10.0, 7 * 360)):
        for _ in range(cells):
            fill(now_s)
            now_s += length_s
    monitor.unsaved()
    monitor.saved()
    used = tracemalloc.get_traced_memory()[0]
    before = tracemalloc.get_traced_memory()[0]
    meters = [FunctionMeter(f"f{number}", "r", common_edges_s([0.1])) for number in range(100)]
    unused = (tracemalloc.get_traced_memory()[0] - before) // len(meters)
    tracemalloc.stop()
    return used, unused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="runs of each, taking turns")
    parser.add_argument("--duration", type=float, default=4.0, help="seconds of each run")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    used, unused = monitor_bytes()
    bare = {"PYTHONPATH": str(harness.HERE / "unmonitored")}
    with contextlib.ExitStack() as started:
        servers = {
            "with": started.enter_context(harness.start_server("noop.py")),
            "without": started.enter_context(harness.start_server("noop.py", bare)),
        }
        sides = {
            name: (f"{one.url}/functions/noop", {"server": [one.pid], "replica": harness.descendants(one.pid)})
            for name, one in servers.items()
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for address, _ in sides.values():
            drive(address, 1.0)  # the first second of a server is not its usual one
        for number in range(options.runs):
            for name, (address, processes) in sides.items():
                runs[name].append(measure(address, processes, options.duration))
                print(f"run {number + 1}: {name} {runs[name][-1]['requests_per_s']:,.0f}/s", file=sys.stderr)
    medians = {
        name: {key: statistics.median(run[key] for run in rows) for key in rows[0]} for name, rows in runs.items()
    }
    differences_us = [
        mine["server_us"] - bare_run["server_us"] for mine, bare_run in zip(runs["with"], runs["without"], strict=True)
    ]
    cost_us = statistics.median(differences_us)
    harness.print_table(
        ["monitoring", "requests/s", "server us", "replica us"],
        [
            [name, f"{row['requests_per_s']:,.0f}", f"{row['server_us']:.1f}", f"{row['replica_us']:.1f}"]
            for name, row in medians.items()
        ],
    )
    print(
        f"\n{cost_us:.2f} us per request (bar: at most {TARGET_US:g}); median of the differences of runs side by side"
    )
    print(f"{used / 1e6:.2f} MB for a function in constant use for ninety days (bar: at most {TARGET_MB:g})")
    print(f"{unused / 1e3:.1f} kB for the meters of one never called")
    results = {
        "runs": runs,
        "medians": medians,
        "cost_us": cost_us,
        "differences_us": differences_us,
        "monitor_bytes": used,
        "unused_meter_bytes": unused,
    }
    print(f"written: {harness.save('monitoring', results, keep=options.keep)}")


if __name__ == "__main__":
    main()

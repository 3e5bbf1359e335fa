"""What a request costs when the function does nothing: throughput and processor time per request.

The no-op function and a bare httptools echo take turns on one core (server and replica share it), with
64 keep-alive connections on the other; medians of the runs. Ratios hold from machine to machine,
absolute figures do not.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import harness

CONNECTIONS = 64
BODY = '{"id": 1, "text": "the quick brown fox jumps over the lazy dog"}'
TARGET_US, TARGET_RATIO = 25.0, 0.5


def drive(url: str, duration_s: float) -> tuple[int, float]:
    """Load `url` from the load's core; returns the number of answers and answers per second.

    Raises:
        RuntimeError: There were errors, so that the figures would mean nothing.
    """
    if shutil.which("wrk"):
        return _drive_wrk(url, duration_s)
    command = [*harness.pinned(harness.LOAD_CORE), sys.executable, str(harness.HERE / "closed_loop.py")]
    done = subprocess.run(
        [*command, url, BODY, str(CONNECTIONS), str(duration_s)], check=True, capture_output=True, text=True
    )
    answers, errors = map(int, done.stdout.split())
    if errors:
        raise RuntimeError(f"{errors} of {answers} answers of {url} were errors")
    return answers, answers / duration_s


def _drive_wrk(url: str, duration_s: float) -> tuple[int, float]:
    script = f"wrk.method = 'POST'\nwrk.body = '{BODY}'\nwrk.headers['Content-Type'] = 'application/json'\n"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(duration_s))}s", "-s", file.name, url]
        done = subprocess.run(
            [*harness.pinned(harness.LOAD_CORE), *command], check=True, capture_output=True, text=True
        ).stdout
    if "Non-2xx" in done or "Socket errors" in done:
        raise RuntimeError(f"wrk met errors at {url}:\n{done}")
    answers = int(re.search(r"(\d+) requests in", done)[1])
    return answers, float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])


def measure(url: str, processes: dict[str, list[int]], duration_s: float) -> dict[str, float]:
    """One run: answers per second, and microseconds of processor time per request by kind of process."""
    before = {name: sum(map(harness.processor_s, pids)) for name, pids in processes.items()}
    answers, per_s = drive(url, duration_s)
    costs = {
        f"{name}_us": (sum(map(harness.processor_s, pids)) - before[name]) / answers * 1e6
        for name, pids in processes.items()
    }
    return {"requests_per_s": per_s, **costs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each, taking turns")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of each run")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {"sojourn": [], "bare echo": []}
    with harness.EchoProcess() as echo, harness.start_server("noop.py") as server:
        url = f"{server.url}/functions/noop"
        sides = {
            "sojourn": (url, {"server": [server.pid], "replica": harness.descendants(server.pid)}),
            "bare echo": (echo.url, {"server": [echo.pid]}),
        }
        for address, _ in sides.values():
            drive(address, 1.0)  # the first second of a server is not its usual one
        for number in range(options.runs):
            for name, (address, processes) in sides.items():
                runs[name].append(measure(address, processes, options.duration))
                print(f"run {number + 1}: {name} {runs[name][-1]['requests_per_s']:,.0f}/s", file=sys.stderr)
    medians = {
        name: {key: statistics.median(run[key] for run in rows) for key in rows[0]} for name, rows in runs.items()
    }
    ours, bare = medians["sojourn"], medians["bare echo"]
    cost_us = ours["server_us"] + ours["replica_us"]
    ratio = ours["requests_per_s"] / bare["requests_per_s"]
    harness.print_table(
        ["", "requests/s", "server us", "replica us", "together us"],
        [
            ["sojourn", *(f"{value:,.1f}" for value in (*list(ours.values())[:3], cost_us))],
            ["bare echo", f"{bare['requests_per_s']:,.1f}", f"{bare['server_us']:.1f}", "", f"{bare['server_us']:.1f}"],
        ],
    )
    print(
        f"\n{cost_us:.1f} us per request (bar: at most {TARGET_US:g}); {ratio:.2f} of the bare echo's throughput "
        f"(bar: at least {TARGET_RATIO:g})"
    )
    results = {
        "load": "wrk" if shutil.which("wrk") else "closed_loop.py",
        "connections": CONNECTIONS,
        "runs": runs,
        "medians": medians,
        "processor_us_per_request": cost_us,
        "share_of_bare_echo": ratio,
    }
    print(f"written: {harness.save('overhead', results, keep=options.keep)}")


if __name__ == "__main__":
    main()

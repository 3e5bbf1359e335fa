"""What a request costs when the function does nothing: throughput and processor time per request.

The no-op function and two bare httptools echoes take turns on one core (server and replica share it), with
64 keep-alive connections on the other; medians of the runs. One echo ignores the head of a request, the other
reads it, as any front end must. With `--mosec PYTHON` (an interpreter that has the package `mosec`) the same
function on Mosec takes its turn too. Ratios hold from machine to machine, absolute figures do not.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import harness

CONNECTIONS = 64
BODY = '{"id": 1, "text": "the quick brown fox jumps over the lazy dog"}'
TARGET_US, TARGET_RATIO, TARGET_MOSEC = 25.0, 0.5, 1.3


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
    parser.add_argument("--mosec", metavar="PYTHON", help="interpreter of an environment with mosec, to compare with")
    options = parser.parse_args()
    with contextlib.ExitStack() as started:
        echo = started.enter_context(harness.EchoProcess())
        reading = started.enter_context(harness.EchoProcess("--heads"))
        server = started.enter_context(harness.start_server("noop.py"))
        url = f"{server.url}/functions/noop"
        sides = {
            "sojourn": (url, {"server": [server.pid], "replica": harness.descendants(server.pid)}),
            "bare echo": (echo.url, {"server": [echo.pid]}),
            "head-reading echo": (reading.url, {"server": [reading.pid]}),
        }
        if options.mosec:
            mosec = started.enter_context(harness.MosecProcess(options.mosec))
            sides["mosec"] = (mosec.url, {"server": [mosec.pid], "replica": harness.descendants(mosec.pid)})
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
    costs_us = {name: row["server_us"] + row.get("replica_us", 0.0) for name, row in medians.items()}
    shares = {name: medians["sojourn"]["requests_per_s"] / row["requests_per_s"] for name, row in medians.items()}
    harness.print_table(
        ["", "requests/s", "server us", "replica us", "together us", "sojourn is"],
        [
            [
                name,
                f"{row['requests_per_s']:,.0f}",
                f"{row['server_us']:.1f}",
                f"{row['replica_us']:.1f}" if "replica_us" in row else "",
                f"{costs_us[name]:.1f}",
                f"{shares[name]:.2f} x",
            ]
            for name, row in medians.items()
        ],
    )
    print(f"\n{costs_us['sojourn']:.1f} us per request (bar: at most {TARGET_US:g})")
    print(f"{shares['bare echo']:.2f} of the bare echo's throughput (bar: at least {TARGET_RATIO:g})")
    print(f"{shares['head-reading echo']:.2f} of the throughput of an echo that reads heads")
    if "mosec" in shares:
        print(f"{shares['mosec']:.2f} times Mosec's throughput (bar: at least {TARGET_MOSEC:g})")
    results = {
        "load": "wrk" if shutil.which("wrk") else "closed_loop.py",
        "connections": CONNECTIONS,
        "runs": runs,
        "medians": medians,
        "processor_us_per_request": costs_us,
        "throughput_over": shares,
    }
    print(f"written: {harness.save('overhead', results, keep=options.keep)}")


if __name__ == "__main__":
    main()

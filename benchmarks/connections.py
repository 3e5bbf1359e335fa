"""What idle connections cost: resident memory each, the time of the sweep, and what active requests feel of them.

One client sends requests one after the other, alone and again with thousands of idle connections beside it. An
idle connection has been used once: such a client keeps its connection open for the next request.
"""

from __future__ import annotations

import argparse
import resource
import socket
import time

import harness

from sojourn.loadgen.target import Target, parse_target

TARGET_BYTES_EACH = 20 * 1024
REQUESTS = 3000
WATCH_S = 5.0
_PARALLEL = 200  # connections opened before their answers are read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=int, default=5000, help="idle connections (default 5000)")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    allow_descriptors(options.idle + 100)
    harness.pin_this_process()
    with harness.start_server("noop.py") as server:
        target = parse_target(f"{server.url}/functions/{server.functions[0]}")
        request = target.request(b"1")
        latencies_s(target, request)  # warms up
        alone = latencies_s(target, request)
        before = harness.memory_kb(server.pid)["rss"]
        idle = open_idle(target, request, options.idle)
        grown_kb = harness.memory_kb(server.pid)["rss"] - before
        used_s = harness.processor_s(server.pid)
        time.sleep(WATCH_S)
        share = (harness.processor_s(server.pid) - used_s) / WATCH_S
        beside = latencies_s(target, request)
        for one in idle:
            one.close()
    each = grown_kb * 1024 / options.idle
    harness.print_table(
        ["client alone, or beside", "p50 us", "p99 us"],
        [
            [name, f"{quantile(found, 0.5) * 1e6:.0f}", f"{quantile(found, 0.99) * 1e6:.0f}"]
            for name, found in (("alone", alone), (f"{options.idle} idle", beside))
        ],
    )
    print(f"\nmemory of an idle connection: {each:.0f} bytes (bar: at most {TARGET_BYTES_EACH})")
    print(f"processor while all are idle: {share:.2%}")
    results: dict[str, object] = {
        "idle": options.idle,
        "bytes_each": each,
        "processor_share": share,
        "latency_s": {
            name: {"p50": quantile(found, 0.5), "p99": quantile(found, 0.99)}
            for name, found in (("alone", alone), ("beside", beside))
        },
    }
    print(f"written: {harness.save('connections', results, keep=options.keep)}")


def allow_descriptors(count: int) -> None:
    """Raise our own limit of descriptors, or end with what to do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"{count} descriptors are needed, {hard} are allowed: raise `ulimit -Hn` or lower --idle")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count) if soft != resource.RLIM_INFINITY else soft, hard))


def open_idle(target: Target, request: bytes, count: int) -> list[socket.socket]:
    """Connections that have had one answer each and say nothing more."""
    opened: list[socket.socket] = []
    while len(opened) < count:
        group = [
            socket.create_connection((target.host, target.port)) for _ in range(min(_PARALLEL, count - len(opened)))
        ]
        for one in group:
            one.sendall(request)
        for one in group:
            one.recv(65_536)
        opened += group
    return opened


def latencies_s(target: Target, request: bytes) -> list[float]:
    """How long each of some requests took, one after the other, in seconds and sorted."""
    found = []
    with socket.create_connection((target.host, target.port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(REQUESTS):
            began_s = time.perf_counter()
            client.sendall(request)
            client.recv(65_536)
            found.append(time.perf_counter() - began_s)
    return sorted(found)


def quantile(values: list[float], share: float) -> float:
    """The value below which that share of sorted values lies."""
    return values[min(int(share * len(values)), len(values) - 1)]


if __name__ == "__main__":
    main()

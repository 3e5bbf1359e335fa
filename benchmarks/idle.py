"""What a server costs while nobody calls: resident memory of its processes, and processor time per second.

The server serves the no-op function, which is never called.
"""

from __future__ import annotations

import argparse
import time

import harness

TARGET_KB = 80 * 1024
SETTLE_S, WATCH_S = 2.0, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    with harness.start_server("noop.py") as server:
        time.sleep(SETTLE_S)
        processes = {"server": server.pid}
        processes |= {f"{harness.role_of(pid)} {pid}": pid for pid in harness.descendants(server.pid)}
        before_s = {name: harness.processor_s(pid) for name, pid in processes.items()}
        time.sleep(WATCH_S)
        results = {
            name: {
                **harness.memory_kb(pid),
                "processor_share": (harness.processor_s(pid) - before_s[name]) / WATCH_S,
            }
            for name, pid in processes.items()
        }
    harness.print_table(
        ["process", "RSS MiB", "PSS MiB", "processor"],
        [
            [name, f"{row['rss'] / 1024:.1f}", f"{row['pss'] / 1024:.1f}", f"{row['processor_share']:.1%}"]
            for name, row in results.items()
        ],
    )
    print(f"\nserver: {results['server']['rss'] / 1024:.1f} MiB (bar: at most {TARGET_KB / 1024:g})")
    print(f"written: {harness.save('idle', {'processes_kb': results}, keep=options.keep)}")


if __name__ == "__main__":
    main()

"""How long a replica takes from the decision to start it to its first answer, against import and load alone.

Three ways to start one: a plain process, forked from a server that has imported the code, forked from one that has
loaded the model, too (`share="fork"`). Of the last two the first replica of a revision, which waits for the fork
server, and a later one are measured apart. They take turns with a bare process that imports and loads and nothing
else; medians of the runs. Then the memory of four replicas, each page divided among those who share it (PSS).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import harness
import msgspec

from sojourn.domain.function import FunctionManifest
from sojourn.launcher.describe import describe
from sojourn.launcher.local import LocalLauncher
from sojourn.runtime.replica_link import ReplicaLink, ReplicaListener
from sojourn.wire.message import Done, Drain, Message, Ready
from sojourn.wire.spec import ReplicaSpec

FUNCTIONS = {
    "digits": (harness.EXAMPLES / "digits.py", msgspec.json.encode({"id": 1, "pixels": [0.0] * 64})),
    "import-heavy": (harness.HERE / "import_heavy.py", b"4.0"),
}
WAYS = {"plain": "none", "forked": None, "shared": "fork"}
TARGET_RATIO = 1.2
REPLICAS = 4  # whose memory is measured
_SIZES = ("replica_bytes", "with_one_bytes", "with_four_bytes", "left_alone_bytes")
PHASES = ("import_s", "load_s", "warmup_s")


class Starter:
    """The server's side of replicas that are started one by one. Use it in `started`."""

    def __init__(self, launcher: LocalLauncher, socket_path: str) -> None:
        self.launcher = launcher
        self._path = socket_path
        self._numbers = itertools.count(1)
        self._ready: asyncio.Future[tuple[ReplicaLink, Ready]] | None = None
        self._done: asyncio.Future[Done] | None = None
        self._ends: dict[int, asyncio.Future[str]] = {}

    async def start(self, manifest: FunctionManifest, item: bytes) -> tuple[int, ReplicaLink, dict[str, float]]:
        """Start a replica and have it answer once: its number, its link, and the seconds that took."""
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        self._ready, self._done, self._ends[number] = loop.create_future(), loop.create_future(), loop.create_future()
        spec = ReplicaSpec(replica_id=number, socket_path=self._path, token=str(number), manifest=manifest)
        begun_at_s = time.monotonic()
        self.launcher.start(spec, lambda number, cause: self._ends[number].set_result(cause))
        link, ready = await asyncio.wait_for(self._ready, 120.0)
        ready_s = time.monotonic() - begun_at_s
        link.run(1, [item], b"")
        done = await self._done
        if done.faults:
            raise RuntimeError(f"{manifest.name} did not answer: {done.faults[0].message}")
        phases_s = {phase: getattr(ready, phase) for phase in PHASES}
        spawn_s = ready_s - sum(phases_s.values())
        return number, link, {"answer_s": time.monotonic() - begun_at_s, "spawn_s": spawn_s, **phases_s}

    async def end(self, number: int, link: ReplicaLink) -> None:
        """End a replica and wait for it."""
        link.send(Drain())
        await self._ends[number]

    # The listener's side.

    def token_of(self, replica_id: int) -> str | None:
        """Its number is its token: this server has no strangers."""
        return str(replica_id)

    def link_opened(self, link: ReplicaLink) -> None:
        """It dialled in."""

    def link_closed(self, link: ReplicaLink, cause: str) -> None:
        """It has ended, or is about to."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(RuntimeError(f"replica {link.replica_id} did not start: {cause}"))

    def link_message(self, link: ReplicaLink, message: Message) -> None:
        """It is ready, or has answered."""
        if isinstance(message, Ready) and self._ready is not None:
            self._ready.set_result((link, message))
        elif isinstance(message, Done) and self._done is not None:
            self._done.set_result(message)
        else:
            print(f"replica {link.replica_id}: {message}", file=sys.stderr)


@contextlib.asynccontextmanager
async def started() -> AsyncIterator[Starter]:
    """A launcher of its own, hence without fork servers yet."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "replicas.sock")
        launcher = LocalLauncher(lambda _function, number, _stream, line: print(f"[{number}] {line}", file=sys.stderr))
        starter = Starter(launcher, path)
        listener = ReplicaListener(starter, path)
        await listener.start()
        try:
            yield starter
        finally:
            await launcher.close()
            await listener.close()


def alone(target: Path, name: str) -> dict[str, float]:
    """Import and load in a bare process; `process_s` is the whole of it, with the start of the interpreter."""
    begun_at_s = time.monotonic()
    command = [sys.executable, "-P", str(harness.HERE / "bare_start.py"), str(target), name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    process_s = time.monotonic() - begun_at_s
    import_s, load_s = map(float, done.stdout.split())
    return {"answer_s": import_s + load_s, "process_s": process_s, "import_s": import_s, "load_s": load_s}


async def measure(manifest: FunctionManifest, item: bytes, way: str) -> dict[str, dict[str, float]]:
    """One replica after the other in one way: the first and, if that is another matter, a later one."""
    async with started() as starter:
        number, link, first = await starter.start(manifest, item)
        if way == "plain":
            return {"plain": first}
        await starter.end(number, link)
        _, _, later = await starter.start(manifest, item)
        return {f"{way}, first": first, f"{way}, later": later}


async def memory(manifest: FunctionManifest, item: bytes) -> dict[str, float]:
    """PSS in bytes: of one replica of four, of all processes with one and with four, of a fork server left alone."""
    async with started() as starter:
        replicas = [await starter.start(manifest, item)]
        with_one = sum(_pss_bytes().values())
        replicas += [await starter.start(manifest, item) for _ in range(REPLICAS - 1)]
        each = [starter.launcher.memory_bytes(number) or 0 for number, _, _ in replicas]
        with_four = sum(_pss_bytes().values())
        for number, link, _ in replicas:
            await starter.end(number, link)
        return {
            "replica_bytes": statistics.mean(each),
            "with_one_bytes": with_one,
            "with_four_bytes": with_four,
            "left_alone_bytes": sum(_pss_bytes().values()),
        }


def _pss_bytes() -> dict[int, int]:
    """Of every replica and fork server, by process id; the guard is a shell."""
    pids = [pid for pid in harness.descendants(os.getpid()) if b"sojourn.replica" in _command(pid)]
    return {pid: harness.memory_kb(pid)["pss"] * 1024 for pid in pids}


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def run(name: str, runs: int) -> dict[str, object]:
    """All figures of one function."""
    target, item = FUNCTIONS[name]
    (manifest,) = await describe(str(target))
    manifests = {
        way: msgspec.structs.replace(manifest, settings=msgspec.structs.replace(manifest.settings, share=share))
        for way, share in WAYS.items()
    }
    taken: dict[str, list[dict[str, float]]] = {}
    for _ in range(runs):
        taken.setdefault("import + load alone", []).append(alone(target, manifest.attribute))
        for way in WAYS:
            for label, figures in (await measure(manifests[way], item, way)).items():
                taken.setdefault(label, []).append(figures)
    times = {
        label: {key: statistics.median(one[key] for one in figures) for key in figures[0]}
        for label, figures in taken.items()
    }
    return {"times": times, "memory": {way: await memory(manifests[way], item) for way in WAYS}}


def show(name: str, results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print both tables of a function."""
    times, sizes = results["times"], results["memory"]
    bar_s = times["import + load alone"]["answer_s"]
    harness.print_table(
        [name, "first answer ms", "x alone", "spawn", "import", "load", "warm-up"],
        [
            [label, f"{row['answer_s'] * 1e3:.0f}", f"{row['answer_s'] / bar_s:.2f}"]
            + [f"{row[phase] * 1e3:.0f}" if phase in row else "-" for phase in ("spawn_s", *PHASES)]
            for label, row in times.items()
        ],
    )
    whole_s = times["import + load alone"]["process_s"]
    print(f"(the bare process in whole, with its interpreter: {whole_s * 1e3:.0f} ms)\n")
    harness.print_table(
        [f"{name}, PSS in MiB", "a replica of 4", "all with 1", "all with 4", "without any"],
        [[way] + [f"{row[key] / 2**20:.1f}" for key in _SIZES] for way, row in sizes.items()],
    )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="starts of each kind, taking turns")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    results = {name: asyncio.run(run(name, options.runs)) for name in FUNCTIONS}
    for name, figures in results.items():
        show(name, figures)
    print(f"bar: a plain or first start within {TARGET_RATIO:g} x of import + load alone; no import in a later one")
    print(f"written: {harness.save('coldstart', {'functions': results}, keep=options.keep)}")


if __name__ == "__main__":
    main()

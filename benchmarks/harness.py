"""What the benchmarks share: pinned processes, processor time by process, memory, machine facts, results on disk."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Self

from sojourn.client.server_process import ServerProcess

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
LOAD_CORE, SERVER_CORE = 0, 1
_START_S = 30.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


# A benchmark that is told to end stops the servers it started on its way out.
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))

# Asked once: after `pin_this_process` only one core is left to this process itself.
_CAN_PIN = {LOAD_CORE, SERVER_CORE} <= os.sched_getaffinity(0) and shutil.which("taskset") is not None


def can_pin() -> bool:
    """Whether there are two cores to keep the load away from the server."""
    return _CAN_PIN


def pinned(core: int) -> list[str]:
    """The words that start a command on one core; none if that cannot be done here."""
    return ["taskset", "-c", str(core)] if can_pin() else []


def pin_this_process() -> None:
    """Keep this process (the load) on its core."""
    if can_pin():
        os.sched_setaffinity(0, {LOAD_CORE})


def start_server(example: str, environment: dict[str, str] | None = None, options: Sequence[str] = ()) -> ServerProcess:
    """A server of one of the examples, with its replicas, on the server's core. Enter it to start it."""
    return ServerProcess(EXAMPLES / example, prefix=pinned(SERVER_CORE), environment=environment, options=options)


class EchoProcess:
    """The bare httptools echo on the server's core; a context manager with `pid` and `url`."""

    def __init__(self, *options: str) -> None:
        self._options = options

    def __enter__(self) -> Self:
        command = [*pinned(SERVER_CORE), sys.executable, str(HERE / "bare_echo.py"), "0", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line.isdigit():
            self.__exit__()
            raise RuntimeError(f"bare_echo.py did not tell its port, but {line!r}")
        self.pid = self._process.pid
        self.url = f"http://127.0.0.1:{line}/"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class MosecProcess:
    """The no-op function on Mosec, on the server's core; a context manager with `pid` and `url`.

    Args:
        python: Interpreter of an environment with Mosec in it.
    """

    def __init__(self, python: str) -> None:
        self._python = python

    def __enter__(self) -> Self:
        port = free_port()
        self._process = subprocess.Popen(
            [*pinned(SERVER_CORE), self._python, str(HERE / "mosec_noop.py")],
            env={**os.environ, "MOSEC_ADDRESS": "127.0.0.1", "MOSEC_PORT": str(port), "MOSEC_LOG_LEVEL": "warning"},
        )
        self.pid, self.url = self._process.pid, f"http://127.0.0.1:{port}/inference"
        give_up_at_s = time.monotonic() + _START_S
        while not _answers(self.url):
            if self._process.poll() is not None or time.monotonic() > give_up_at_s:
                self.__exit__()
                raise RuntimeError(f"mosec did not answer within {_START_S:g} s; is it installed for {self._python}?")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _answers(url: str) -> bool:
    request = urllib.request.Request(url, data=b"1", headers={"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=1.0) as answer:  # noqa: S310 - our own loopback address
            return answer.status == HTTPStatus.OK
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Process ids below `pid`, all generations."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def role_of(pid: int) -> str:
    """What a process below a server is for."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return "replica" if b"sojourn.replica" in command else "session guard"


def processor_s(pid: int) -> float:
    """User and system time of a process so far, in seconds (in steps of 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def memory_kb(pid: int) -> dict[str, int]:
    """Resident memory of a process in KiB: `rss`, and `pss` with shared pages divided among their users."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {name.lower(): int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1]) for name in ("Rss", "Pss")}


def machine() -> dict[str, object]:
    """What the figures depend on; nothing that names the machine or its user."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cores": os.cpu_count(),
        "processor": model[1] if model else platform.machine(),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "pinned": can_pin(),
    }


def save(name: str, results: dict[str, object], *, keep: bool) -> Path:
    """Write results as JSON, into `results/local` (ignored by git) or, to keep them, into `results`."""
    folder = HERE / "results" if keep else HERE / "results" / "local"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **results}, indent=2) + "\n")
    return path.relative_to(HERE.parent)


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns of texts, the first to the left and the others to the right."""
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for number, line in enumerate(lines):
        others = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join([line[0].ljust(widths[0]), *others]))
        if number == 0:
            print("  ".join("-" * width for width in widths))

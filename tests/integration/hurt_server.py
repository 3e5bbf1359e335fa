"""A real server with few descriptors or with a log that cannot be written, and a client that speaks raw bytes."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent))
from server import PATIENCE_S, Server

APP = '''
"""Functions for faults."""
import asyncio, os, sys, time
import sojourn

@sojourn.function(max_batch_size=8)
def double(numbers: list[int]) -> list[int]:
    return [2 * number for number in numbers]

@sojourn.function(batchable=False, concurrency=64, timeout_s=100)
async def gate(path: str) -> str:
    """Announces itself by making `path`.in, and goes on when `path`.out exists."""
    open(path + ".in", "w").close()
    while not os.path.exists(path + ".out"):
        await asyncio.sleep(0.005)
    return "through"

@sojourn.function(batchable=False, timeout_s=100)
def flood(mib: int) -> int:
    """Prints so much."""
    line = "x" * 1023 + "\\n"
    for _ in range(mib * 1024):
        sys.stdout.write(line)
    sys.stdout.flush()
    return mib

@sojourn.function(batchable=False)
def pause(duration_s: float) -> str:
    time.sleep(duration_s)
    return "rested"
'''


LIMITED = """
import os, resource, sys
count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class HurtServer(Server):
    """A server with few descriptors, or with a standard error of the test's choice.

    Args:
        directory: Its working directory.
        options: Flags of `sojourn serve`.
        stderr: Where its event log goes instead of a file.
        descriptors: Soft and hard limit; None leaves them.
    """

    def __init__(self, directory, *options, stderr=None, descriptors=None):
        super().__init__(directory, APP, *options)
        self._stderr = stderr
        self._descriptors = descriptors

    def __enter__(self):
        """Start, and wait for the `ready` line."""
        self._log = (self.directory / "server.log").open("w+b")
        limited = [] if self._descriptors is None else ["-c", LIMITED, str(self._descriptors)]
        words = [
            "-m",
            "sojourn.cli.main",
            "serve",
            "app.py",
            "--port",
            "0",
            "--admin-port",
            "0",
            "--log-format",
            "json",
            "--cpus",
            "64",  # so that no function has to give its place to another
        ]
        self.process = subprocess.Popen(
            [sys.executable, *limited, *words, *self._options],
            cwd=self.directory,
            env={**os.environ, "XDG_STATE_HOME": str(self.directory / "state"), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=self._log if self._stderr is None else self._stderr,
        )
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("ready "):
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self._log.close()
            raise AssertionError(f"not ready: {line!r}\n{self.log_text()}")
        told = dict(word.split("=", 1) for word in line.split()[1:])
        self.inference, self.admin = urlsplit(told["inference"]), urlsplit(told["admin"])
        return self

    @property
    def address(self):
        """Host and port for raw clients."""
        return self.inference.hostname, self.inference.port

    def processor_s(self):
        """User and system time of the server process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        """Memory of the server process now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Raw:
    """A keep-alive client that speaks raw bytes."""

    def __init__(self, server):
        self.socket = socket.create_connection(server.address, PATIENCE_S)
        self.socket.settimeout(PATIENCE_S)
        self._file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._file.close()
        self.socket.close()

    def send(self, function, item):
        """Send one call."""
        body = json.dumps(item).encode()
        self.socket.sendall(
            b"POST /functions/%b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b"
            % (function.encode(), len(body), body)
        )

    def answer(self):
        """Status, headers and decoded body of the next answer; EOFError at the end."""
        first = self._file.readline()
        if not first:
            raise EOFError
        headers = {}
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.decode().strip().partition(": ")
            headers[name] = value
        return int(first.split()[1]), headers, json.loads(self._file.read(int(headers["content-length"])))

    def call(self, function, item):
        """Send one call and take its answer's status and body."""
        self.send(function, item)
        status, _, body = self.answer()
        return status, body

    def is_at_end(self):
        """Wait for the end of the connection; whether it came in order."""
        return self._file.read() == b""

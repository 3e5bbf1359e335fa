"""A real `sojourn serve` with real replicas, and what a test needs to watch and to hurt it."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

PATIENCE_S = 60.0  # after this a test fails instead of hanging; nothing waits for it to pass


class Answer(NamedTuple):
    """Status, headers (lower case) and the decoded body of an answer."""

    status: int
    headers: dict[str, str]
    body: object


class Server:
    """Start with `with Server(directory, source) as server:`; stopped by its own pid, and looked after."""

    def __init__(self, directory: Path, source: str, *options: str) -> None:
        (directory / "app.py").write_text(source)
        self.directory = directory
        self._options = options
        self.stopped_by_test = False

    def __enter__(self) -> Self:
        self._log = (self.directory / "server.log").open("w+b")
        self.process = subprocess.Popen(
            [
                sys.executable,
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
                *self._options,
            ],
            cwd=self.directory,
            env={**os.environ, "XDG_STATE_HOME": str(self.directory / "state"), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("ready "):
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"not ready: {line!r}\n{self.log_text()}")
        words = dict(word.split("=", 1) for word in line.split()[1:])
        self.inference = urlsplit(words["inference"])
        self.admin = urlsplit(words["admin"])
        return self

    def __exit__(self, *exc_info: object) -> None:
        children = children_of(self.process.pid) if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self._log.close()
        if exc_info[0] is None:
            assert self.stopped_by_test or self.process.returncode == 0, self.log_text()
            wait_until(lambda: not any(is_alive(pid) for pid in children), "the server's children to end with it")
            assert self.stopped_by_test or not self.left_behind(), "the server left files behind"

    def left_behind(self) -> list[Path]:
        """Sockets and files of its run directory that should be gone with it."""
        return list((self.directory / "state").rglob("run/*"))

    def log_text(self) -> str:
        return (self.directory / "server.log").read_text()

    def wait_log(self, event: str, count: int = 1, **fields: object) -> dict:
        """Wait until the event log has `count` lines of this event with these fields; the last of them."""

        def found() -> list[dict]:
            lines = [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]
            return [e for e in lines if e["event"] == event and all(e.get(k) == v for k, v in fields.items())]

        wait_until(lambda: len(found()) >= count, f"{count} x {event} {fields}")
        return found()[count - 1]

    def call(self, function: str, item: object, **headers: str) -> Answer:
        """One request on a connection of its own."""
        return self.raw_call("POST", f"/functions/{function}", json.dumps(item).encode(), **headers)

    def raw_call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return fetch(self.inference, method, path, body, named)

    def ask(self, path: str) -> Answer:
        """GET from the admin port."""
        return fetch(self.admin, "GET", path, None, {})

    def function(self, name: str) -> dict:
        return self.ask(f"/api/v1/functions/{name}").body

    def replica_pids(self) -> list[int]:
        """Its replicas, without the guard that ends what replicas started."""
        return [pid for pid in children_of(self.process.pid) if b"sojourn.replica" in command_of(pid)]


def fetch(where, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        told = {name.lower(): value for name, value in response.getheaders()}
        is_json = told.get("content-type", "").startswith("application/json")
        return Answer(response.status, told, json.loads(content) if is_json and content else content)
    finally:
        connection.close()


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def command_of(pid: int) -> bytes:
    """Command line of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, what: str) -> None:
    """Look again and again, for at most `PATIENCE_S`; used only where nothing can notify us."""
    give_up_at_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_at_s, f"waited in vain for {what}"
        time.sleep(0.01)

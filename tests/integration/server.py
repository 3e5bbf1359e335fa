"""A real `sojourn serve` with real replicas, and what a test needs to watch and to hurt it."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from sojourn.client.server_process import Ready, serve_command

PATIENCE_S = 60.0  # after this a test fails instead of hanging; nothing waits for it to pass


class Answer(NamedTuple):
    """Status, headers (lower case) and the decoded body of an answer."""

    status: int
    headers: dict[str, str]
    body: object


class Server:
    """Start with `with Server(directory, source) as server:`; stopped by its own pid, and looked after."""

    def __init__(self, directory: Path, source: str | None, *options: str) -> None:
        """Without a source it is an empty platform."""
        if source is not None:
            (directory / "app.py").write_text(source)
        self._target = "app.py" if source is not None else None
        self.directory = directory
        self._options = options
        self.stopped_by_test = False

    def __enter__(self) -> Self:
        self._log = (self.directory / "server.log").open("w+b")
        self.process = subprocess.Popen(
            serve_command(self._target, "--log-format", "json", "--cpus", "64", *self._options),
            cwd=self.directory,
            env={**os.environ, "XDG_STATE_HOME": str(self.directory / "state"), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline().decode() if ready else ""
        told = Ready.read(line)
        if told is None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self._log.close()
            raise AssertionError(f"not ready: {line!r}\n{self.log_text()}")
        self.inference, self.admin = urlsplit(told.url), urlsplit(told.admin_url)
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

    def logged(self, event: str, **fields: object) -> list[dict]:
        """Lines of the event log of this event with these fields, oldest first."""
        whole = self.log_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [e for e in lines if e["event"] == event and all(e.get(k) == v for k, v in fields.items())]

    def wait_log(self, event: str, count: int = 1, **fields: object) -> dict:
        """Wait until the event log has `count` lines of this event with these fields; the last of them."""
        wait_until(lambda: len(self.logged(event, **fields)) >= count, f"{count} x {event} {fields}")
        return self.logged(event, **fields)[count - 1]

    def wait_replicas(self, function: str, ready: int) -> None:
        """Wait until a function has this many ready replicas, none that starts or drains."""
        wanted = {"starting": 0, "ready": ready, "draining": 0}
        wait_until(lambda: self.function(function)["replicas"] == wanted, f"{ready} ready replicas of {function}")

    def call(self, function: str, item: object, **headers: str) -> Answer:
        """One request on a connection of its own."""
        return self.raw_call("POST", f"/functions/{function}", json.dumps(item).encode(), **headers)

    def raw_call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return fetch(self.inference, method, path, body, named)

    def ask(self, path: str) -> Answer:
        """GET from the admin port."""
        return fetch(self.admin, "GET", path, None, {})

    def raw_ask(self, path: str) -> bytes:
        """The bytes that GET from the admin port brings."""
        body = self.ask(path).body
        return body if isinstance(body, bytes) else json.dumps(body).encode()

    def scale(self, name: str, **limits: int) -> Answer:
        """Change the limits of a function's replicas."""
        content_type = {"content-type": "application/json"}
        return fetch(self.admin, "PUT", f"/api/v1/functions/{name}/scale", json.dumps(limits).encode(), content_type)

    def function(self, name: str) -> dict:
        return self.ask(f"/api/v1/functions/{name}").body

    def replica_pids(self) -> list[int]:
        """Its replicas, without their fork servers and the guard that ends what replicas started."""
        return [pid for pid in children_of(self.process.pid) if b"sojourn.replica\0" in command_of(pid)]

    def fork_server_pids(self) -> list[int]:
        """Its fork servers."""
        return [pid for pid in children_of(self.process.pid) if b"sojourn.replica.fork_server" in command_of(pid)]


class Stream:
    """The server's event stream, read by event; close it with `with`."""

    def __init__(self, server: Server, query: str) -> None:
        self._connection = http.client.HTTPConnection(server.admin.hostname, server.admin.port, timeout=PATIENCE_S)
        self._connection.request("GET", f"/api/v1/events?{query}", headers={"accept": "text/event-stream"})
        self._response = self._connection.getresponse()
        assert self._response.status == 200
        self.read = []

    def until(self, event: str) -> dict:
        """Read up to and including this event; it."""
        while line := self._response.readline():
            if line.startswith(b"data: "):
                self.read.append(json.loads(line.removeprefix(b"data: ")))
                if self.read[-1]["event"] == event:
                    return self.read[-1]
        raise AssertionError(f"the stream ended without {event}: {self.read}")

    def rest(self) -> bytes:
        """Whatever still comes, until the server ends it."""
        return self._response.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()
        self._response.close()


def refused_start(directory: Path, source: str, *options: str) -> str:
    """What `sojourn serve` says when it does not serve, on standard error; it must exit 1."""
    (directory / "app.py").write_text(source)
    ended = subprocess.run(
        serve_command("app.py", *options),
        cwd=directory,
        env={**os.environ, "XDG_STATE_HOME": str(directory / "state")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    return ended.stderr


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


def wait_until(condition, what: str, patience_s: float = PATIENCE_S) -> None:
    """Look again and again, for at most `patience_s`; used only where nothing can notify us."""
    give_up_at_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < give_up_at_s, f"waited in vain for {what}"
        time.sleep(0.01)

"""Functions to deploy, the commands that do it, and callers that never stop asking meanwhile."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Self

from click.testing import CliRunner, Result
from server import PATIENCE_S, Server, wait_until

from sojourn.cli.main import cli

APP = """
import sojourn

@sojourn.function(slo="99% < 500ms", max_batch_size=8, min_replicas=1)
def version(items: list[int]) -> list[str]:
    return ["{answer}"] * len(items)
"""


def write_app(directory: Path, source: str) -> Path:
    """A source tree with this app.py."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "app.py").write_text(source)
    return directory


def sojourn(server: Server, *words: str) -> Result:
    """One command against a server's admin port."""
    return CliRunner().invoke(cli, [*words, "--admin-url", server.admin.geturl()], standalone_mode=False)


def sojourn_process(server: Server, *words: str) -> subprocess.CompletedProcess:
    """The same as a process of its own, for several at once."""
    command = [sys.executable, "-m", "sojourn.cli.main", *words, "--admin-url", server.admin.geturl()]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def deployed(server: Server, tree: Path, *options: str) -> dict:
    """Deploy a tree and wait; the rollout of its only function."""
    done = sojourn(server, "deploy", str(tree), "--json", *options)
    told = json.loads(done.stdout)
    assert len(told["functions"]) == 1
    return told["rollouts"][0] if told["rollouts"] else told["functions"][0]


class Probes:
    """Callers on connections of their own that ask a function over and over: `with Probes(server, "version") as probes`.

    Every answer is kept: status and body. A connection that breaks counts as status 0.
    """

    def __init__(self, server: Server, function: str, callers: int = 4) -> None:
        self.answers: list[tuple[int, object]] = []
        self._begun: list[tuple[float, int]] = []  # when each was asked, and its status
        self._server = server
        self._path = f"/functions/{function}"
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(callers)]

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(
            self._server.inference.hostname, self._server.inference.port, timeout=PATIENCE_S
        )
        while not self._is_over.is_set():
            begun_s = time.monotonic()
            try:
                connection.request("POST", self._path, b"1", {"content-type": "application/json"})
                response = connection.getresponse()
                self.answers.append((response.status, json.loads(response.read())))
                self._begun.append((begun_s, response.status))
            except (OSError, http.client.HTTPException) as err:
                self.answers.append((0, repr(err)))
                self._begun.append((begun_s, 0))
                connection.close()
        connection.close()

    @property
    def statuses(self) -> Counter:
        return Counter(status for status, _ in self.answers)

    @property
    def bodies(self) -> Counter:
        return Counter(str(body) for status, body in self.answers if status == 200)

    def statuses_since(self, begun_s: float) -> Counter:
        """Of requests that were sent after this instant of `time.monotonic`."""
        return Counter(status for at_s, status in self._begun if at_s > begun_s)

    def wait_more(self, count: int) -> None:
        """Until so many more answers are here."""
        aim = len(self.answers) + count
        wait_until(lambda: len(self.answers) >= aim, f"{aim} answers")

    def wait_body(self, body: str) -> None:
        """Until the latest answers are all this one."""
        wait_until(
            lambda: len(self.answers) > 20 and all(told == body for _, told in self.answers[-20:]), f"answers {body!r}"
        )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

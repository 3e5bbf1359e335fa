"""A `sojourn serve` of our own in a child process: started on free ports, stopped by its own process id."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from sojourn.errors import StartError

_READY = re.compile(r"ready inference=(\S+) admin=(\S+) functions=(\S*)")
_LOG_TAIL_BYTES = 2000
_STOP_S = 10.0


class Ready(NamedTuple):
    """What a server says when it is ready: the URLs of both ports, and the functions it serves."""

    url: str
    admin_url: str
    functions: list[str]

    @classmethod
    def read(cls, line: str) -> Ready | None:
        """What the line says; None if it is another one."""
        found = _READY.match(line)
        return None if found is None else cls(found[1], found[2], found[3].split(",") if found[3] else [])


def serve_command(target: str | Path | None, *options: str) -> list[str]:
    """The command of a server on free ports, by this interpreter.

    Args:
        target: What to serve: a file or a module; None for an empty platform.
        options: Further options of `sojourn serve`.
    """
    served = [] if target is None else [str(target)]
    return [sys.executable, "-m", "sojourn.cli.main", "serve", *served, "--port", "0", "--admin-port", "0", *options]


class ServerProcess:
    """Starts a server on entering, stops it on leaving; then `url`, `admin_url` and `functions` are known.

    Args:
        target: What to serve: a file or a module; None for an empty platform.
        prefix: Words before the command, such as `("taskset", "-c", "0")`.
        environment: Variables added to ours.
        options: Further options of `sojourn serve`.
        start_timeout_s: Patience until it says that it is ready, in seconds.
    """

    def __init__(
        self,
        target: str | Path | None,
        *,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        start_timeout_s: float = 90.0,
    ) -> None:
        self._command = [*prefix, *serve_command(target, *options)]
        self._environment = {**os.environ, **(environment or {})}
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None
        self.url = ""
        self.admin_url = ""
        self.functions: list[str] = []

    @property
    def pid(self) -> int:
        """Process id of the server."""
        if self._process is None:
            raise StartError("the server has not been started")
        return self._process.pid

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        # Apart from our terminal: Ctrl-C reaches us alone, and we stop the server in order.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=self._environment,
            start_new_session=True,
        )
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server: asked first, killed after ten seconds. Harmless when it has ended."""
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _await_ready(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            raise StartError("the server has not been started")
        ends_at_s = time.monotonic() + self._start_timeout_s
        while True:
            left_s = ends_at_s - time.monotonic()
            if left_s <= 0 or not select.select([process.stdout], [], [], left_s)[0]:
                raise StartError(f"the server was not ready within {self._start_timeout_s:g} s\n{self._log_tail()}")
            line = process.stdout.readline()
            if not line:
                code = process.wait(_STOP_S)
                raise StartError(f"the server ended with exit code {code} before it was ready\n{self._log_tail()}")
            if (ready := Ready.read(line)) is not None:
                self.url, self.admin_url, self.functions = ready
                return

    def _log_tail(self) -> str:
        if self._log is None:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_TAIL_BYTES))
        return self._log.read().decode("utf-8", "replace").strip()

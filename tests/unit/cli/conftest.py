"""The `sojourn` command as a real process, and one real server for the tests that only ask it things."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

APP = '''
import sys
import sojourn

print("loading the app")


@sojourn.function(slo="99% < 500ms", max_batch_size=8)
class Double:
    """Twice a number."""

    def __init__(self) -> None:
        print("model loaded", file=sys.stderr)

    def __call__(self, numbers: list[int]) -> list[int]:
        if 13 in numbers:
            raise RuntimeError("unlucky")
        return [2 * number for number in numbers]


@sojourn.function
def echo(items: list[bytes]) -> list[bytes]:
    return items
'''

_READY = re.compile(r"ready inference=(http://\S+) admin=(http://\S+) functions=(\S+)\n")


class ServerProcess:
    """`sojourn serve` as a process of its own, on free ports."""

    def __init__(self, directory, target="app.py", *options):
        environment = {**os.environ, "XDG_STATE_HOME": str(directory / "state")}
        ports = () if any("port" in option for option in options) else ("--port", "0", "--admin-port", "0")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sojourn.cli.main", "serve", target, *ports, "--cpus", "64", *options],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self):
        """Read the ready line; returns the inference URL, the admin URL and the functions."""
        line = self.process.stdout.readline()
        found = _READY.fullmatch(line)
        assert found, f"{line!r}\n{self.process.stderr.read() if not line else ''}"
        return found.groups()

    def wait_event(self, event):
        """Read the event log up to and including a line with this event."""
        for line in self.process.stderr:
            if event in line:
                return line
        raise AssertionError(f"the log ended without {event}")

    def end(self, number=signal.SIGTERM):
        """Send a signal and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        """The exit code."""
        code = self.process.wait(60)
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def refusal(self):
        """The exit code and standard error of a server that does not come up."""
        out, errors = self.process.communicate(timeout=60)
        assert out == ""
        assert not any(line.startswith("Traceback") for line in errors.splitlines()), errors
        return self.process.returncode, errors


@pytest.fixture
def start(tmp_path):
    """Starts servers in a directory with the app; whatever still runs in the end is killed by its pid."""
    (tmp_path / "app.py").write_text(APP)
    started = []

    def begin(*arguments):
        server = ServerProcess(tmp_path, *arguments)
        started.append(server)
        return server

    yield begin
    for server in started:
        with contextlib.suppress(ProcessLookupError):
            if server.process.poll() is None:
                server.process.kill()
        server.wait()


@pytest.fixture(scope="session")
def urls(tmp_path_factory):
    """Inference and admin URL of one server that all reading tests share."""
    directory = tmp_path_factory.mktemp("server")
    (directory / "app.py").write_text(APP)
    server = ServerProcess(directory)
    try:
        inference, admin, functions = server.wait_ready()
        assert functions == "double,echo"
        yield inference, admin
    finally:
        server.end()


@pytest.fixture
def sojourn(tmp_path):
    """Runs one command to its end; returns the finished process with its output as bytes."""

    def run(*arguments, standard_input=b"", environment=None, directory=tmp_path):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
        return subprocess.run(
            [sys.executable, "-m", "sojourn.cli.main", *(str(argument) for argument in arguments)],
            cwd=Path(directory),
            env={**clean, "XDG_STATE_HOME": str(tmp_path / "state"), "NO_COLOR": "1", **(environment or {})},
            input=standard_input,
            capture_output=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def scripted():
    """A server that says these things to one connection after the other; its URL, and what it was asked."""
    threads = []

    def begin(*answers):
        asked = []
        server = socket.create_server(("127.0.0.1", 0))

        def serve():
            with server:
                for answer in answers:
                    connection, _ = server.accept()
                    with connection:
                        asked.append(connection.recv(65_536).decode(errors="replace").lower())
                        connection.sendall(answer)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"http://127.0.0.1:{server.getsockname()[1]}", asked

    yield begin
    for thread in threads:
        thread.join()

"""A replica as the server sees it: a real process that dials in, driven over a real Unix socket."""

import os
import select
import socket
import subprocess
import sys
import tempfile
import textwrap
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from sojourn.domain.function import FunctionManifest
from sojourn.wire.frame import FrameReader, encode
from sojourn.wire.message import Drain, Hello, Ready, Run
from sojourn.wire.spec import ReplicaSpec

PATIENCE_S = 30.0
TOKEN = "once"  # noqa: S105 - no secret: the test is the server


class Replica:
    """One replica process and the server's end of its link."""

    def __init__(self, process, link, log):
        self.process = process
        self.link = link
        self._log = log
        self._reader = FrameReader()
        self._arrived = []

    def receive(self):
        """The next message, or None once the replica hung up."""
        while not self._arrived:
            try:
                data = self.link.recv(2**20)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._arrived += self._reader.feed(data)
        return self._arrived.pop(0)

    def send(self, *messages):
        """Send messages in one write."""
        self.link.sendall(b"".join(map(encode, messages)))

    def run(self, *bodies, kinds=b"", batch_id=1):
        """Send one batch and wait for what comes next."""
        self.send(Run(batch_id, list(bodies), kinds))
        return self.receive()

    def ready(self):
        """Go through the handshake of a replica that can serve."""
        hello, ready = self.receive(), self.receive()
        assert type(hello) is Hello
        assert type(ready) is Ready, ready
        return self

    def drain(self):
        """Drain and give the exit status."""
        self.send(Drain())
        assert self.receive() is None
        return self.status()

    def status(self):
        """Exit status of the process, which is about to end."""
        return self.process.wait(PATIENCE_S)

    def output(self, stream):
        """What the process has printed to `stdout` or `stderr`."""
        return (self._log / stream).read_text()


class Bench:
    """Writes targets, describes them, starts replicas; ends whatever it started."""

    def __init__(self, folder, sockets):
        self.folder = folder
        self.socket_path = str(Path(sockets) / "link")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.socket_path)
        self._listener.listen()
        self._listener.settimeout(PATIENCE_S)
        self.listener = self._listener
        self._open = [self._listener]
        self._processes = []

    def write(self, source, name="app.py"):
        """A target file with this source."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return str(path)

    def describe(self, target, *, cwd=None, root=""):
        """What the describe process answers: (exit status, answer as plain data, its stdout)."""
        answer = self.folder / "answer.json"
        with answer.open("wb") as file:
            done = subprocess.run(
                [sys.executable, "-m", "sojourn.replica.describe", target, "--fd", str(file.fileno()), "--root", root],
                pass_fds=[file.fileno()],
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
                cwd=cwd,
            )
        told = msgspec.json.decode(answer.read_bytes())
        return done.returncode, told.get("functions", told), done.stdout

    def manifest(self, source, name="app.py"):
        """Manifest of the only function of `source`."""
        status, answer, _ = self.describe(self.write(source, name))
        assert status == 0, answer
        (manifest,) = msgspec.convert(answer, list[FunctionManifest])
        return manifest

    def spec(self, manifest, **more):
        """A spec for a replica of `manifest` that dials in here."""
        return ReplicaSpec(replica_id=7, socket_path=self.socket_path, token=TOKEN, manifest=manifest, **more)

    def launch(self, spec):
        """Start the process of `spec`, without waiting for its call."""
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "sojourn.replica"], stdin=subprocess.PIPE, stdout=out, stderr=err
            )
        self._processes.append(process)
        process.stdin.write(msgspec.json.encode(spec) + b"\n")
        process.stdin.close()
        return process

    def accept(self, process=None):
        """The link of the replica that dials in next."""
        link, _ = self._listener.accept()
        link.settimeout(PATIENCE_S)
        self._open.append(link)
        return Replica(process, link, self.folder)

    def start(self, source, **more):
        """A replica of the only function of `source`, about to say hello."""
        return self.accept(self.launch(self.spec(self.manifest(source), **more)))

    def serve(self, source, **more):
        """A replica of the only function of `source` that is ready."""
        return self.start(source, **more).ready()

    def close(self):
        """End everything."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE_S)
        for one in self._open:
            one.close()


@contextmanager
def opened_bench(directory):
    """A place to run replicas from, until the end of the block."""
    with tempfile.TemporaryDirectory() as sockets:  # pytest's own paths are too long for a Unix socket
        bench = Bench(directory, sockets)
        yield bench
        bench.close()


@pytest.fixture
def bench(tmp_path):
    """A place to run replicas from."""
    with opened_bench(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def lasting_bench(tmp_path_factory):
    """A place to run replicas from that several tests share."""
    with opened_bench(tmp_path_factory.mktemp("bench")) as one:
        yield one


@pytest.fixture
def vanished():
    """Tells whether a process ends in bounded time, without being its parent."""

    def ask(pidfd):
        return bool(select.select([pidfd], [], [], PATIENCE_S)[0])

    return ask


@pytest.fixture
def fifo(tmp_path):
    """A named pipe by which a replica tells that a call has begun, and waits to be let on."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path

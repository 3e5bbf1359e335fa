"""Replicas as processes of this machine: started, heard, ended with all they started."""

import asyncio
import os
import select
import signal
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
import uvloop

from sojourn.launcher.describe import describe
from sojourn.launcher.local import LocalLauncher
from sojourn.launcher.output import LINE_BYTES_MAX, LINES_PER_S_MAX
from sojourn.launcher.process import allowed_environment
from sojourn.wire.frame import FrameReader, encode
from sojourn.wire.message import Drain, Ready, Run
from sojourn.wire.spec import ReplicaSpec

PATIENCE_S = 30.0
TALK = """
    import os, subprocess, sys, threading, sojourn

    @sojourn.function
    class Talk:
        def __call__(self, items: list[str]) -> list[str]:
            for item in items:
                exec(item)
            return items
"""
STUBBORN = """
        def close(self):
            import time
            # Only the first replica is ever let go; a bound of 30 s, should the test have gone.
            for _ in range(3000):
                if os.path.exists({folder!r} + "/go 1"):
                    break
                time.sleep(0.01)
"""


def open_descriptors():
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Server:
    """The server's side: a launcher, a listener, and what came of each replica."""

    def __init__(self, folder):
        self.folder = folder
        self.lines = []
        self.ends = {}
        self.heard = asyncio.Event()
        self.launcher = LocalLauncher(self._hear)
        self._links = asyncio.Queue()
        self._writers = []

    def _hear(self, *line):
        self.lines.append(line)
        self.heard.set()

    async def open(self, source):
        """Describe the source and listen for its replicas."""
        target = self.folder / "talk.py"
        target.write_text(textwrap.dedent(source))
        (self.manifest,) = await describe(str(target))
        self._sockets = tempfile.TemporaryDirectory()
        self._path = str(Path(self._sockets.name) / "link")
        self._listener = await asyncio.start_unix_server(self._dialled_in, self._path)

    def _dialled_in(self, reader, writer):
        self._writers.append(writer)
        self._links.put_nowait(Link(reader, writer))

    def start(self, replica_id=1, **more):
        """Start a replica; the cause of its end will be the result of `ends[replica_id]`."""
        spec = ReplicaSpec(
            replica_id=replica_id, socket_path=self._path, token=str(replica_id), manifest=self.manifest, **more
        )
        self.ends[replica_id] = asyncio.get_running_loop().create_future()
        self.launcher.start(spec, lambda number, cause: self.ends[number].set_result(cause))

    async def ready(self):
        """The link of the next replica, once it is ready."""
        link = await asyncio.wait_for(self._links.get(), PATIENCE_S)
        await link.receive()
        assert type(await link.receive()) is Ready
        return link

    async def hang_up(self):
        """Close the link of the replica that dialled in last."""
        writer = self._writers.pop()
        writer.close()
        await asyncio.wait_for(writer.wait_closed(), PATIENCE_S)

    async def end(self, replica_id=1):
        """Cause of the end of a replica."""
        return await asyncio.wait_for(self.ends[replica_id], PATIENCE_S)

    async def close(self):
        """End everything."""
        await asyncio.wait_for(self.launcher.close(), PATIENCE_S)
        for writer in self._writers:
            writer.close()
        self._listener.close()
        self._sockets.cleanup()


class Link:
    """The server's end of a replica's link."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._frames = FrameReader()
        self._arrived = []

    async def receive(self):
        """The next message, or None at the end."""
        while not self._arrived:
            data = await asyncio.wait_for(self._reader.read(2**16), PATIENCE_S)
            if not data:
                return None
            self._arrived += self._frames.feed(data)
        return self._arrived.pop(0)

    def send(self, message):
        """Send without waiting."""
        self._writer.write(encode(message))

    async def do(self, code):
        """Let the function execute a line of Python."""
        self.send(Run(1, [b'"%s"' % code.encode()]))
        done = await self.receive()
        assert done.faults == []


@pytest.fixture(params=["asyncio", "uvloop"])
def served(request, tmp_path):
    """Runs a scene `async def scene(server)` on either kind of loop, with a server that is closed after it."""

    def play(scene, source=TALK):
        async def run():
            server = Server(tmp_path)
            await server.open(source)
            try:
                await scene(server)
            finally:
                await server.close()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop if request.param == "uvloop" else None) as runner:
            runner.run(asyncio.wait_for(run(), 3 * PATIENCE_S))

    return play


def test_a_drained_replica_ends_with_status_0_and_was_heard(served):
    """Lines of both streams arrive with function, id and stream, the last one without its newline too."""

    async def scene(server):
        server.start(5)
        link = await server.ready()
        await link.do("print('hello'); print('mind', file=sys.stderr); print('caf\\\\u00e9 unfinished', end='')")
        link.send(Drain())
        assert await server.end(5) == "exit status 0"
        assert sorted(server.lines) == [
            ("talk", 5, "stderr", "mind"),
            ("talk", 5, "stdout", "caf\u00e9 unfinished"),
            ("talk", 5, "stdout", "hello"),
        ]

    served(scene)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("os._exit(3)", "exit status 3"),
        ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("os.abort()", "killed by SIGABRT"),
    ],
)
def test_the_cause_of_an_end_is_told(served, code, cause):
    """Exit statuses and signals in words, once."""

    async def scene(server):
        server.start()
        link = await server.ready()
        link.send(Run(1, [b'"%s"' % code.encode()]))
        assert await server.end() == cause

    served(scene)


def test_stop_asks_first(served):
    """SIGTERM lets a replica end cleanly; stopping twice, or one that is unknown, does no harm."""

    async def scene(server):
        server.start()
        await server.ready()
        server.launcher.stop(1, grace_s=PATIENCE_S)
        server.launcher.stop(1, grace_s=PATIENCE_S)
        server.launcher.stop(99, grace_s=0)
        assert await server.end() == "exit status 0"
        server.launcher.stop(1, grace_s=0)

    served(scene)


def test_stop_kills_the_deaf_with_their_children(served):
    """A replica that ignores SIGTERM is killed after the grace, and so is what it had started."""

    async def scene(server):
        server.start()
        link = await server.ready()
        await link.do(
            "import signal; signal.signal(15, signal.SIG_IGN); "
            "print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL).pid)"
        )
        link.send(Run(2, [b'"threading.Event().wait()"']))
        await asyncio.wait_for(server.heard.wait(), PATIENCE_S)
        child = os.pidfd_open(int(server.lines[0][3]))
        try:
            server.launcher.stop(1, grace_s=0)
            assert await server.end() == "killed by SIGKILL"
            assert select.select([child], [], [], PATIENCE_S)[0]
        finally:
            os.close(child)

    served(scene)


def test_children_left_behind_go_with_the_replica(served):
    """A replica that ends by itself leaves nobody of its session behind, not even one that holds its pipes."""

    async def scene(server):
        server.start()
        link = await server.ready()
        await link.do("print(subprocess.Popen(['sleep', '600']).pid)")
        await asyncio.wait_for(server.heard.wait(), PATIENCE_S)
        child = os.pidfd_open(int(server.lines[0][3]))
        try:
            link.send(Drain())
            assert await server.end() == "exit status 0"
            assert select.select([child], [], [], PATIENCE_S)[0]
        finally:
            os.close(child)

    served(scene)


def test_a_daemon_that_left_the_session_holds_nothing_here(served):
    """What escaped into a session of its own keeps its end of the pipes; ours are closed when the replica ends."""

    async def scene(server):
        before = open_descriptors()
        server.start()
        link = await server.ready()
        await link.do("print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)")
        await asyncio.wait_for(server.heard.wait(), PATIENCE_S)
        daemon = int(server.lines[0][3])
        try:
            link.send(Drain())
            assert await server.end() == "exit status 0"
            assert await link.receive() is None
            await server.hang_up()
            assert open_descriptors() <= before + 1  # the end of the guard's pipe, until the launcher is closed
        finally:
            os.kill(daemon, signal.SIGKILL)

    served(scene)


def test_output_is_bounded(served):
    """An endless line is cut, a flood is counted, and the replica never waits for us."""

    async def scene(server):
        server.start()
        link = await server.ready()
        await link.do(f"print('x' * {LINE_BYTES_MAX + 5}); print('after')")
        await link.do("print('y\\\\n' * 200000)")
        link.send(Drain())
        assert await server.end() == "exit status 0"
        texts = [text for *_, text in server.lines]
        assert texts[0] == "x" * LINE_BYTES_MAX + " ... [5 bytes cut]"
        assert texts[1] == "after"
        dropped = sum(int(text[1:].split()[0]) for text in texts if "lines dropped" in text)
        assert dropped > 200_000 - 60 * LINES_PER_S_MAX
        assert texts.count("y") + texts.count("") + dropped == 200_001

    served(scene)


def test_close_leaves_nobody(served):
    """Closing kills all replicas, tells each end, and afterwards nothing is started any more."""

    async def scene(server):
        for replica_id in (1, 2, 3):
            server.start(replica_id)
        await server.ready()
        await server.launcher.close()
        assert [await server.end(replica_id) for replica_id in (1, 2, 3)] == ["killed by SIGKILL"] * 3
        server.start(4)
        assert await server.end(4) == "not started: the launcher is closed"

    served(scene)


def test_close_gives_their_grace_to_those_told_to_stop(served, tmp_path):
    """A replica that was asked to end may finish, within its grace; one that nobody asked is killed at once."""

    async def scene(server):
        for replica_id in (1, 2, 3):
            server.start(replica_id)
            await server.ready()
        server.launcher.stop(1, grace_s=PATIENCE_S)
        server.launcher.stop(2, grace_s=0.05)
        closing = asyncio.create_task(server.launcher.close())
        assert await server.end(2) == "killed by SIGKILL"
        assert await server.end(3) == "killed by SIGKILL"
        (tmp_path / "go 1").touch()
        await closing
        assert await server.end(1) == "exit status 0"

    served(scene, TALK + STUBBORN.format(folder=str(tmp_path)))


def test_a_process_that_cannot_be_started_ends_with_the_reason(served, monkeypatch):
    """No interpreter there: the end is told later, as for any other."""

    async def scene(server):
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        server.start()
        assert not server.ends[1].done()
        assert await server.end() == "could not be started: No such file or directory"

    served(scene)


def test_replicas_get_an_allowed_environment(served, monkeypatch):
    """Credentials stay here; what the spec says is there, and wins."""
    monkeypatch.setenv("MY_SECRET", "x")
    monkeypatch.setenv("SOJOURN_FN_A", "ours")

    async def scene(server):
        server.start(environment={"SOJOURN_FN_A": "theirs", "CUDA_VISIBLE_DEVICES": "1"})
        link = await server.ready()
        await link.do("print([os.environ.get(name) for name in ('MY_SECRET', 'SOJOURN_FN_A', 'CUDA_VISIBLE_DEVICES')])")
        link.send(Drain())
        await server.end()
        assert [text for *_, text in server.lines] == ["[None, 'theirs', '1']"]

    served(scene)


def test_the_allow_list():
    """What passes and what does not."""
    given = {"PATH": "p", "LC_ALL": "C", "SOJOURN_FN_X": "1", "SOJOURN_KEY": "no", "AWS_SECRET_ACCESS_KEY": "no"}
    assert allowed_environment(given) == {"PATH": "p", "LC_ALL": "C", "SOJOURN_FN_X": "1"}


def test_descriptors_are_given_back(served):
    """Ten replicas later as many descriptors are open as after the first."""

    async def scene(server):
        counts = []
        for replica_id in range(1, 11):
            server.start(replica_id)
            link = await server.ready()
            server.launcher.stop(replica_id, grace_s=PATIENCE_S)
            assert await server.end(replica_id) == "exit status 0"
            assert await link.receive() is None
            await server.hang_up()
            counts.append(open_descriptors())
        assert max(counts) - counts[0] <= 1

    served(scene)


def test_stopping_while_it_loads(served):
    """A replica that is still importing can be stopped."""

    async def scene(server):
        server.start()
        os.kill(server.launcher.pid(1), signal.SIGSTOP)
        server.launcher.stop(1, grace_s=0)
        # Until it has said what SIGTERM means to it, that alone ends it.
        assert await server.end() in {"killed by SIGTERM", "killed by SIGKILL"}
        assert server.launcher.pid(1) is None

    served(scene)

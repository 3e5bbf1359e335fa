"""What any launcher must do, shown by real replicas: a suite to inherit from.

For a launcher of your own, write a module beside this one with a class that says how it is made:

    class TestMine(LauncherContract):
        def make_launcher(self, on_output): return MyLauncher(on_output)
"""

import asyncio
import os
import select
import sys
from pathlib import Path

import msgspec
import pytest
import uvloop

from sojourn.launcher.output import LINE_BYTES_MAX, LINES_PER_S_MAX
from sojourn.wire.message import PROTOCOL_VERSION, Drain, Hello, Ready, Run

sys.path.insert(0, str(Path(__file__).parent))
from launcher_bench import PATIENCE_S, TALK, Server, open_descriptors

STUBBORN = """
        def close(self):
            import time
            # Only the first replica is ever let go; a bound of 30 s, should the test have gone.
            for _ in range(3000):
                if os.path.exists({folder!r} + "/go 1"):
                    break
                time.sleep(0.01)
"""


class LauncherContract:
    """Inherit from it, and say how your launcher is made."""

    options = ""  # of the function that is served

    def make_launcher(self, on_output):
        """The launcher to test; made on a running loop."""
        raise NotImplementedError

    def break_starts(self, monkeypatch):
        """From now on no process can be started; returns what the cause of the end then says."""
        raise NotImplementedError

    @pytest.fixture(params=["asyncio", "uvloop"])
    def served(self, request, tmp_path):
        """Runs a scene `async def scene(server)` on either kind of loop, with a server that is closed after it."""

        def play(scene, source=TALK):
            async def run():
                server = Server(tmp_path, self.make_launcher)
                await server.open(source.replace("@sojourn.function", f"@sojourn.function({self.options})"))
                try:
                    await scene(server)
                finally:
                    await server.close()

            with asyncio.Runner(loop_factory=uvloop.new_event_loop if request.param == "uvloop" else None) as runner:
                runner.run(asyncio.wait_for(run(), 3 * PATIENCE_S))

        return play

    def test_a_drained_replica_ends_with_status_0_and_was_heard(self, served):
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
    def test_the_cause_of_an_end_is_told(self, served, code, cause):
        """Exit statuses and signals in words, once."""

        async def scene(server):
            server.start()
            link = await server.ready()
            link.send(Run(1, [b'"%s"' % code.encode()]))
            assert await server.end() == cause

        served(scene)

    def test_stop_asks_first(self, served):
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

    def test_stop_kills_the_deaf_with_their_children(self, served):
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

    def test_children_left_behind_go_with_the_replica(self, served):
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

    def test_output_is_bounded(self, served):
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

    def test_close_leaves_nobody(self, served):
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

    def test_close_gives_their_grace_to_those_told_to_stop(self, served, tmp_path):
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

    def test_a_process_that_cannot_be_started_ends_with_the_reason(self, served, monkeypatch):
        """The end is told later, as for any other."""

        async def scene(server):
            cause = self.break_starts(monkeypatch)
            server.start()
            assert not server.ends[1].done()
            assert await server.end() == cause

        served(scene)

    def test_what_it_is_told_arrives(self, served):
        """Number and token, and the whole of a large manifest."""

        async def scene(server):
            server.manifest = msgspec.structs.replace(server.manifest, output_schema={"title": "x" * 2**20})
            server.start(7)
            link = await server.dialled_in()
            assert await link.receive() == Hello(PROTOCOL_VERSION, "7", 7, server.launcher.pid(7))
            assert type(await link.receive()) is Ready

        served(scene)

    def test_eight_at_once(self, served):
        """All of them serve, and each ends by itself, once."""

        async def scene(server):
            numbers = range(1, 9)
            for number in numbers:
                server.start(number)
            links = [await server.ready() for _ in numbers]
            assert len({server.launcher.pid(number) for number in numbers}) == 8
            for link in links:
                link.send(Drain())
            assert [await server.end(number) for number in numbers] == ["exit status 0"] * 8

        served(scene)

    def test_stopped_as_soon_as_it_is_started(self, served):
        """It ends, once, whether there was a process by then or not; others are not harmed."""

        async def scene(server):
            for number in (1, 2, 3):
                server.start(number)
            server.launcher.stop(1, grace_s=0)
            server.launcher.stop(3, grace_s=0)
            assert not server.ends[1].done()
            await server.end(1)
            await server.end(3)
            link = await server.ready()
            await link.do("print('alive')")
            await asyncio.wait_for(server.heard.wait(), PATIENCE_S)
            assert server.lines == [("talk", 2, "stdout", "alive")]

        served(scene)

    def test_memory_is_told_while_it_lives(self, served):
        """Some megabytes of a replica; of others nothing is known."""

        async def scene(server):
            server.start()
            link = await server.ready()
            assert 2**20 < await asyncio.to_thread(server.launcher.memory_bytes, 1) < 2**30
            assert server.launcher.memory_bytes(2) is None
            link.send(Drain())
            await server.end()
            assert server.launcher.memory_bytes(1) is None

        served(scene)

    def test_replicas_get_an_allowed_environment(self, served, monkeypatch):
        """Credentials stay here; what the spec says is there, and wins."""
        monkeypatch.setenv("MY_SECRET", "x")
        monkeypatch.setenv("SOJOURN_FN_A", "ours")

        async def scene(server):
            server.start(environment={"SOJOURN_FN_A": "theirs", "CUDA_VISIBLE_DEVICES": "1"})
            link = await server.ready()
            await link.do(
                "print([os.environ.get(name) for name in ('MY_SECRET', 'SOJOURN_FN_A', 'CUDA_VISIBLE_DEVICES')])"
            )
            link.send(Drain())
            await server.end()
            assert [text for *_, text in server.lines] == ["[None, 'theirs', '1']"]

        served(scene)

    def test_descriptors_are_given_back(self, served):
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

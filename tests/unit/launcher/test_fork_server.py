"""Fork servers: what they save, how their replicas differ from plain ones, and when they are not used."""

import os
import sys
from pathlib import Path

import pytest

from sojourn.wire.message import Drain

sys.path.insert(0, str(Path(__file__).parent))
from fork_scene import is_gone
from launcher_bench import PATIENCE_S


def command_of(pid):
    """The words that started a process."""
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def parent_of(pid):
    """Process id of the parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_the_import_is_paid_once(play):
    """The first replica waited for it and says so; the second one took no time for it. Each loads its own model."""

    async def scene(s):
        await s.open(at_import="import time; time.sleep(0.05)")
        _, first = await s.start(1)
        _, second = await s.start(2)
        assert first.import_s >= 0.05
        assert second.import_s == 0
        assert len(s.notes("import")) == 1
        assert [s.server.launcher.is_forked(number) for number in (1, 2, 3)] == [True, True, False]
        assert s.notes("load") == [s.server.launcher.pid(1), s.server.launcher.pid(2)]

    play(scene)


def test_forked_replicas_are_children_of_the_server(play):
    """With session, name and standard input of any replica."""

    async def scene(s):
        await s.open()
        link, _ = await s.start(1)
        pid = s.server.launcher.pid(1)
        assert parent_of(pid) == os.getpid()
        assert os.getsid(pid) == pid
        assert command_of(pid)[-2:] == ["-m", "sojourn.replica"]
        assert await s.ask(link, "sys.stdin.read()") == ""
        assert s.notes("import") != [pid]

    play(scene)


def test_a_shared_model_is_loaded_once(play):
    """And warmed up once; its memory is counted once over all who have it."""

    async def scene(s):
        await s.open(at_load="sys.model = bytes(range(256)) * 2**18", options='share="fork", examples=["1"]')
        first_link, first = await s.start(1)
        second_link, second = await s.start(2)
        assert first.load_s > 0
        assert first.warmup_s > 0
        assert (second.import_s, second.load_s, second.warmup_s) == (0, 0, 0)
        assert len(s.notes("load")) == 1
        assert await s.ask(first_link, "len(sys.model)") == await s.ask(second_link, "len(sys.model)") == str(2**26)
        sizes = [s.server.launcher.memory_bytes(number) for number in (1, 2)]
        assert max(sizes) < 0.75 * 2**26

    play(scene)


@pytest.mark.parametrize(
    ("at_import", "why"),
    [
        ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "1 thread running"),
        ("KEPT = open(__file__)", "talk.py"),
        ("KEPT = socket.socketpair()", "socket:"),
    ],
)
def test_what_cannot_be_forked_safely_is_not(play, at_import, why):
    """Threads, files and connections of the import: plain processes, and the reason once."""

    async def scene(s):
        await s.open(at_import)
        links = [(await s.start(number))[0] for number in (1, 2)]
        pids = [s.server.launcher.pid(number) for number in (1, 2)]
        assert s.notes("import")[1:] == pids  # the first was the fork server's
        assert [await s.ask(link, "1 + 1") for link in links] == ["2", "2"]
        (event,) = s.events("fork_server.refused")
        assert why in event["cause"]
        assert event["function"] == "talk"
        assert not s.events("fork_server.failed")

    play(scene)


def test_threads_of_a_shared_model_are_seen_too(play):
    """They start with the load, after an import that had none."""

    async def scene(s):
        start = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
        await s.open(at_load=start, options='share="fork"')
        await s.start(1)
        assert s.notes("load")[1:] == [s.server.launcher.pid(1)]
        assert "1 thread running" in s.events("fork_server.refused")[0]["cause"]

    play(scene)


def test_share_none_has_no_fork_server(play):
    """Nothing is started that is not wanted."""

    async def scene(s):
        await s.open(options='share="none"')
        await s.start(1)
        assert s.notes("import") == [s.server.launcher.pid(1)]

    play(scene)


def test_what_is_printed_at_import_is_printed_once(play):
    """Under number 0, also the line that was not finished; nothing of it comes out of a replica again."""

    async def scene(s):
        await s.open('print("noise " * 3); sys.stdout.write("unfinished")')
        for number in (1, 2):
            link, _ = await s.start(number)
            await s.ask(link, "print('mine')")
            link.send(Drain())
            await s.server.end(number)
        mine = [line for line in s.server.lines if line[1] != 0]
        assert mine == [("talk", 1, "stdout", "mine"), ("talk", 2, "stdout", "mine")]
        assert s.server.lines[0] == ("talk", 0, "stdout", "noise noise noise ")

    play(scene)


def test_a_fork_server_ends_when_nobody_used_it_for_long(play):
    """After the last replica of its revision; not while there is one."""

    async def scene(s):
        s.idle_s = 0.01
        s.server.launcher = s._make_launcher(s.server._hear)
        await s.open()
        first, _ = await s.start(1)
        second, _ = await s.start(2)
        pidfd = os.pidfd_open(s.notes("import")[0])
        first.send(Drain())
        await s.server.end(1)
        assert await s.ask(second, "1") == "1"
        await s.start(3)
        assert len(s.notes("import")) == 1
        for number in (2, 3):
            s.server.launcher.stop(number, PATIENCE_S)
        assert await is_gone(pidfd)
        await s.start(4)
        assert len(s.notes("import")) == 2

    play(scene)


def test_pools_have_one_thread_at_import_and_the_functions_number_after(play):
    """The variables, and the pools of libraries that were loaded before the fork."""
    pytest.importorskip("numpy")

    async def scene(s):
        at_import = 'import numpy; SEEN = os.getenv("OPENBLAS_NUM_THREADS")'
        await s.open(at_import, options="threads=2")
        link, _ = await s.start(1)
        assert s.notes("import") != [s.server.launcher.pid(1)]
        assert await s.ask(link, "SEEN + os.environ['OPENBLAS_NUM_THREADS']") == "12"
        multiply = "(numpy.ones((512, 512)) @ numpy.ones((512, 512))).sum(), len(os.listdir('/proc/self/task'))"
        assert (await s.ask(link, multiply)).endswith(", 2)")

    play(scene)


def test_replicas_draw_different_numbers(play):
    """Both of `random` and of numpy's global generator, which was seeded before the fork."""
    pytest.importorskip("numpy")

    async def scene(s):
        await s.open("import random, numpy; random.random(); numpy.random.rand()")
        links = [(await s.start(number))[0] for number in (1, 2)]
        for draw in ("random.random()", "numpy.random.rand()"):
            one, other = [await s.ask(link, draw) for link in links]
            assert one != other

    play(scene)

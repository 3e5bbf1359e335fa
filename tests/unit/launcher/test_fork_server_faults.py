"""Whatever happens to a fork server, replicas are had, and nothing is left of it."""

import ctypes
import os
import select
import signal
import socket
import sys
from pathlib import Path

from sojourn.wire.message import Drain, Fatal, Ready

sys.path.insert(0, str(Path(__file__).parent))
from fork_scene import HANG_ONCE, is_gone
from launcher_bench import PATIENCE_S

PR_GET_CHILD_SUBREAPER = 37


def test_replicas_outlive_their_fork_server(play):
    """SIGKILL: those that serve go on, the next start has a new one, and it is told."""

    async def scene(s):
        await s.open()
        link, _ = await s.start(1)
        (server,) = s.notes("import")
        pidfd = os.pidfd_open(server)
        os.kill(server, signal.SIGKILL)
        assert await is_gone(pidfd)
        assert await s.ask(link, "6 * 7") == "42"
        other, _ = await s.start(2)
        assert await s.ask(other, "6 * 7") == "42"
        assert len(s.notes("import")) == 2
        link.send(Drain())
        assert await s.server.end(1) == "exit status 0"
        assert s.events("fork_server.died")[0]["cause"] == "killed by SIGKILL"

    play(scene)


def test_a_fork_server_that_dies_while_it_imports(play):
    """Who waited for it gets a plain process."""

    async def scene(s):
        await s.open(HANG_ONCE)
        (s.folder / "hang").touch()
        s.server.start(1)
        function, number, stream, line = await s.heard("importing")
        assert (function, number, stream) == ("talk", 0, "stdout")
        os.kill(int(line.split()[1]), signal.SIGKILL)
        link = await s.server.ready()
        assert s.notes("import")[1:] == [s.server.launcher.pid(1)]
        assert await s.ask(link, "1") == "1"

    play(scene)


def test_one_that_dies_again_and_again_is_given_up(play):
    """After three deaths in a row the revision has plain processes."""

    async def scene(s):
        kill = 'if "fork_server" in open("/proc/self/cmdline").read(): os.kill(os.getpid(), 9)'
        await s.open(kill)
        for number in range(1, 6):
            await s.start(number)
        assert len(s.notes("import")) == 3 + 5
        assert len(s.events("fork_server.died")) == 2
        assert "it died 3 times" in s.events("fork_server.refused")[0]["cause"]

    play(scene)


def test_an_import_that_hangs_ends_with_who_waits_for_it(play):
    """A replica that is given up takes the import along; the next one has another try."""

    async def scene(s):
        await s.open(HANG_ONCE)
        (s.folder / "hang").touch()
        s.server.start(1)
        s.server.start(2)
        pidfd = os.pidfd_open(int((await s.heard("importing"))[3].split()[1]))
        s.server.launcher.stop(1, 0)
        assert await s.server.end(1) == "stopped before it was started"
        assert not select.select([pidfd], [], [], 0)[0]
        s.server.launcher.stop(2, 0)
        assert await s.server.end(2) == "stopped before it was started"
        assert await is_gone(pidfd)
        _, ready = await s.start(3)
        assert type(ready) is Ready
        assert s.events("fork_server.died") == []

    play(scene)


def test_a_failing_import_is_told_by_the_replica(play):
    """With its place and its traceback, as from a plain process; the next start tries the import again."""

    async def scene(s):
        missing = 'if os.path.exists(HERE + "/fail"): raise RuntimeError("no weights today")'
        await s.open(missing)
        (s.folder / "fail").touch()
        for number in (1, 2):
            _, fatal = await s.start(number)
            assert type(fatal) is Fatal
            assert fatal.cause.startswith("import raised RuntimeError: no weights today at talk.py:")
            assert 'raise RuntimeError("no weights today")' in fatal.traceback
            await s.server.hang_up()
            assert await s.server.end(number) == "exit status 1"
        (s.folder / "fail").unlink()
        _, ready = await s.start(3)
        assert type(ready) is Ready
        assert len(s.notes("import")) == 3

    play(scene)


def test_a_failing_load_of_a_shared_model_is_told_too(play):
    """By the replica that wanted it."""

    async def scene(s):
        fail = 'if os.path.exists(HERE + "/fail"): raise RuntimeError("no weights today")'
        await s.open(at_load=fail, options='share="fork"')
        (s.folder / "fail").touch()
        _, fatal = await s.start(1)
        assert fatal.cause.startswith("__init__ raised RuntimeError: no weights today at talk.py:")

    play(scene)


def test_without_adoption_replicas_are_plain(play, monkeypatch):
    """A kernel that does not make the forked process our child."""
    monkeypatch.setattr("sojourn.launcher.adoption._set_subreaper", lambda flag: None)

    async def scene(s):
        await s.open()
        link, _ = await s.start(1)
        assert await s.ask(link, "1") == "1"
        assert s.notes("import")[1:] == [s.server.launcher.pid(1)]
        assert "did not make it a child of the server" in s.events("fork_server.refused")[0]["cause"]

    play(scene)


def test_orphans_are_ours_before_a_fork_server_hears_of_a_fork(play, monkeypatch):
    """On a busy machine it has forked before we go on: what it then orphans must not be given to another process."""
    flags = []

    def is_subreaper():
        flag = ctypes.c_int(-1)
        assert ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(flag), 0, 0, 0) == 0
        return flag.value

    def send_fds(*arguments):
        flags.append(is_subreaper())
        return send(*arguments)

    send = socket.send_fds
    monkeypatch.setattr(socket, "send_fds", send_fds)

    async def scene(s):
        await s.open()
        await s.start(1)
        await s.start(2)
        assert flags == [1, 1]
        assert is_subreaper() == 0, "only while a fork is under way"

    play(scene)


def test_code_that_crashes_after_a_fork_is_not_forked_again(play):
    """As some libraries do that run no threads."""

    async def scene(s):
        crash = "if os.getpid() != BORN: os.abort()"
        await s.open(at_import="BORN = os.getpid()", at_load=crash)
        s.server.start(1)
        assert await s.server.end(1) == "killed by SIGABRT"
        await s.server.dialled_in()
        _, ready = await s.start(2)
        assert type(ready) is Ready
        assert "killed by SIGABRT soon after it was forked" in s.events("fork_server.refused")[0]["cause"]

    play(scene)


def test_closing_ends_an_import(play):
    """Nothing is left of it, and whoever waited is told."""

    async def scene(s):
        await s.open(HANG_ONCE)
        (s.folder / "hang").touch()
        s.server.start(1)
        pidfd = os.pidfd_open(int((await s.heard("importing"))[3].split()[1]))
        await s.server.launcher.close()
        assert await s.server.end(1) == "stopped before it was started"
        assert await is_gone(pidfd)

    play(scene)


def test_stopped_between_the_wish_and_the_birth(play):
    """The fork server was asked already: what it forks is killed before it loads anything."""

    async def scene(s):
        await s.open()
        await s.start(1)
        s.server.start(2)
        s.server.launcher.stop(2, PATIENCE_S)
        assert await s.server.end(2) == "killed by SIGKILL"
        assert len(s.notes("load")) == 1

    play(scene)


def test_a_fork_server_that_hangs_is_killed_with_the_last_wish(play, monkeypatch):
    """A replica that is not wanted any more does not wait for its birth for ever."""
    monkeypatch.setattr("sojourn.launcher.local_replica._BIRTH_WITHIN_S", 0.01)

    async def scene(s):
        await s.open()
        await s.start(1)
        (server,) = s.notes("import")
        pidfd = os.pidfd_open(server)
        os.kill(server, signal.SIGSTOP)
        s.server.start(2)
        s.server.launcher.stop(2, 0)
        assert await s.server.end(2) == "stopped before it was started"
        assert await is_gone(pidfd)

    play(scene)


def test_a_fork_server_that_dies_with_a_wish_in_hand(play):
    """That replica is a plain process, and the log says why."""

    async def scene(s):
        await s.open()
        await s.start(1)
        (server,) = s.notes("import")
        os.kill(server, signal.SIGSTOP)
        s.server.start(2)
        os.kill(server, signal.SIGKILL)
        link = await s.server.ready()
        assert await s.ask(link, "1") == "1"
        assert s.notes("import")[1:] == [s.server.launcher.pid(2)]
        assert s.events("fork_server.failed")[0]["cause"] == "the fork server ended"

    play(scene)


def test_killed_among_eight_starts(play):
    """Whatever it had in hand then, all replicas are had, and none of what it forked stays behind unreaped."""
    before = children_of(os.getpid())

    async def scene(s):
        await s.open()
        for number in range(1, 9):
            s.server.start(number)
        links = [await s.server.ready()]
        os.kill(s.notes("import")[0], signal.SIGKILL)
        links += [await s.server.ready() for _ in range(7)]
        assert [await s.ask(link, "1") for link in links] == ["1"] * 8

    play(scene)
    assert children_of(os.getpid()) == before


def children_of(pid):
    """Process ids of the children of a process, the unreaped ones too."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

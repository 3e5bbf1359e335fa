"""What the author's code started ends with the server and with its replica, however these ended."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sojourn.launcher.session_guard import SessionGuard

PATIENCE_S = 30.0
FAMILY = """
    import os, subprocess, time, sojourn

    @sojourn.function(max_batch_size=2)
    class Family:
        def __init__(self):
            slept = subprocess.Popen(["sleep", "97"])
            forked = os.fork()
            if forked == 0:
                time.sleep(97)
                os._exit(0)
            with open(os.environ["SOJOURN_FN_OUT"], "w") as out:
                print(os.getpid(), slept.pid, forked, file=out)

        def __call__(self, items: list[int]) -> list[int]:
            return items
"""
CLOSING = """
    import os, time, sojourn

    def closed(name):
        time.sleep(0.3)
        with open(os.environ["SOJOURN_FN_OUT"] + name, "w") as out:
            out.write("closed")

    @sojourn.function
    class Plain:
        def __call__(self, items: list[int]) -> list[int]:
            return items

        def close(self):
            closed("plain")

    @sojourn.function
    class Concurrent:
        async def __call__(self, items: list[int]) -> list[int]:
            return items

        async def close(self):
            closed("concurrent")
"""


SLOW_IMPORT = """
    import sojourn, sys, time

    if b"fork_server" in open("/proc/self/cmdline", "rb").read():
        open({fifo!r}, "w").close()
        time.sleep(97)

    @sojourn.function
    def late(items: list[int]) -> list[int]:
        return items
"""


class Server:
    """`sojourn serve` of a source, ready unless it is said not to be."""

    def __init__(self, folder, source, *, is_ready=True):
        self.out = folder / "out"
        app = folder / "app.py"
        app.write_text(textwrap.dedent(source))
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("sojourn")), "serve", str(app), "--port", "0", "--admin-port", "0"],
            env=os.environ | {"XDG_STATE_HOME": str(folder / "state"), "SOJOURN_FN_OUT": str(self.out)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )
        if is_ready:
            assert self.process.stdout.readline().startswith(b"ready ")

    def family(self):
        """(pid, pidfd) of the replica, then of its two children."""
        return [(int(pid), os.pidfd_open(int(pid))) for pid in self.out.read_text().split()]

    def close(self):
        """End it, whatever it is doing."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


@pytest.fixture
def serve(tmp_path):
    """Starts one server."""
    with contextlib.ExitStack() as stack:

        def start(source, **more):
            server = Server(tmp_path, source, **more)
            stack.callback(server.close)
            return server

        yield start


def vanished(family):
    """Whether all of them end in bounded time; those that do not are killed here."""
    gone = []
    for _, pidfd in family:
        gone.append(bool(select.select([pidfd], [], [], 5.0)[0]))
        if not gone[-1]:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
    return all(gone)


@pytest.mark.parametrize("victim", ["server", "replica"])
def test_children_of_the_authors_code_do_not_outlive_a_kill(serve, victim):
    """SIGKILL of the server, which then can do nothing, or of the replica alone: forks and commands end too."""
    server = serve(FAMILY)
    family = server.family()
    if victim == "server":
        server.process.kill()
    else:
        os.kill(family[0][0], signal.SIGKILL)
    assert vanished(family)


def test_the_guard_ends_with_its_server(serve):
    """Nobody is left after SIGKILL, the guard neither; it holds little memory of its own."""
    server = serve(FAMILY)
    family = server.family()
    guard = guard_of(server.process.pid)
    rollup = Path(f"/proc/{guard}/smaps_rollup").read_text()
    private_kib = sum(int(size) for size in re.findall(r"Private_\w+: +(\d+) kB", rollup))
    pidfd = os.pidfd_open(guard)
    server.process.kill()
    assert vanished([*family, (guard, pidfd)])
    assert private_kib < 1024


@pytest.mark.parametrize("stage", ["importing", "forked"])
def test_fork_servers_end_with_their_server(serve, stage, tmp_path):
    """SIGKILL of the server while one imports, and when its replicas serve: none of them is left."""
    if stage == "forked":
        server = serve(FAMILY)
        victims = children_of(server.process.pid)
        assert sum(b"fork_server" in command_of(pid) for pid in victims) == 1
    else:
        fifo = tmp_path / "importing"
        os.mkfifo(fifo)
        server = serve(SLOW_IMPORT.format(fifo=str(fifo)), is_ready=False)
        with fifo.open() as told:
            told.read()
        victims = [pid for pid in children_of(server.process.pid) if b"fork_server" in command_of(pid)]
        assert len(victims) == 1
    victims = [(int(pid), os.pidfd_open(int(pid))) for pid in victims]
    server.process.kill()
    assert vanished(victims)


def test_the_authors_close_runs_at_shutdown(serve):
    """SIGTERM lets `close` take its time, in a plain and in an `async` function."""
    server = serve(CLOSING)
    server.process.terminate()
    assert server.process.wait(PATIENCE_S) == 0
    for name in ("plain", "concurrent"):
        assert Path(f"{server.out}{name}").read_text() == "closed"


def test_groups_that_are_gone_are_forgotten():
    """The number of a forgotten group may be somebody else's by now: only what is still watched is killed."""
    groups = [subprocess.Popen(["sleep", "97"], start_new_session=True) for _ in range(3)]
    try:
        guard = SessionGuard()
        for group in groups:
            guard.watch(group.pid)
        guard.forget(groups[1].pid)
        guard.forget(groups[0].pid + 10_000_000)
        guard.close()
        assert groups[0].wait(PATIENCE_S) == groups[2].wait(PATIENCE_S) == -signal.SIGKILL
        assert groups[1].poll() is None
    finally:
        for group in groups:
            group.kill()
            group.wait()


def test_a_guard_that_was_killed_or_cannot_start_harms_nobody(monkeypatch):
    """Watching, forgetting and closing go on without it."""
    before = set(children_of(os.getpid()))
    guard = SessionGuard()
    guard.watch(2**22 + 1)
    (pid,) = [int(pid) for pid in set(children_of(os.getpid())) - before]
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    guard.watch(2**22 + 2)
    guard.forget(2**22 + 1)
    guard.close()
    monkeypatch.setattr("sojourn.launcher.session_guard._SHELL", "/nowhere/sh")
    guard.watch(2**22 + 1)
    guard.forget(2**22 + 1)
    guard.close()


def guard_of(server_pid):
    """Process id of a server's guard."""
    (guard,) = [
        int(pid) for pid in children_of(server_pid) if b"trap '' HUP" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return guard


def command_of(pid):
    """Command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def children_of(pid):
    """Process ids of the children of a process, as text."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

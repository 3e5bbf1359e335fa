"""Replicas as processes of this machine: started, heard, ended with all they started, in each way of starting them."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from sojourn.launcher.local import LocalLauncher
from sojourn.launcher.process import allowed_environment
from sojourn.wire.message import Drain

sys.path.insert(0, str(Path(__file__).parent))
from launcher_bench import PATIENCE_S, open_descriptors
from launcher_contract import LauncherContract


class Local(LauncherContract):
    def make_launcher(self, on_output):
        return LocalLauncher(on_output)

    def break_starts(self, monkeypatch):
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        return "could not be started: No such file or directory"


class TestForked(Local):
    """The default: replicas of a revision are forked from a process that has imported the code."""


class TestShared(Local):
    """The model is loaded before the fork, too."""

    options = 'share="fork"'


class TestPlain(Local):
    """Each replica is a process of its own from the beginning."""

    options = 'share="none"'

    def test_a_daemon_that_left_the_session_holds_nothing_here(self, served):
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

    def test_stopping_while_it_loads(self, served):
        """A replica that is still importing can be stopped."""

        async def scene(server):
            server.start()
            os.kill(server.launcher.pid(1), signal.SIGSTOP)
            server.launcher.stop(1, grace_s=0)
            # Until it has said what SIGTERM means to it, that alone ends it.
            assert await server.end() in {"killed by SIGTERM", "killed by SIGKILL"}
            assert server.launcher.pid(1) is None

        served(scene)


def test_the_allow_list():
    """What passes and what does not; of an allowed prefix not what looks like a secret, unless it is meant for functions."""
    passes = {"PATH": "p", "LC_ALL": "C", "SOJOURN_FN_TOKEN": "1", "HF_HOME": "h"}
    stays = {"SOJOURN_KEY": "no", "AWS_SECRET_ACCESS_KEY": "no", "HF_TOKEN": "no", "NVIDIA_API_KEY": "no"}
    assert allowed_environment(passes | stays) == passes

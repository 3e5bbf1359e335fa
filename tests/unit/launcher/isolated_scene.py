"""A scene whose replicas are isolated as a server's are: with a state directory, and a place of their own."""

import asyncio
import json
import sys
from pathlib import Path

from msgspec import structs

from sojourn.launcher.isolation import Isolation, IsolationSettings
from sojourn.launcher.local import LocalLauncher
from sojourn.launcher.scratch import ScratchSpace
from sojourn.telemetry.log import EventLog
from sojourn.wire.message import Fatal, Hello, Run

sys.path.insert(0, str(Path(__file__).parent))
from fork_scene import Scene
from launcher_bench import PATIENCE_S


class IsolatedScene(Scene):
    """`state` is the state directory; settings are those of `IsolationSettings`."""

    def __init__(self, folder, settings):
        self.state = folder / "state"
        self._settings = settings
        super().__init__(folder)

    def _make_launcher(self, on_output):
        (self.state / "run").mkdir(parents=True, mode=0o700, exist_ok=True)
        self.scratch = ScratchSpace(self.state / "run")
        self.isolation = Isolation(IsolationSettings(**self._settings), self.state, self.scratch)
        log = EventLog(self._log_fd, "json")
        return LocalLauncher(on_output, log, fork_server_idle_s=self.idle_s, isolation=self.isolation)

    async def open(self, at_import="", at_load="", options=""):
        """Describe the source, without its notes: where they lie may be closed to it."""
        await super().open(at_import, at_load, options)
        source = self.folder / "talk.py"
        source.write_text(source.read_text().replace('note("import")', "").replace('note("load")', "pass"))

    def deploy(self):
        """From now on what is started runs from a bundle in the state directory; a second bundle lies beside it."""
        for name in ("mine", "theirs"):
            tree = self.state / "bundles" / name
            (tree / "data").mkdir(parents=True)
            (tree / "talk.py").write_text((self.folder / "talk.py").read_text())
            (tree / "data" / "words.txt").write_text(name)
        (self.state / "state.db").write_text("secret")
        self.tree = self.state / "bundles" / "mine"
        self.theirs = self.state / "bundles" / "theirs" / "talk.py"
        self.server.manifest = structs.replace(self.server.manifest, target="talk.py", root=str(self.tree))

    async def tried(self, link, code):
        """The name of the error that a line raises in a replica; its value as text if it raises none."""
        return await self.ask(link, f"attempt(lambda: {code})")

    async def fault(self, link, code):
        """What a caller is told whose item fails."""
        link.send(Run(1, [json.dumps(code).encode()]))
        (fault,) = (await link.receive()).faults
        return fault.message

    async def fatal(self, number):
        """Why a replica cannot serve."""
        self.server.start(number)
        link = await self.server.dialled_in()
        assert type(await link.receive()) is Hello
        told = await link.receive()
        assert type(told) is Fatal, told
        await self.server.hang_up()
        return told.cause


ATTEMPT = """
import resource, subprocess, tempfile
def attempt(what):
    try:
        return what()
    except Exception as error:
        return type(error).__name__
"""


def player(tmp_path, share):
    """Plays `async def scene(s)` with an `IsolatedScene` whose function has this `share`."""

    def run(scene, options="", at_load="", *, deployed=True, **settings):
        async def main():
            one = IsolatedScene(tmp_path, settings)
            try:
                await one.open(ATTEMPT, at_load, ", ".join(filter(None, (share, options))))
                if deployed:
                    one.deploy()
                await scene(one)
            finally:
                print(*one.server.lines, *one.logged(), sep="\n")  # noqa: T201 - shown if the scene fails
                await one.close()

        asyncio.run(asyncio.wait_for(main(), 3 * PATIENCE_S))

    return run

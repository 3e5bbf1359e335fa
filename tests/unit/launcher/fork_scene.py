"""A launcher with fork servers, a function that leaves notes of what it does where, and the log."""

import asyncio
import json
import os
import select
import sys
import textwrap
from pathlib import Path

from sojourn.launcher.local import LocalLauncher
from sojourn.telemetry.log import EventLog
from sojourn.wire.message import Hello, Run

sys.path.insert(0, str(Path(__file__).parent))
from launcher_bench import PATIENCE_S, Server

# Each source of a function; `note` keeps a trace of what was done in which process.
SOURCE = """
    import os, socket, sys, threading, sojourn

    HERE = os.path.dirname(os.path.abspath(__file__))

    def note(what):
        with open(HERE + "/notes", "a") as notes:
            print(what, os.getpid(), file=notes)

    def take(what):
        try:
            os.unlink(HERE + "/" + what)
        except FileNotFoundError:
            return False
        return True

    note("import")
    {at_import}

    @sojourn.function({options})
    class Talk:
        def __init__(self):
            note("load")
            {at_load}

        def __call__(self, items: list[str]) -> list[str]:
            return [str(eval(item)) for item in items]
"""


HANG_ONCE = 'if take("hang"): print("importing", os.getpid()); threading.Event().wait()'


class Scene:
    """A server with a launcher, the source it serves, and what was noted and logged."""

    def __init__(self, folder):
        self.folder = folder
        self._log_fd = os.memfd_create("log")
        self.idle_s = 300.0
        self.server = Server(folder, self._make_launcher)

    def _make_launcher(self, on_output):
        return LocalLauncher(on_output, EventLog(self._log_fd, "json"), fork_server_idle_s=self.idle_s)

    async def open(self, at_import="", at_load="", options=""):
        """Describe the source; what that process noted is forgotten."""
        source = textwrap.dedent(SOURCE)
        for name, text in (("at_import", at_import), ("at_load", at_load or "pass"), ("options", options)):
            margin = {"at_load": " " * 8}.get(name, "")
            source = source.replace("{" + name + "}", textwrap.indent(textwrap.dedent(text), margin).strip())
        await self.server.open(source)
        for file in self.folder.iterdir():
            if file.suffix != ".py" and file.is_file():
                file.unlink()

    def notes(self, what):
        """Process ids of all that noted this."""
        path = self.folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[1]) for line in lines if line.split()[0] == what]

    def events(self, name):
        """What the log says under this name."""
        return [event for event in map(json.loads, self.logged()) if event["event"] == name]

    def logged(self):
        """All lines of the log."""
        return os.pread(self._log_fd, 2**20, 0).decode().splitlines()

    async def start(self, number):
        """A replica that is ready: its link and its `Ready`."""
        self.server.start(number)
        link = await self.server.dialled_in()
        assert type(await link.receive()) is Hello
        return link, await link.receive()

    async def ask(self, link, code):
        """The value of an expression in a replica."""
        link.send(Run(1, [json.dumps(code).encode()]))
        done = await link.receive()
        assert not done.faults, done
        return json.loads(done.bodies[0])

    async def heard(self, word):
        """The line that begins with a word, once it is there."""
        while True:
            for line in self.server.lines:
                if line[3].startswith(word):
                    return line
            self.server.heard.clear()
            await asyncio.wait_for(self.server.heard.wait(), PATIENCE_S)

    async def close(self):
        """End everything."""
        await self.server.close()
        os.close(self._log_fd)


async def is_gone(pidfd):
    """Whether a process ends in bounded time."""
    gone = await asyncio.to_thread(select.select, [pidfd], [], [], PATIENCE_S)
    os.close(pidfd)
    return bool(gone[0])

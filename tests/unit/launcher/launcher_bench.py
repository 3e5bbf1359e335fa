"""The server's side of replicas that a launcher starts: where they dial in, and what came of each."""

import asyncio
import tempfile
import textwrap
from pathlib import Path

from sojourn.launcher.describe import describe
from sojourn.wire.frame import FrameReader, encode
from sojourn.wire.message import Ready, Run
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


def open_descriptors():
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Server:
    """The server's side: a launcher, a listener, and what came of each replica."""

    def __init__(self, folder, make_launcher):
        self.folder = folder
        self.lines = []
        self.ends = {}
        self.heard = asyncio.Event()
        self.launcher = make_launcher(self._hear)
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
        self._listener = await asyncio.start_unix_server(self._take_in, self._path)

    def _take_in(self, reader, writer):
        self._writers.append(writer)
        self._links.put_nowait(Link(reader, writer))

    def start(self, replica_id=1, **more):
        """Start a replica; the cause of its end will be the result of `ends[replica_id]`."""
        spec = ReplicaSpec(
            replica_id=replica_id, socket_path=self._path, token=str(replica_id), manifest=self.manifest, **more
        )
        self.ends[replica_id] = asyncio.get_running_loop().create_future()
        self.launcher.start(spec, lambda number, cause: self.ends[number].set_result(cause))

    async def dialled_in(self):
        """The link of the next replica."""
        return await asyncio.wait_for(self._links.get(), PATIENCE_S)

    async def ready(self):
        """The link of the next replica, once it is ready."""
        link = await self.dialled_in()
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

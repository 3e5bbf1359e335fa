"""A server put together in this process, so that a test can launch, split and retire revisions, with clients that never rest."""

from __future__ import annotations

import asyncio
import json
import os
import textwrap
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Self

from server import children_of, command_of

from sojourn.domain.resources import Resources
from sojourn.gateway.limits import Limits
from sojourn.gateway.routes import Routes
from sojourn.gateway.server import Gateway
from sojourn.launcher.describe import describe
from sojourn.launcher.local import LocalLauncher
from sojourn.runtime.insight import Insight
from sojourn.runtime.output import ReplicaOutput
from sojourn.runtime.platform import Platform
from sojourn.runtime.slo_watch import SLOWatch
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.history import FILE_NAME, open_history
from sojourn.telemetry.log import EventLog

PATIENCE_S = 60.0
WALL_S = 1_795_500_000.0
SOURCE = """
    import os, time, sojourn

    @sojourn.function(name="model", slo="99% < 20s", {options})
    class Model:
        def __init__(self):
            {at_load}

        def __call__(self, seconds: list[float]) -> list[str]:
            time.sleep(max(seconds))
            return ["{version} %d" % os.getpid() for _ in seconds]
"""


class Site:
    """Platform, gateway, history and launcher of one server; `async with` it."""

    def __init__(self, directory: Path, cpus: float = 8.0) -> None:
        self.directory = directory
        self._cpus = cpus

    async def __aenter__(self) -> Self:
        log = EventLog(fd=os.open(os.devnull, os.O_WRONLY))
        self.events = PlatformEvents(log)
        self.output = ReplicaOutput(log)
        self.launcher = LocalLauncher(self.output.record, log)
        history, why_not = open_history(self.directory / FILE_NAME, WALL_S)
        assert not why_not
        offset_s = WALL_S - monotonic()
        run_dir = self.directory / "run"
        run_dir.mkdir(mode=0o700)
        self.platform = Platform(
            self.launcher, run_dir, self.events, self.output, None, Resources(self._cpus, 0.0, 2**40), offset_s=offset_s
        )
        self.watch = SLOWatch(self.platform, self.events, offset_s, history)
        self.insight = Insight(self.watch, self.platform.traces, self.events.ring)
        self.routes = Routes()
        self.gateway = Gateway(self.routes, Limits(), self.platform.is_ready)
        await self.platform.start()
        await self.watch.load()
        self.watch.start()
        self.host, self.port = await self.gateway.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.gateway.close()
        await self.platform.close()
        await self.watch.close()

    async def describe(self, version: str, options: str = "cpus=0.5", at_load: str = "pass"):
        """A revision of the function `model`, whose answers begin with its version."""
        path = self.directory / f"model_{version}.py"
        source = textwrap.dedent(SOURCE)
        for name, text in (("version", version), ("options", options), ("at_load", at_load)):
            source = source.replace("{" + name + "}", text)
        path.write_text(source)
        (manifest,) = await describe(str(path))
        return manifest

    async def deploy(self, version: str, options: str = "cpus=0.5"):
        """The first revision of the function, warm and routed to; its service."""
        self.platform.deploy([await self.describe(version, options)])
        service = self.platform.services["model"]
        assert await self.platform.warm("model", service.revision) == ""
        self.routes.add(service)
        return service

    async def launch(self, version: str, options: str = "cpus=0.5", at_load: str = "pass"):
        """A further revision, pinned; its service."""
        service = self.platform.launch(await self.describe(version, options, at_load))
        self.routes.pin(service)
        return service

    def pids(self, service) -> list[int]:
        """Processes of a revision's replicas."""
        numbers = [member.replica_id for member in self.platform.controller.members(service.key)]
        return [pid for number in numbers if (pid := self.launcher.pid(number)) is not None]

    def processes(self) -> list[bytes]:
        """What runs below this process for any revision, replicas and fork servers."""
        commands = [command_of(pid) for pid in children_of(os.getpid())]
        return [command for command in commands if b"sojourn.replica" in command]

    async def call(self, path: str = "model", seconds: float = 0.0) -> tuple[int, str]:
        """One request on a connection of its own: status and answer."""
        client = await Client.connect(self)
        try:
            return await client.call(path, seconds)
        finally:
            client.close()


class Client:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, site: Site) -> Client:
        return cls(*await asyncio.open_connection(site.host, site.port))

    async def call(self, path: str, seconds: float) -> tuple[int, str]:
        """Send a request, whole, and read its answer."""
        body = json.dumps(seconds).encode()
        self.send(self.head(path, len(body)) + body)
        return await self.answer()

    @staticmethod
    def head(path: str, length: int) -> bytes:
        """The head of a request with a body of this length."""
        lines = f"POST /functions/{path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        return f"{lines}content-length: {length}\r\n\r\n".encode()

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self) -> tuple[int, str]:
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].split("\r\n")[0])
            body = (await self._reader.readexactly(length)).decode()
        return int(head.split()[1]), json.loads(body) if head.split()[1] == "200" else body

    def close(self) -> None:
        self._writer.close()


class Load:
    """Clients that call a function one request after the other until they are told to stop; `async with` it.

    Attributes:
        served: Answers by version.
        failed: Whatever else came back.
    """

    def __init__(self, site: Site, clients: int = 8, path: str = "model", seconds: float = 0.002) -> None:
        self._site, self._clients, self._path, self._seconds = site, clients, path, seconds
        self.served: Counter[str] = Counter()
        self.failed: list[tuple[int, str]] = []
        self._is_over = False
        self._changed = asyncio.Event()

    @property
    def sent(self) -> int:
        """Requests that were answered."""
        return self.served.total() + len(self.failed)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        client = await Client.connect(self._site)
        while not self._is_over:
            status, answer = await client.call(self._path, self._seconds)
            if status == 200:
                self.served[answer.split()[0]] += 1
            else:
                self.failed.append((status, answer))
            self._changed.set()
        client.close()

    async def more(self, count: int) -> None:
        """Wait until so many more requests have been answered."""
        wanted = self.sent + count
        async with asyncio.timeout(PATIENCE_S):
            while self.sent < wanted:
                self._changed.clear()
                await self._changed.wait()

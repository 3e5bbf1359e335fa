"""A private bench: replicas of one function under a launcher and a listener of their own, batch by batch.

They are started and spoken to just as a server does it, so what is measured here is what happens there; only that
nobody else's requests come between.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections import deque
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

from sojourn.calibrate.items import Items
from sojourn.calibrate.sample import BatchSample, Cell
from sojourn.config.profile import StartPhases
from sojourn.domain.function import FunctionManifest
from sojourn.domain.wording import counted
from sojourn.errors import MeasurementError
from sojourn.launcher.local import LocalLauncher
from sojourn.replica.model import LOGS_HINT
from sojourn.runtime.replica_link import ReplicaLink, ReplicaListener
from sojourn.telemetry.log import EventLog, escaped
from sojourn.wire.message import Done, Drain, Fatal, Message, Ready
from sojourn.wire.spec import ReplicaSpec

_LINES_KEPT: Final = 20
_GRACE_S: Final = 5.0
_FREE_OF_LAUNCHER_S: Final = 3600.0  # its fork servers stay as long as the bench does


class BenchReplica:
    """One replica on the bench; made by `ReplicaBench.start`.

    Args:
        replica_id: Its number.
        function: What it is a replica of.
        asked_at_s: When it was asked for, in monotonic seconds.
    """

    def __init__(self, replica_id: int, function: str, asked_at_s: float) -> None:
        self.replica_id = replica_id
        self.token = secrets.token_urlsafe(32)
        self.is_forked = False
        self.phases = StartPhases(spawn_s=0.0)  # known once it is ready
        self.link: ReplicaLink | None = None
        self.cause = ""  # of its end, as it told it itself
        self.lines: deque[str] = deque(maxlen=_LINES_KEPT)
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._function = function
        self._asked_at_s = asked_at_s
        self._waiting: dict[int, asyncio.Future[tuple[Done, float]]] = {}
        self._batches = 0

    async def run(self, cell: Cell, items: Items, within_s: float) -> list[BatchSample]:
        """Run as many batches at once as the cell says, each of its size; what was measured of each.

        Args:
            cell: Size and concurrency.
            items: Where the items are from.
            within_s: How long that may take, in seconds.

        Raises:
            MeasurementError: An item failed, the replica ended, or it took too long.
        """
        try:
            async with asyncio.timeout(within_s):
                batches = [self._run_one(cell, items.take(cell.size), items) for _ in range(cell.concurrency)]
                return list(await asyncio.gather(*batches))
        except TimeoutError:
            many = counted(cell.size, "item") + (f", {cell.concurrency} times at once," if cell.concurrency > 1 else "")
            raise MeasurementError(
                f"function {self._function!r}: a batch of {many} took longer than {within_s:g} s and was given up; "
                "a larger --budget allows more"
            ) from None

    async def _run_one(self, cell: Cell, taken: list[tuple[int, bytes]], items: Items) -> BatchSample:
        self._batches += 1
        number = self._batches
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self.link is not None, "started replicas have a link"
        bodies = [body for _, body in taken]
        dispatched_at_s = monotonic()
        self.link.run(number, bodies, b"")
        try:
            done, back_at_s = await answer
        finally:
            self._waiting.pop(number, None)
        if done.faults:
            fault = done.faults[0]
            hint = LOGS_HINT.format(name=self._function)
            raise MeasurementError(f"{items.name(taken[fault.position][0])} failed: {fault.message.removesuffix(hint)}")
        return BatchSample(
            cell,
            dispatched_at_s,
            max(done.received_at_s - dispatched_at_s, 0.0) + max(back_at_s - done.encoded_at_s, 0.0),
            done.decoded_at_s - done.received_at_s,
            max(done.called_at_s - done.decoded_at_s, 1e-9),
            done.encoded_at_s - done.called_at_s,
        )

    @property
    def last_words(self) -> str:
        """The last lines it printed, to be put behind a message; empty if there are none."""
        text = "\n".join(f"    {escaped(line)}" for line in self.lines if line.strip())
        return f"; its last output:\n{text}" if text else ""

    def heard(self, message: Message, now_s: float) -> None:
        """It said something."""
        if type(message) is Done:
            answer = self._waiting.get(message.batch_id)
            if answer is not None and not answer.done():
                answer.set_result((message, now_s))
        elif type(message) is Ready:
            rest_s = message.import_s + message.load_s + message.warmup_s
            self.phases = StartPhases(
                spawn_s=max(now_s - self._asked_at_s - rest_s, 0.0),
                import_s=message.import_s,
                load_s=message.load_s,
                warmup_s=message.warmup_s,
            )
            if not self.ready.done():
                self.ready.set_result(None)
        elif type(message) is Fatal:
            self.cause = message.cause
            self.lines.extend(message.traceback.splitlines())

    def gone(self, cause: str) -> None:
        """Its process ended: whoever waits for it waits in vain."""
        self.ended.set_result(cause)
        what = f" cannot start: {self.cause}" if self.cause else f": its replica ended: {cause}"
        why = MeasurementError(f"function {self._function!r}{what}")
        futures: list[asyncio.Future[Any]] = [self.ready, *self._waiting.values()]
        for waiting in futures:
            if not waiting.done():
                waiting.set_exception(why)
                waiting.exception()  # it may be that nobody waits: then there is nothing to tell


class ReplicaBench:
    """`async with ReplicaBench(...) as bench:`; all its processes have ended when it is left.

    Args:
        event_log: Told why a function cannot be forked; None for nobody.
    """

    def __init__(self, event_log: EventLog | None = None) -> None:
        self._event_log = event_log
        self._replicas: dict[int, BenchReplica] = {}
        self._count = 0

    async def __aenter__(self) -> Self:
        """Listen for replicas.

        Raises:
            MeasurementError: The socket cannot be bound.
        """
        self._launcher = LocalLauncher(self._printed, self._event_log, _FREE_OF_LAUNCHER_S)
        self._folder = tempfile.TemporaryDirectory(prefix="sojourn-")
        self._listener = ReplicaListener(self, str(Path(self._folder.name) / "replicas.sock"))
        try:
            await self._listener.start()
        except OSError as err:
            await self._close()
            raise MeasurementError(
                f"no socket for replicas can be made in the directory of temporary files: {err}"
            ) from err
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all replicas and what they were forked from."""
        await self._close()

    async def _close(self) -> None:
        await self._launcher.close()
        await self._listener.close()
        self._folder.cleanup()

    async def start(self, manifest: FunctionManifest) -> BenchReplica:
        """Start a replica and wait until it is ready, at most the function's `start_timeout_s`.

        Raises:
            MeasurementError: It could not be started; the message says why.
        """
        self._count += 1
        within_s = manifest.settings.start_timeout_s
        replica = self._replicas[self._count] = BenchReplica(self._count, manifest.name, monotonic())
        spec = ReplicaSpec(
            replica_id=replica.replica_id,
            socket_path=self._listener.path,
            token=replica.token,
            manifest=manifest,
        )
        self._launcher.start(spec, self._exited)
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(replica.ready)
        except TimeoutError:
            late = f"function {manifest.name!r}: its replica was not ready within start_timeout_s = {within_s:g} s"
            raise await self.told(replica, MeasurementError(late)) from None
        except MeasurementError as error:
            raise await self.told(replica, error) from error
        replica.is_forked = self._launcher.is_forked(replica.replica_id)
        return replica

    async def stop(self, replica: BenchReplica) -> None:
        """Let it end in good order, within a few seconds; all it printed is known then."""
        if replica.link is not None:
            replica.link.send(Drain())
        self._launcher.stop(replica.replica_id, _GRACE_S)
        await asyncio.shield(replica.ended)

    async def told(self, replica: BenchReplica, error: MeasurementError) -> MeasurementError:
        """The error of a replica with its last words, all of which are known once it has ended."""
        await self.stop(replica)
        return MeasurementError(f"{error}{replica.last_words}")

    async def memory_bytes(self, replica: BenchReplica) -> int | None:
        """Memory it takes (PSS), in bytes; None if unknown."""
        return await asyncio.to_thread(self._launcher.memory_bytes, replica.replica_id)

    # The listener's side (LinkOwner).

    def token_of(self, replica_id: int) -> str | None:
        """The one-time token of a replica that may dial in now."""
        replica = self._replicas.get(replica_id)
        return replica.token if replica is not None and replica.link is None else None

    def link_opened(self, link: ReplicaLink) -> None:
        """A replica dialled in."""
        self._replicas[link.replica_id].link = link

    def link_message(self, link: ReplicaLink, message: Message) -> None:
        """A replica said something."""
        now_s = monotonic()
        replica = self._replicas.get(link.replica_id)
        if replica is not None:
            replica.heard(message, now_s)
            if type(message) is Fatal:
                link.drop("it cannot serve")  # it waits for that before it exits

    def link_closed(self, link: ReplicaLink, cause: str) -> None:  # noqa: ARG002 - the protocol's signature
        """A replica's connection is gone; unless it is ending by itself it is of no use any more."""
        if link.replica_id in self._replicas:
            self._launcher.stop(link.replica_id, _GRACE_S)

    # The launcher's side.

    def _printed(self, function: str, replica_id: int, stream: str, line: str) -> None:  # noqa: ARG002 - as above
        for replica in self._replicas.values() if not replica_id else [self._replicas.get(replica_id)]:
            if replica is not None:  # what a fork server prints is of interest to all that wait for it
                replica.lines.append(line)

    def _exited(self, replica_id: int, cause: str) -> None:
        replica = self._replicas.pop(replica_id, None)
        if replica is not None:
            if replica.link is not None:
                replica.link.drop("its process exited")
            replica.gone(cause)

"""The loop of an `async` function's replica: several batches at once, each answered when it is done."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any, NoReturn

from sojourn.errors import ProtocolError
from sojourn.replica.answer import answer
from sojourn.replica.load import Loading
from sojourn.replica.log import print_author_traceback
from sojourn.replica.model import Model, nobody_waits
from sojourn.replica.process import Terminated, leave
from sojourn.wire.frame import FrameReader, encode
from sojourn.wire.message import Cancel, Done, Drain, Message, Ping, Ready, Run


async def serve_concurrent(link: socket.socket, loading: Loading, subject: Any, max_frame_bytes: int) -> NoReturn:
    """Load the model inside the loop, then answer batches until told to drain or the server is gone; ends the process.

    Raises:
        LoadFailedError: The model cannot serve.
        ProtocolError: The server sent what a replica does not understand.
    """
    model = loading.construct(subject)
    await warm_up(loading, model)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()
    desk = _Desk(model, max_frame_bytes, ended)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, desk.drain)
    link.sendall(encode(Ready(loading.import_s, loading.load_s, loading.warmup_s)))
    await loop.create_unix_connection(lambda: desk, sock=link)
    is_drained = await ended
    close = getattr(model.called, "close", None)
    if is_drained and close is not None:
        try:
            await settle_here(close())
        except BaseException as error:  # noqa: BLE001 - nothing may keep the process from ending
            print_author_traceback(error)
    # Returning to asyncio.run would first wait for whatever threads and tasks the author left behind.
    leave(0 if is_drained else 1)


async def run_concurrent(model: Model, run: Run, received_at_s: float) -> Done:
    """Serve one batch by awaiting the function; whatever its code does, there is a `Done`."""
    try:
        items, positions, faults = model.codec.decode(run.bodies, run.kinds)
        decoded_at_s = monotonic()
        results: Sequence[Any] = items
        if items:
            results = await (_await_batch(model, items) if model.settings.batchable else _await_each(model, items))
        return model.done(run, (received_at_s, decoded_at_s, monotonic()), positions, faults, results)
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like would end the loop itself
        _let_through(error)
        return model.gave_up(run, error)


class _Desk(asyncio.Protocol):
    """Takes batches in, keeps one task each, hands the answers out."""

    def __init__(self, model: Model, max_frame_bytes: int, ended: asyncio.Future[bool]) -> None:
        self._model = model
        self._max_frame_bytes = max_frame_bytes
        self._ended = ended
        self._reader = FrameReader(max_frame_bytes)
        self._tasks: dict[int, asyncio.Task[Done]] = {}  # by batch; the server keeps them within `slots`
        self._cancelled: set[int] = set()  # those of them that the server gave up
        self._draining = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._end_if_idle()  # SIGTERM may have come before

    def data_received(self, data: bytes) -> None:
        received_at_s = monotonic()
        try:
            for message in self._reader.feed(data):
                self._handle(message, received_at_s)
        except ProtocolError as error:
            if not self._ended.done():
                self._ended.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if not self._ended.done():
            self._ended.set_result(self._draining and not self._tasks)

    def _handle(self, message: Message, received_at_s: float) -> None:
        if type(message) is Run:
            call = run_concurrent(self._model, message, received_at_s)
            task = asyncio.create_task(call, name=f"batch-{message.batch_id}")
            self._tasks[message.batch_id] = task
            task.add_done_callback(partial(self._finish, message))
        elif type(message) is Cancel:
            if message.batch_id in self._tasks:
                self._cancelled.add(message.batch_id)
                self._tasks[message.batch_id].cancel()
        elif type(message) is Ping:
            self._write(encode(message))
        elif type(message) is Drain:
            self.drain()
        else:
            raise ProtocolError(f"the server sent a {type(message).__name__}, which only a replica may send")

    def drain(self) -> None:
        """End as soon as nothing runs any more."""
        self._draining = True
        self._end_if_idle()

    def _finish(self, run: Run, task: asyncio.Task[Done]) -> None:
        # A callback instead of a `finally`: a task cancelled before its first step never runs any of its code.
        del self._tasks[run.batch_id]
        is_given_up = run.batch_id in self._cancelled
        self._cancelled.discard(run.batch_id)
        if task.cancelled():  # by the server, or by the author's code that got hold of the task
            done = nobody_waits(run) if is_given_up else self._model.gave_up(run, asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            done = self._model.gave_up(run, error)
        else:
            done = task.result()
        self._write(answer(done, self._max_frame_bytes))
        self._end_if_idle()

    def _write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def _end_if_idle(self) -> None:
        if self._draining and not self._tasks and self._transport is not None:
            self._transport.close()  # sends what is still in its buffer, then `connection_lost`


async def _await_batch(model: Model, items: list[Any]) -> Sequence[Any]:
    count = len(items)  # the function may change its list
    try:
        return model.checked(await model.called(items), count)
    except BaseException as error:  # noqa: BLE001 - SystemExit too fails this batch, not the replica
        _let_through(error)
        return model.failed(error, count)


async def _await_each(model: Model, items: list[Any]) -> Sequence[Any]:
    results: list[Any] = []
    for item in items:
        try:
            results.append(await model.called(item))
        except BaseException as error:  # noqa: BLE001 - as above
            _let_through(error)
            results += model.failed(error, 1)
    return results


def _let_through(error: BaseException) -> None:
    """Raise what is not the function's failure: the end of the process, and our own cancellation."""
    task = asyncio.current_task()
    is_ours = task is not None and task.cancelling() > 0
    if isinstance(error, Terminated) or (isinstance(error, asyncio.CancelledError) and is_ours):
        raise error


async def warm_up(loading: Loading, model: Model) -> None:
    """Call `warmup()` if there is one, then the function with its examples.

    Raises:
        LoadFailedError: The warm-up raised, or an example was not served.
    """
    begun_at_s = monotonic()
    warmup = getattr(model.called, "warmup", None)
    if warmup is not None:
        try:
            await settle_here(warmup())
        except Terminated:
            raise
        except BaseException as error:  # SystemExit too means that there is no model
            raise loading.failure("warmup", error) from error
    for run in loading.example_runs():
        loading.judge(await run_concurrent(model, run, monotonic()))
    loading.finish_warm_up(begun_at_s)


async def settle_here(value: Any) -> Any:
    """Wait for `value` if it is to be waited for."""
    return await value if hasattr(value, "__await__") else value

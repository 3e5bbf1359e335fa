"""The results of many calls, in order and lazily: over threads, or over tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from sojourn.errors import ClientError, ConfigurationError

T = TypeVar("T")

CONCURRENCY_MAX: Final = 10_000
_WINDOW: Final = 2  # per call that may run: items taken whose results have not been asked for


def checked_concurrency(concurrency: int, connections: int) -> int:
    """Calls at once: no more than there are connections.

    Raises:
        ConfigurationError: It is out of range.
    """
    if not 1 <= concurrency <= CONCURRENCY_MAX:
        raise ConfigurationError(f"concurrency must be in [1, {CONCURRENCY_MAX}], not {concurrency}")
    return min(concurrency, connections)


class Results(Iterator[T], Generic[T]):
    """An iterator over results, in the order of their items.

    Items are taken in the thread that asks for results, never further ahead than twice the concurrency. A failed item
    raises its error where its result would be; asking again goes on with the next one.

    Args:
        call: Serves one item; called in threads.
        items: The items, perhaps without end.
        concurrency: Calls at once, >= 1.
        return_errors: Whether errors take the place of results instead of being raised.
        on_close: Lets calls go that wait for their turn; they are not sent.
    """

    def __init__(
        self,
        call: Callable[[Any], T],
        items: Iterable[Any],
        concurrency: int,
        *,
        return_errors: bool,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_close = on_close
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="sojourn-map")
        self._call = call
        self._items: Iterator[Any] | None = iter(items)
        self._window = _WINDOW * concurrency
        self._return_errors = return_errors
        self._under_way: deque[Future[T]] = deque()
        self._failure: BaseException | None = None

    def __next__(self) -> T:
        self._fill()
        if not self._under_way:
            self.close()
            failure, self._failure = self._failure, None
            raise failure or StopIteration
        head = self._under_way[0]
        try:
            head.exception()  # waits; if that is interrupted, the result stays to be had
        finally:
            if head.done():
                self._under_way.popleft()
        try:
            return head.result()
        except ClientError as error:
            if self._return_errors:
                return error  # type: ignore[return-value]  # as the caller asked
            raise

    def close(self) -> None:
        """Take no more items; calls that wait for a thread are not sent, those under way end by themselves."""
        self._items = None
        self._under_way.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._on_close()

    def _fill(self) -> None:
        # A result that is ready goes out before more items are taken: a slow source delays none.
        while self._items is not None and len(self._under_way) < self._window:
            if self._under_way and self._under_way[0].done():
                return
            try:
                item = next(self._items)
            except StopIteration:
                self._items = None
            except Exception as error:  # noqa: BLE001 - the source's own; told after the results before it
                self._items, self._failure = None, error
            else:
                self._under_way.append(self._threads.submit(self._call, item))


class AsyncResults(AsyncIterator[T], Generic[T]):
    """An asynchronous iterator over results, in the order of their items; for one task.

    Items are taken never further ahead than twice the concurrency. A failed item raises its error where its result
    would be; asking again goes on with the next one. If the task that asks is cancelled, so are the calls.

    Args:
        call: Serves one item.
        items: The items, perhaps without end, perhaps asynchronous.
        concurrency: Calls at once, >= 1.
        return_errors: Whether errors take the place of results instead of being raised.
    """

    def __init__(
        self,
        call: Callable[[Any], Awaitable[T]],
        items: Iterable[Any] | AsyncIterable[Any],
        concurrency: int,
        *,
        return_errors: bool,
    ) -> None:
        self._call = call
        self._items = _as_async(items)
        self._window = _WINDOW * concurrency
        self._return_errors = return_errors
        self._under_way: deque[asyncio.Task[T]] = deque()
        self._pull: asyncio.Task[Any] | None = None
        self._is_exhausted = False
        self._failure: BaseException | None = None
        self._room = asyncio.Semaphore(concurrency)

    async def __anext__(self) -> T:
        try:
            while not (self._under_way and self._under_way[0].done()):
                self._ask_for_item()
                waited_for = {task for task in (self._pull, *list(self._under_way)[:1]) if task is not None}
                if not waited_for:
                    failure, self._failure = self._failure, None
                    raise failure or StopAsyncIteration
                await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
                self._take_item()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        try:
            return self._under_way.popleft().result()
        except ClientError as error:
            if self._return_errors:
                return error  # type: ignore[return-value]  # as the caller asked
            raise

    async def aclose(self) -> None:
        """Take no more items, and cancel the calls under way."""
        self._is_exhausted = True
        tasks = [task for task in (self._pull, *self._under_way) if task is not None]
        self._pull = None
        self._under_way.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _ask_for_item(self) -> None:
        if self._pull is None and not self._is_exhausted and len(self._under_way) < self._window:
            self._pull = asyncio.ensure_future(_next_of(self._items))

    def _take_item(self) -> None:
        if self._pull is None or not self._pull.done():
            return
        pull, self._pull = self._pull, None
        try:
            is_end, item = pull.result()
        except Exception as error:  # noqa: BLE001 - the source's own; told after the results before it
            self._is_exhausted, self._failure = True, error
            return
        if is_end:
            self._is_exhausted = True
        else:
            self._under_way.append(asyncio.create_task(self._one(item), name="sojourn map"))

    async def _one(self, item: Any) -> T:
        async with self._room:
            return await self._call(item)


async def _next_of(items: AsyncIterator[Any]) -> tuple[bool, Any]:
    """The next item, or (True, None) at the end: a task must not raise StopAsyncIteration's like."""
    try:
        return False, await anext(items)
    except StopAsyncIteration:
        return True, None


def _as_async(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    return aiter(items) if isinstance(items, AsyncIterable) else _walk(iter(items))


async def _walk(items: Iterator[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item

"""Many calls: in order, lazily, bounded, and none lost by another's failure."""

import asyncio
import itertools
import threading

import pytest

from sojourn.client.mapping import AsyncResults, Results, checked_concurrency
from sojourn.errors import ConfigurationError, OverloadedError


def refuse_threes(item: int) -> int:
    if item % 3 == 0:
        raise OverloadedError(f"no {item}")
    return item


async def refuse_threes_async(item: int) -> int:
    await asyncio.sleep(0)
    return refuse_threes(item)


def test_results_come_in_order_with_errors_in_their_places():
    """All results of a finite source, and the errors where they belong."""
    results = list(Results(refuse_threes, range(50), 4, return_errors=True))
    assert [r if isinstance(r, int) else str(r) for r in results] == [f"no {n}" if n % 3 == 0 else n for n in range(50)]


def test_a_raised_error_loses_no_other_result():
    """After the error of an item `next` goes on with the one behind it."""
    results = Results(refuse_threes, range(1, 8), 2, return_errors=False)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(OverloadedError, match="no 3"):
        next(results)
    assert [next(results), next(results)] == [4, 5]
    results.close()
    with pytest.raises(StopIteration):
        next(results)


def test_an_endless_source_is_taken_from_no_further_than_the_window():
    """Twice the concurrency ahead of what was asked for, not more."""
    taken = itertools.count()
    source = (next(taken) for _ in itertools.count())
    with Results(lambda item: item, source, 4, return_errors=False) as results:
        assert [next(results) for _ in range(20)] == list(range(20))
        assert next(taken) <= 20 + 8


def test_never_more_calls_at_once_than_allowed():
    """Three threads meet in three calls; a fourth would have found the room full."""
    running, most, lock, met = 0, 0, threading.Lock(), threading.Barrier(3, timeout=30)

    def call(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        met.wait()
        with lock:
            running -= 1
        return item

    assert list(Results(call, range(30), 3, return_errors=False)) == list(range(30))
    assert most == 3


def test_a_source_that_fails_is_told_after_the_results_before_it():
    """What had been taken is not lost."""

    def source():
        yield from (1, 2)
        raise KeyError("source")

    results = Results(refuse_threes, source(), 8, return_errors=True)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(KeyError, match="source"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_async_results_come_in_order_from_any_source():
    """A list and an asynchronous generator; errors in their places, or raised and gone on from."""

    async def source():
        for item in range(1, 30):
            await asyncio.sleep(0)
            yield item

    async def main():
        expected = [f"no {n}" if n % 3 == 0 else n for n in range(1, 30)]
        for items in (range(1, 30), source()):
            results = [r async for r in AsyncResults(refuse_threes_async, items, 4, return_errors=True)]
            assert [r if isinstance(r, int) else str(r) for r in results] == expected
        results = AsyncResults(refuse_threes_async, range(2, 5), 4, return_errors=False)
        assert await anext(results) == 2
        with pytest.raises(OverloadedError):
            await anext(results)
        assert await anext(results) == 4
        with pytest.raises(StopAsyncIteration):
            await anext(results)

    asyncio.run(main())


def test_a_result_does_not_wait_for_a_source_that_has_nothing_new():
    """The first result is there while the second item never comes; closing ends the wait."""

    async def source():
        yield 1
        await asyncio.Event().wait()

    async def main():
        async with AsyncResults(refuse_threes_async, source(), 4, return_errors=False) as results:
            assert await anext(results) == 1

    asyncio.run(main())


def test_cancelling_who_asks_cancels_the_calls():
    """Every call that had begun is told, none goes on behind anybody's back."""

    async def main():
        began, cancelled, all_run = [], [], asyncio.Event()

        async def call(item):
            began.append(item)
            if len(began) == 3:
                all_run.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(item)
                raise

        results = AsyncResults(call, itertools.count(), 3, return_errors=False)
        asking = asyncio.ensure_future(anext(results))
        await all_run.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert sorted(cancelled) == [0, 1, 2]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_concurrency_has_a_range_and_no_more_calls_run_than_connections():
    """Out of range is told; above the connections it would only wait."""
    assert checked_concurrency(64, 128) == 64
    assert checked_concurrency(500, 128) == 128
    for concurrency in (0, 10_001):
        with pytest.raises(ConfigurationError):
            checked_concurrency(concurrency, 128)

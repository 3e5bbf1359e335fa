"""The store behind an event loop: one thing after another, bounded, and it says when it fails and when it works again."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from sojourn.errors import DeploymentError, StateError
from sojourn.state.keeper import StateKeeper
from sojourn.state.store import StateStore

sys.path.insert(0, str(Path(__file__).parent))
from state_samples import WALL_S, go_live, key, revision


def test_what_returned_is_in_the_file_and_in_order(tmp_path):
    """Changes asked for at once are made one after another; the next server has them."""

    async def scenario():
        keeper = StateKeeper(StateStore.opened_in(tmp_path))
        await asyncio.gather(*(keeper.do(lambda s, n=number: s.put_key(key(n))) for number in range(5)))
        kept = await keeper.do(lambda store: store.keys())
        await keeper.close()
        await keeper.close()
        with pytest.raises(StateError, match="stopping"):
            await keeper.do(lambda store: store.keys())
        return kept

    kept = asyncio.run(scenario())
    again = StateStore.opened_in(tmp_path)
    assert again.keys() == kept == [key(number) for number in range(5)]
    again.close()


def test_what_the_store_refuses_comes_to_who_asked(tmp_path):
    """A change that makes no sense is no failure of the disk."""

    async def scenario():
        keeper = StateKeeper(StateStore.in_memory())
        await keeper.do(lambda store: go_live(store, 1))
        with pytest.raises(DeploymentError):
            await keeper.do(lambda store: store.abandon_candidate("digits", WALL_S, "x"))
        assert keeper.failure == ""
        await keeper.close()

    asyncio.run(scenario())


def test_too_much_that_waits_is_refused(tmp_path):
    """While the disk stands still; what was taken in is done when it goes on, also for who no longer waits."""

    async def scenario():
        goes_on = threading.Event()
        keeper = StateKeeper(StateStore.in_memory(), waiting_max=2)
        first = asyncio.ensure_future(keeper.do(lambda _: goes_on.wait(60)))
        second = asyncio.ensure_future(keeper.do(lambda store: store.put_key(key(2))))
        await asyncio.sleep(0)
        with pytest.raises(StateError, match="2 changes wait"):
            await keeper.do(lambda store: store.put_key(key(3)))
        second.cancel()
        goes_on.set()
        assert await first
        kept = await keeper.do(lambda store: store.keys())
        assert kept == [key(2)]
        assert keeper.waiting == 0
        await keeper.close()

    asyncio.run(scenario())


def test_a_disk_that_does_not_answer_is_told():
    """The caller is not kept for ever, and hears that the end is not known."""

    async def scenario():
        goes_on = threading.Event()
        keeper = StateKeeper(StateStore.in_memory(), answer_s_max=0.01)
        with pytest.raises(StateError, match="not answered"):
            await keeper.do(lambda _: goes_on.wait(60))
        goes_on.set()
        await keeper.close()

    asyncio.run(scenario())


def test_a_full_disk_is_told_once_and_so_is_its_end(tmp_path):
    """Reading does not count as an end; the next change that is written does."""

    async def scenario():
        told = []
        store = StateStore.opened_in(tmp_path)
        keeper = StateKeeper(store, told.append)
        await keeper.do(lambda s: s.put_key(key(1)))

        def limit(pages):
            return lambda s: s._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

        async def fill_up():
            for number in range(100):
                await keeper.do(lambda s, n=number: s.put_revision(revision(n, f"f{n}")))

        await keeper.do(limit(1))  # no more than there are
        with pytest.raises(StateError, match="cannot be written"):
            await fill_up()
        with pytest.raises(StateError, match="cannot be written"):
            await keeper.do(lambda s: [s.put_revision(revision(n, f"g{n}")) for n in range(20)])
        assert await keeper.do(lambda s: len(s.keys())) == 1
        assert len(told) == 1
        assert "cannot be written" in told[0]
        await keeper.do(limit(100_000))
        await keeper.do(lambda s: s.put_key(key(2)))
        assert told[1:] == [""]
        await keeper.close()

    asyncio.run(scenario())

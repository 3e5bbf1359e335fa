"""Whatever an operator does with revisions, and when: each request ends once, and none is lost to it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "drivers"))
from revisions_world import RevisionsWorld
from virtual_loop import VirtualLoop

OPERATIONS = ("launch", "split", "live", "retire", "arrive", "burst", "pinned", "announce", "upload", "kill", "wait")
STORIES = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 5), st.sampled_from([0.0, 0.001, 0.02, 0.2, 1.0])),
    max_size=60,
)


def told(story, world_cpus, seed, *, with_kills):
    """The world at the end of a story."""

    async def tell() -> RevisionsWorld:
        world = RevisionsWorld(world_cpus, seed)
        for operation, pick, then_s in story:
            if operation != "kill" or with_kills:
                act(world, operation, pick)
            world.check()
            await asyncio.sleep(then_s)
            world.check()
        await world.end()
        world.check()
        await asyncio.sleep(0.1)
        for service in world.platform.running.values():
            service.close()
        world.platform._driver.close()
        return world

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(tell())


def act(world, operation, pick):
    """Do one thing, where it can be done."""
    others = world.others()
    chosen = others[pick % len(others)] if others else ""
    if operation == "launch":
        world.launch(pick)
    elif operation == "split" and chosen:
        world.split(chosen, (0.05, 0.3, 0.5)[pick % 3])
    elif operation == "live" and chosen:
        world.make_live(chosen)
    elif operation == "retire" and chosen:
        world.retire(chosen)
    elif operation in {"pinned", "arrive", "burst"}:
        for _ in range(12 if operation == "burst" else 1):
            world.arrive(chosen if operation == "pinned" else "")
    elif operation in {"announce", "upload"}:
        (world.announce if operation == "announce" else world.upload)()
    elif operation == "kill":
        world.kill(pick)


@pytest.mark.parametrize("cpus", [1.0, 2.0, 6.0])
@given(story=STORIES, seed=st.integers(0, 9))
@settings(max_examples=60)
def test_no_request_is_lost_to_launches_splits_and_retirements(cpus, story, seed):
    """Every one is answered, in a pool of any size, and counted once; at the end the live revision is alone."""
    world = told(story, cpus, seed, with_kills=False)
    assert [caller.heard for caller in world.callers if caller.heard != ["answered"]] == []
    assert world.counted == len(world.callers)
    alone(world)


@given(story=STORIES, seed=st.integers(0, 9))
@settings(max_examples=100)
def test_each_request_ends_once_though_replicas_die(story, seed):
    """Answered, or told why not; and counted once either way."""
    world = told(story, 4.0, seed, with_kills=True)
    assert [caller.heard for caller in world.callers if len(caller.heard) != 1] == []
    assert world.counted == len(world.callers)
    alone(world)


def alone(world):
    """Nothing is left of all other revisions."""
    platform = world.platform
    live = platform.services["f"]
    assert list(platform.running.values()) == [live]
    assert set(platform.controller._deployments) == {live.key}
    assert {replica.service for replica in platform._driver.replicas._by_number.values()} <= {live}
    paths = {path.decode().removeprefix("/functions/") for path in world.routes.by_path}
    assert paths == {"f", live.key}

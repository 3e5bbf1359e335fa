"""Scenes with fork servers, and with replicas that are kept apart."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fork_scene import Scene
from isolated_scene import player
from launcher_bench import PATIENCE_S


@pytest.fixture
def play(tmp_path):
    """Runs `async def scene(s)` with a `Scene`."""

    def run(scene):
        async def main():
            one = Scene(tmp_path)
            try:
                await scene(one)
            finally:
                print(*one.server.lines, *one.logged(), sep="\n")  # noqa: T201 - shown if the scene fails
                await one.close()

        asyncio.run(asyncio.wait_for(main(), 3 * PATIENCE_S))

    return run


@pytest.fixture(params=["share=None", 'share="none"'], ids=["forked", "plain"])
def play_isolated(request, tmp_path):
    """Runs `async def scene(s)` with an `IsolatedScene` in each way of starting replicas."""
    return player(tmp_path, request.param)


@pytest.fixture
def play_forked(tmp_path):
    """The same with forked replicas only, where the way makes no difference."""
    return player(tmp_path, "share=None")

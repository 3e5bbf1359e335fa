"""Scenes with fork servers."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fork_scene import Scene
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

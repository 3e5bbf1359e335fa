"""Archives that are taken in while the server stops."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from sojourn.bundle.pack import pack
from sojourn.bundle.store import BundleStore
from sojourn.deploy.intake import Intake
from sojourn.domain.deployment import Description
from sojourn.domain.deployment_status import DeployAsked


def test_the_stop_waits_for_what_is_being_taken_in(tmp_path):
    """Whoever imports a tree has a process and a directory to end, with parts of the server that would be gone soon."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "app.py").write_text("")
    archive = io.BytesIO()
    pack(tmp_path / "tree", "app.py", archive)
    done = []

    async def scene() -> None:
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def describe(target: str, root: Path) -> Description:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                await may_end.wait()  # as long as it takes a process to end
                done.append("imported")
            raise AssertionError("it waits for ever")

        async def upload():
            yield archive.getvalue()

        async def take() -> None:
            async with intake.taken(upload(), DeployAsked(target="app.py")):
                raise AssertionError("nothing was described")

        bundles = BundleStore(tmp_path)
        bundles.open()
        intake = Intake(bundles, describe)
        await intake.close()  # of nothing
        taking = asyncio.create_task(take())
        await begun.wait()
        taking.cancel()
        closing = asyncio.create_task(intake.close())
        asyncio.get_running_loop().call_soon(may_end.set)
        await closing
        done.append("closed")
        with pytest.raises(asyncio.CancelledError):
            await taking

    asyncio.run(scene())
    assert done == ["imported", "closed"]

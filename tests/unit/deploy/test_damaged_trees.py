"""Source trees that are not what was deployed: noticed before they run, told, and in nobody else's way."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from deploy_desk import DeployDesk, canary, on_a_desk

from sojourn.errors import DeploymentError


def _damage(directory: Path, digest: str) -> None:
    file = directory / "bundles" / digest / "code.txt"
    file.chmod(0o600)
    file.write_text("something else")


def test_a_damaged_tree_is_noticed_at_the_start_and_the_others_are_served(tmp_path):
    """Its function is told as failed with what, where and how to mend it; deployed again it is whole."""
    state = tmp_path / "state"

    async def before() -> str:
        async with DeployDesk(state) as desk:
            await desk.deploy("good", "good")
            await desk.deploy("bad", "bad")
            return (await desk.service.revisions("bad"))[0].bundle

    async def after(digest: str) -> None:
        async with DeployDesk(state) as desk:
            assert (await desk.call("good"), await desk.call("bad")) == ("answered", "unknown")
            told = desk.service.rollout("bad")
            assert told.state == "failed"
            assert all(text in told.cause for text in (digest, str(state / "bundles"), "deploy its source again"))
            (event,) = desk.told("function.not_restored")
            assert (event.level, event.function, "deploy it again" in event.fields["remedy"]) == ("error", "bad", True)
            assert len(desk.replicas) == 1
            assert "could not be brought back" in desk.routes.unserved[b"/functions/bad"]
            await desk.deploy("bad", "bad")
            assert desk.routes.unserved == {}
            assert (await desk.call("bad"), desk.service.rollout("bad").state) == ("answered", "live")

    digest = asyncio.run(before())
    _damage(state, digest)
    asyncio.run(after(digest))


def test_a_candidate_whose_tree_is_damaged_is_given_up_at_the_start(tmp_path):
    """What was live serves on; the state file knows of the candidate no more."""
    state = tmp_path / "state"

    async def before() -> str:
        async with DeployDesk(state) as desk:
            await canary(desk)
            return (await desk.service.revisions("f"))[0].bundle

    async def after() -> None:
        async with DeployDesk(state) as desk:
            assert await desk.call() == "answered"
            assert "damaged" in desk.service.rollout("f").cause
            assert desk.store.functions()[0].candidate is None

    _damage(state, asyncio.run(before()))
    asyncio.run(after())


@on_a_desk
async def test_a_rollback_to_a_damaged_tree_is_refused(desk):
    """Before anything changes."""
    await desk.deploy("one")
    new = await desk.deploy("two")
    _damage(desk.log_path.parent, (await desk.service.revisions("f"))[1].bundle)
    with pytest.raises(DeploymentError, match="damaged"):
        await desk.service.rollback("f")
    assert (desk.platform.services["f"].revision, desk.store.functions()[0].candidate) == (new, None)

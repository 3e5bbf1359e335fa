"""Two revisions beside each other: what is compared of them, and what of them stays until its last request has ended."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from deploy_desk import SLOWLY, on_a_desk


@on_a_desk
async def test_a_canary_is_compared_with_what_the_other_has_had_since(desk):
    """The hundred requests of the stable revision before the split are no evidence."""
    await desk.deploy("one")
    for _ in range(100):
        await desk.call()
    await desk.begin("two", plan=SLOWLY)
    await desk.until(lambda: desk.service.rollout("f").state == "shifting")
    for _ in range(20):
        await desk.call()
    await desk.until(lambda: desk.service.rollout("f").evidence is not None)
    evidence = desk.service.rollout("f").evidence
    assert evidence["stable"]["total"] + evidence["candidate"]["total"] == 20


@on_a_desk
async def test_the_tree_of_what_still_ends_its_requests_is_not_swept_away(desk):
    """A function that is deleted while a request waits for its replica: nothing refers to its tree, but it runs."""
    await desk.deploy("one", "g")
    desk.launcher.held_back = True
    await desk.begin("one", "f")
    (gone,) = {one.bundle for one in desk.store.revisions("f")}
    waiting = asyncio.create_task(desk.call(f"f@{desk.store.revisions('f')[0].revision}"))
    await asyncio.sleep(0)
    deleting = asyncio.create_task(desk.service.delete("f"))
    await desk.until(lambda: not desk.store.functions() or desk.store.functions()[0].name == "g")
    await desk.service._departures.sweep()
    assert gone in desk.bundles.digests()
    desk.launcher.let_go()
    await asyncio.gather(deleting, waiting)
    await desk.until(lambda: gone not in desk.bundles.digests())

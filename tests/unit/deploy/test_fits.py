"""Service times that were learnt are kept, whatever goes wrong with one of them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from deploy_desk import on_a_desk


async def learnt(desk, function):
    """Enough calls that its service times are known."""
    model = desk.platform.services[function].dispatcher.model
    for _ in range(100):
        if model.is_known:
            return
        await desk.call(function)
    raise AssertionError("nothing was learnt")


@on_a_desk
async def test_one_strange_error_keeps_neither_the_others_nor_the_next_time_from_being_saved(desk):
    """It is told once; when it is over, that function is saved, too."""
    for name in ("bad", "good"):
        await desk.deploy(name, name)
        await learnt(desk, name)
    fits, put = desk.service._fits, desk.service._fits._put

    async def broken(function, revision, fit):
        if function == "bad":
            raise ValueError("out of range")
        await put(function, revision, fit)

    fits._put = broken
    await fits.save()
    await learnt(desk, "good")
    await fits.save()
    assert [one.function for one in desk.store.fits()] == ["good"]
    (event,) = desk.told("state.fits_unsaved")
    assert "bad@" in event.fields["cause"]
    assert "ValueError: out of range" in event.fields["cause"]
    fits._put = put
    await fits.save()
    assert [one.function for one in desk.store.fits()] == ["bad", "good"]


@on_a_desk
async def test_each_revision_is_saved_and_nothing_is_remembered_of_those_that_are_not_live(desk):
    """Two revisions that have learnt as much as one another are both kept."""
    revisions = []
    for text in ("one", "two"):
        revisions.append(await desk.deploy(text))
        await desk.until(lambda: len(desk.platform.running) == 1)
        model = desk.platform.services["f"].dispatcher.model
        await learnt(desk, "f")
        model.version = 7
        await desk.service._fits.save()
    assert sorted(one.revision for one in desk.store.fits()) == sorted(revisions)
    assert list(desk.service._fits._saved) == [("f", revisions[1])]
    await desk.service.delete("f")
    assert (desk.service._fits._saved, desk.service._fits._kept) == ({}, {})

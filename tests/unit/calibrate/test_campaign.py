"""What is kept of a calibration that ended early."""

import asyncio

import pytest

from sojourn.calibrate.campaign import Campaign, CampaignOptions
from sojourn.calibrate.items import Items
from sojourn.domain.function import FunctionManifest, FunctionSettings
from sojourn.errors import MeasurementError


def test_nothing_is_kept_where_nothing_was_measured():
    """An interruption before the first batch leaves nothing to write, and says so."""
    manifest = FunctionManifest(target="app.py", attribute="F", settings=FunctionSettings(name="f"), revision="r")
    told = []
    campaign = Campaign(manifest, Items([b"1"], "here"), CampaignOptions(), told.append)

    async def interrupted():
        task = asyncio.ensure_future(campaign.run())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(interrupted())
    assert told[0].stage == "timers"
    with pytest.raises(MeasurementError, match="nothing is kept"):
        campaign.profile()

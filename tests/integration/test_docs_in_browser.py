"""The page at /docs in a real browser: complete, under its content policy, in a narrow window and in the dark."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from browser import Browser, reason_to_skip

_SPEC = spec_from_file_location("overview", Path(__file__).parents[1] / "unit" / "control" / "overview.py")
_MODULE = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)

FACTS = """(() => {
  document.querySelectorAll('details').forEach(one => { one.open = true; });
  const width = document.documentElement.clientWidth;
  const light = value => value.match(/[0-9.]+/g).slice(0, 3).reduce((sum, one) => sum + Number(one), 0);
  return {
    operations: document.querySelectorAll('main section details .method').length,
    overflows: document.documentElement.scrollWidth > width,
    paper: light(getComputedStyle(document.body).backgroundColor),
    ink: light(getComputedStyle(document.body).color),
    padding: getComputedStyle(document.querySelector('details')).borderRadius,
  };
})()"""

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())


def test_the_page_reads_well_in_any_window_and_asks_nobody_else():
    """Every chapter opened: nothing sticks out, the colours are the reader's, nothing is fetched but its own style."""

    async def scene():
        server = _MODULE.admin_server()
        host, port = await server.start("127.0.0.1", 0)
        origin = f"http://{host}:{port}"
        try:
            with Browser() as browser:
                for is_dark, width in ((False, 1060), (True, 360)):
                    opened = await asyncio.to_thread(
                        browser.open, f"{origin}/docs", facts=FACTS, is_dark=is_dark, width=width
                    )
                    assert opened.complaints == []
                    named = {url for url in opened.requests if not url.startswith("data:")}
                    assert named == {f"{origin}/docs", f"{origin}/docs/style.css"}
                    facts = opened.facts
                    assert facts["operations"] == len(server.table.endpoints)
                    assert facts["padding"] == "6px"  # the style was let through
                    assert not facts["overflows"], width
                    assert (facts["paper"] < facts["ink"]) is is_dark
        finally:
            await server.close()

    asyncio.run(scene())

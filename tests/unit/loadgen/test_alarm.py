"""The fine timer."""

import asyncio
import time
from pathlib import Path

import pytest
import uvloop

from sojourn.loadgen.alarm import Alarm


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_it_rings_once_per_setting_and_never_early(run):
    """A later setting replaces the earlier one; an instant in the past rings at once."""

    async def main():
        loop = asyncio.get_running_loop()
        rung = asyncio.Queue()
        alarm = Alarm(loop, lambda: rung.put_nowait(time.monotonic()))
        try:
            alarm.set(time.monotonic() + 3600)
            at_s = time.monotonic() + 0.002
            alarm.set(at_s)
            assert await rung.get() >= at_s
            alarm.set(time.monotonic() - 1)
            await rung.get()
            for _ in range(5):  # turns of the loop in which it must not ring again
                await asyncio.sleep(0)
            assert rung.empty()
        finally:
            alarm.close()

    run(main())


def test_close_gives_the_descriptor_back():
    """As many descriptors are open after as before."""

    async def main():
        before = open_descriptors()
        Alarm(asyncio.get_running_loop(), lambda: None).close()
        assert open_descriptors() == before

    asyncio.run(main())

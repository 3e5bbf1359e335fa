"""Running something until it ends or a signal comes."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from sojourn.cli.signals import StopSignals, ended_before


def test_work_that_ends_first_is_reported_as_ended():
    """The event never came."""

    async def main():
        return await ended_before(asyncio.Event(), asyncio.sleep(0), "work")

    assert asyncio.run(main()) is True


def test_an_event_cancels_the_work_and_waits_for_it():
    """What the work holds is given back before anything else happens."""

    async def main():
        event, steps = asyncio.Event(), []

        async def work():
            try:
                steps.append("began")
                event.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                steps.append("gave back")

        assert await ended_before(event, work(), "work") is False
        return steps

    assert asyncio.run(main()) == ["began", "gave back"]


def test_what_the_work_raises_comes_out():
    """A start that fails is not mistaken for a stop."""

    async def work():
        raise RuntimeError("no")

    async def main():
        await ended_before(asyncio.Event(), work(), "work")

    with pytest.raises(RuntimeError, match="no"):
        asyncio.run(main())


def test_first_signal_then_second_then_the_default_again():
    """After two signals the third ends the process whatever it does."""

    async def main():
        signals = StopSignals()
        signals.install()
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGTERM)
        await signals.first.wait()
        assert not signals.second.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        await signals.second.wait()
        return signal.getsignal(signal.SIGTERM)

    assert asyncio.run(main()) is signal.SIG_DFL

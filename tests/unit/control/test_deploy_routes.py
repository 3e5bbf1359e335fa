"""Waiting for a change of what is deployed."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from sojourn.control.deploy_routes import _waited_for
from sojourn.errors import StateError


def test_whoever_waits_while_the_server_stops_is_told_so_however_often_it_is_cancelled():
    """The end of the connection and the end of the loop each cancel the wait; work that is at its end is not broken off."""
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""})

    async def stopping() -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            try:
                began.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)  # such as to close what it has open
                ended.set()

        waiting = asyncio.create_task(_waited_for(request, work()))
        await began.wait()
        waiting.cancel()
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(StateError, match="the server is stopping"):
            await waiting
        await ended.wait()

    asyncio.run(stopping())

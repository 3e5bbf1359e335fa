"""An async function: each call waits for something far away, so one replica runs many at once.

The remote side is a small TCP server inside the replica that answers after a delay, so the example needs
nothing but this file. Serve it and ask it:

    sojourn serve examples/async_io.py
    sojourn invoke lookup '{"key": "sojourn"}'

Variable: SOJOURN_FN_DELAY_S (0.02 seconds the remote side takes).
"""

from __future__ import annotations

import asyncio
import os

import msgspec

import sojourn

DELAY_S = float(os.environ.get("SOJOURN_FN_DELAY_S", "0.02"))
KEY_LENGTH_MAX = 200


class Query(msgspec.Struct):
    """What to look up."""

    key: str


class Answer(msgspec.Struct):
    """What the remote side said about a key."""

    key: str
    value: str


@sojourn.function(slo="99% < 100ms", batchable=False, concurrency=64)
class Lookup:
    """Asks the remote side for one key per call."""

    def __init__(self) -> None:
        self._remote: asyncio.Server | None = None

    async def warmup(self) -> None:
        """Start the remote side on a free port of the loopback interface."""
        self._remote = await asyncio.start_server(_answer_slowly, "127.0.0.1", 0)

    async def __call__(self, query: Query) -> Answer:
        """The remote side's answer; a key that cannot be asked for fails alone."""
        if not query.key.strip() or "\n" in query.key or len(query.key) > KEY_LENGTH_MAX:
            raise sojourn.ItemError(422, f"key must be 1 to {KEY_LENGTH_MAX} characters on one line")
        if self._remote is None:
            await self.warmup()
        reader, writer = await asyncio.open_connection(*self._remote.sockets[0].getsockname())
        try:
            writer.write(f"{query.key}\n".encode())
            value = (await reader.readline()).decode().rstrip("\n")
        finally:
            writer.close()
        return Answer(key=query.key, value=value)

    async def close(self) -> None:
        """Stop the remote side."""
        if self._remote is not None:
            self._remote.close()


async def _answer_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        key = (await reader.readline()).decode().rstrip("\n")
        await asyncio.sleep(DELAY_S)
        writer.write(f"{key[::-1]}\n".encode())
        await writer.drain()
    finally:
        writer.close()

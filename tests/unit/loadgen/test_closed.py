"""The closed loop: callers that send again when answered, over real sockets."""

import asyncio

import pytest
import uvloop

from sojourn.errors import ClientError
from sojourn.loadgen.closed import ClosedLoop
from sojourn.loadgen.target import Target


class Door(asyncio.Protocol):
    """Answers each request with `status`, and keeps count of the most requests that waited at once."""

    def __init__(self, status, seen):
        self._status = status
        self._seen = seen

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._seen.append(data.rpartition(b"\r\n\r\n")[2])
        self._transport.write(b"HTTP/1.1 %d X\r\nContent-Length: 1\r\n\r\n1" % self._status)


def measured(*, status=200, callers=4, closes=False):
    """The rate a closed loop of a tenth of a second reports, and the bodies the server saw."""
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Door(status, seen), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if closes:
            server.close()
        try:
            return await ClosedLoop(Target("127.0.0.1", port, "/"), lambda index: b"%d" % index, callers).run(0.1)
        finally:
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main()), seen


def test_each_answer_sends_the_next_request():
    """More goes through than there are callers, each request under its own number."""
    rate_per_s, seen = measured()
    assert len(seen) > 8
    assert len(set(seen)) == len(seen)
    assert 0 < rate_per_s <= len(seen) / 0.075


def test_refusals_are_not_what_a_machine_carries():
    """Only 200 counts."""
    rate_per_s, seen = measured(status=503)
    assert seen
    assert rate_per_s == 0


def test_nobody_there_is_told():
    """The address is named."""
    with pytest.raises(ClientError, match=r"http://127\.0\.0\.1:"):
        measured(closes=True)

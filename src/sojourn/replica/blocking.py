"""The loop of a plain function's replica: receive, run, answer; one batch after the other, no asyncio."""

from __future__ import annotations

import socket
from time import monotonic

from sojourn.errors import ProtocolError
from sojourn.replica.answer import answer
from sojourn.replica.model import Model, nobody_waits
from sojourn.wire.frame import FrameReader, encode
from sojourn.wire.message import Cancel, Drain, Message, Ping, Run

RECEIVE_BYTES = 256 * 1024


def serve_blocking(link: socket.socket, model: Model, max_frame_bytes: int) -> bool:
    """Answer batches until told to drain (True) or until the server is gone (False).

    Raises:
        ProtocolError: The server sent what a replica does not understand.
    """
    reader = FrameReader(max_frame_bytes)
    buffer = memoryview(bytearray(RECEIVE_BYTES))
    try:
        while received := link.recv_into(buffer):
            received_at_s = monotonic()
            messages = reader.feed(buffer[:received])
            if messages and _handle(link, model, messages, received_at_s, max_frame_bytes):
                return True
    except (BrokenPipeError, ConnectionResetError):
        pass
    return False


def _handle(
    link: socket.socket, model: Model, messages: list[Message], received_at_s: float, max_frame_bytes: int
) -> bool:
    """Deal with what one receive brought; True if the replica is to end."""
    # A batch cancelled while it waited here behind another is not begun.
    cancelled = {message.batch_id for message in messages if type(message) is Cancel} if len(messages) > 1 else ()
    draining = False
    for message in messages:
        if type(message) is Run:
            done = nobody_waits(message) if message.batch_id in cancelled else model.run(message, received_at_s)
            link.sendall(answer(done, max_frame_bytes))
        elif type(message) is Ping:
            link.sendall(encode(message))
        elif type(message) is Drain:
            draining = True
        elif type(message) is not Cancel:  # a cancelled batch that has been answered needs nothing
            raise ProtocolError(f"the server sent a {type(message).__name__}, which only a replica may send")
    return draining

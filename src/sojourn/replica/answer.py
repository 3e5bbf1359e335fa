"""The frame that answers a batch: there always is one, and never one that the server would refuse."""

from __future__ import annotations

import msgspec

from sojourn.domain.request import Fault
from sojourn.errors import ProtocolError
from sojourn.replica.log import tell
from sojourn.replica.model import unanswerable
from sojourn.replica.place import sendable
from sojourn.wire.frame import encode
from sojourn.wire.message import Done, ItemFault

_BODY_HEADER_BYTES = 5  # of a body inside its frame, at most


def answer(done: Done, max_frame_bytes: int) -> bytes:
    """The frame of `done`; results that do not fit into `max_frame_bytes` become faults that say so."""
    try:
        frame = encode(done)
        if len(frame) <= max_frame_bytes:
            return frame
    except (ProtocolError, ValueError, OverflowError, MemoryError):  # over 4 GiB, or text that is not Unicode
        pass
    try:
        frame = encode(_fitted(done, max_frame_bytes))
    except (ProtocolError, ValueError, OverflowError, MemoryError):
        frame = b""
    if 0 < len(frame) <= max_frame_bytes:
        return frame
    return encode(unanswerable(done.batch_id, len(done.bodies)))


def _fitted(done: Done, max_frame_bytes: int) -> Done:
    """`done` with as many of its results as fit, the smallest first, and texts that can be sent."""
    faults = [msgspec.structs.replace(fault, message=sendable(fault.message)) for fault in done.faults]
    failed = {fault.position for fault in faults}
    refusals = {
        position: _too_large(position, len(body), max_frame_bytes)
        for position, body in enumerate(done.bodies)
        if position not in failed
    }
    # Room is left for a fault for each of them: more than is needed, but known before the choice.
    without = msgspec.structs.replace(done, bodies=[b""] * len(done.bodies), faults=[*faults, *refusals.values()])
    room = max_frame_bytes - len(encode(without))
    bodies = list(without.bodies)
    for position in sorted(refusals, key=lambda position: len(done.bodies[position])):
        room -= len(done.bodies[position]) + _BODY_HEADER_BYTES
        if room < 0:
            break
        bodies[position] = done.bodies[position]
        del refusals[position]
    for refusal in refusals.values():
        tell(f"item {refusal.position} of a batch: {refusal.message}")
    faults = sorted([*faults, *refusals.values()], key=lambda fault: fault.position)
    return msgspec.structs.replace(done, bodies=bodies, faults=faults)


def _too_large(position: int, size: int, limit: int) -> ItemFault:
    text = f"the encoded result takes {size} bytes, over the limit of {limit} for all results of a batch together"
    return ItemFault(position, Fault.BAD_RESULT, 0, text)

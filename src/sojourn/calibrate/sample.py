"""What was measured of a batch, and which batches are measured: sizes, and how many at once."""

from __future__ import annotations

from typing import NamedTuple

from sojourn.domain.function import FunctionManifest


class Cell(NamedTuple):
    """A batch size and how many such batches a replica runs at once, both >= 1."""

    size: int
    concurrency: int = 1


class BatchSample(NamedTuple):
    """One batch, from its dispatch until its answer was here.

    Args:
        cell: Its size, and how many ran at once.
        at_s: When it was dispatched, in monotonic seconds.
        transport_s: From dispatch to its receipt, and from its last encoded byte until we had it, in seconds.
        decode_s: To decode and validate its items, in seconds.
        service_s: The model call, in seconds.
        encode_s: To encode its results, in seconds.
    """

    cell: Cell
    at_s: float
    transport_s: float
    decode_s: float
    service_s: float
    encode_s: float


def geometric(largest: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24, ... and `largest` itself."""
    sizes = {1, largest}
    power = 2
    while power <= largest:
        sizes |= {size for size in (power, power + power // 2) if size <= largest}
        power *= 2
    return sorted(sizes)


def cells_of(manifest: FunctionManifest) -> list[Cell]:
    """What to measure of a function: each size alone; of an `async` one also several single items at once."""
    sizes = [Cell(size) for size in geometric(manifest.settings.largest_batch)]
    return sizes + [Cell(1, level) for level in geometric(manifest.slots) if level > 1]

"""What a server under traffic adds to each batch: told by its journal, as a bench without traffic cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sojourn.calibrate.line import STALL
from sojourn.errors import ConfigurationError
from sojourn.sim.replay import batches_of, line_through
from sojourn.telemetry.journal_file import RecordedJournal

BATCHES_MIN: Final = 100  # fewer say little of what a size adds
_ROUNDS: Final = 5  # after which the line hardly moves


class TrafficTransport(NamedTuple):
    """Time of a batch besides that its replica had it: on the way there and back, and until the server read it.

    Args:
        per_item_s: In seconds per item, >= 0.
        per_batch_s: In seconds per batch, >= 0.
        batches: How many batches tell so, >= 1.
    """

    per_item_s: float
    per_batch_s: float
    batches: int


def traffic_transport(journal: RecordedJournal, function: str) -> TrafficTransport:
    """What the batches of a journal took besides their replicas' own time, as a line through their sizes.

    A server that is answering the batch before, or reading requests, takes the processor from the replica or comes late
    to its answer. No batch counts for more than three times what is usual for its size: stalls are not what each pays.

    Args:
        journal: Of a server under the traffic to plan for.
        function: Whose profile this is for.

    Raises:
        ConfigurationError: It is another function's, or tells of too few batches.
    """
    if journal.head.function != function:
        raise ConfigurationError(
            f"it is that of function {journal.head.function!r}, not of {function!r}: take `sojourn journal {function}`"
        )
    batches = [batch for batch in batches_of(journal) if 0.0 < batch.own_s < batch.busy_s]
    if len(batches) < BATCHES_MIN:
        raise ConfigurationError(
            f"it holds {len(batches)} batches that tell what the server adds to them, and {BATCHES_MIN} are needed: let the "
            "server run under traffic with a larger --journal-steps, then take it again"
        )
    per_item_s, per_batch_s = _steady_line([(batch.size, batch.busy_s - batch.own_s) for batch in batches])
    return TrafficTransport(per_item_s, per_batch_s, len(batches))


def _steady_line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """The line through (size, seconds) with stalls cut: what is usual for a size is told by the line of the round before."""
    per_item_s, per_batch_s = line_through(points)
    for _ in range(_ROUNDS):
        ratios = sorted(time_s / (per_item_s * size + per_batch_s) for size, time_s in points)
        cap = STALL * ratios[len(ratios) // 2]
        cut = [(size, min(time_s, cap * (per_item_s * size + per_batch_s))) for size, time_s in points]
        per_item_s, per_batch_s = line_through(cut)
    return per_item_s, per_batch_s

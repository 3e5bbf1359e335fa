"""Recorded journals in the simulator: played again step by step, or taken as traffic and service times for new runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sojourn.core.admission import QueueBounds
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import DispatchBatch
from sojourn.domain.event import BatchCompleted, ClientGone, RequestAnnounced, RequestArrived
from sojourn.errors import ConfigurationError
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.sim.arrival import Arrival
from sojourn.sim.replica import ModelledService
from sojourn.telemetry.journal_file import RecordedJournal

_QUANTILES = 101
_BATCHES_MIN = 3


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of playing a journal again.

    Args:
        steps: Steps played.
        differs_at: The step, from 0, whose actions were not those recorded; None if all were.
        expected: Its recorded actions, as text.
        found: Its actions now, as text.
    """

    steps: int
    differs_at: int | None = None
    expected: str = ""
    found: str = ""


def replay(journal: RecordedJournal, bounds: QueueBounds | None = None) -> Replayed:
    """Show a fresh dispatcher all recorded events at their instants and compare what it does.

    Args:
        journal: One that begins with its function.
        bounds: Limits of the queue, if the server's were not the usual ones.

    Raises:
        ConfigurationError: The journal's beginning is missing, so that the state then is unknown.
    """
    if journal.head.dropped:
        raise ConfigurationError(
            f"the first {journal.head.dropped:,} steps of this journal are missing, so it cannot be played again step by "
            "step; record with a larger --journal-steps, or simulate with its traffic"
        )
    settings = journal.head.settings
    resumed, model = journal.head.resumed, None
    if resumed is not None:
        model = ServiceTimeModel.resumed(resumed.fit, settings.largest_batch, resumed.now_s, resumed.away_s)
    dispatcher = Dispatcher(settings, batching_policy(settings.batching), bounds, model)
    for number, (at_s, event, recorded) in enumerate(journal.steps):
        found = dispatcher.step(event, at_s)
        if list(recorded) != found:
            return Replayed(steps=number + 1, differs_at=number, expected=str(list(recorded)), found=str(found))
    return Replayed(steps=len(journal.steps))


def arrivals_of(journal: RecordedJournal) -> list[Arrival]:
    """The recorded requests, counted from the first step; clients who left do so again."""
    begins_s = journal.steps[0][0] if journal.steps else 0.0
    gone_at_s = {event.request_id: at_s for at_s, event, _ in journal.steps if type(event) is ClientGone}
    found = []
    for at_s, event, actions in journal.steps:
        # A request that was only announced arrived if it was refused then; else its arrival follows.
        if type(event) is RequestArrived or (type(event) is RequestAnnounced and actions):
            left_at_s = gone_at_s.get(event.request_id)
            found.append(
                Arrival(
                    at_s - begins_s,
                    body_bytes=event.body_bytes,
                    priority=event.priority,
                    client_timeout_s=event.client_timeout_s,
                    patience_s=None if left_at_s is None else left_at_s - at_s,
                )
            )
    return found


def service_of(journal: RecordedJournal, *, cold_start_s: float = 0.0) -> ModelledService:
    """Modelled replicas as fast as the recorded ones: a line through the batches, and the spread around it.

    Args:
        journal: With three batches or more.
        cold_start_s: How long their starts take; journals of dispatchers do not tell.

    Raises:
        ConfigurationError: Too few batches were recorded.
    """
    sizes_and_times = [(batch.size, batch.busy_s) for batch in batches_of(journal)]
    if len(sizes_and_times) < _BATCHES_MIN:
        raise ConfigurationError(
            f"the journal of {journal.head.function!r} holds {len(sizes_and_times)} batches, and service times need "
            f"{_BATCHES_MIN}: record for longer, or with a larger --journal-steps"
        )
    alpha_s, beta_s = line_through(sizes_and_times)
    ratios = sorted(time_s / max(alpha_s * size + beta_s, 1e-9) for size, time_s in sizes_and_times)
    quantiles = tuple(ratios[round(place * (len(ratios) - 1) / (_QUANTILES - 1))] for place in range(_QUANTILES))
    return ModelledService(alpha_s, beta_s, ratios=quantiles, cold_start_s=cold_start_s)


class RecordedBatch(NamedTuple):
    """A batch that was answered: its size, and how long it occupied its replica.

    Args:
        size: Requests in it, >= 1.
        busy_s: From its dispatch until its answer was read, in seconds, > 0.
        own_s: How long the replica had it by its own clock, in seconds; 0 if that is unknown.
    """

    size: int
    busy_s: float
    own_s: float


def batches_of(journal: RecordedJournal) -> list[RecordedBatch]:
    """All batches that were answered without a fault, in the order of their answers."""
    sent: dict[int, tuple[int, float]] = {}
    found = []
    for at_s, event, actions in journal.steps:
        if type(event) is BatchCompleted and event.batch_id in sent:
            size, sent_at_s = sent.pop(event.batch_id)
            if not event.faults:
                found.append(RecordedBatch(size, max(at_s - sent_at_s, 1e-9), event.own_s))
        for action in actions:
            if type(action) is DispatchBatch:
                sent[action.batch_id] = (len(action.request_ids), at_s)
    return found


def line_through(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Seconds per item and per batch of the line through (size, seconds): least squares, neither below 0; of one point or more."""
    count = len(points)
    mean_b = sum(size for size, _ in points) / count
    mean_y = sum(time_s for _, time_s in points) / count
    variance = sum((size - mean_b) ** 2 for size, _ in points)
    if variance <= 0.0:
        return 0.0, mean_y
    slope = max(sum((size - mean_b) * (time_s - mean_y) for size, time_s in points) / variance, 0.0)
    if mean_y - slope * mean_b >= 0.0:
        return slope, mean_y - slope * mean_b
    return sum(size * time_s for size, time_s in points) / sum(size * size for size, _ in points), 0.0

"""What a server under traffic adds to its batches, from journals whose batches are known."""

from __future__ import annotations

import pytest

from sojourn.calibrate.traffic import traffic_transport
from sojourn.domain.action import DispatchBatch
from sojourn.domain.event import BatchCompleted, Tick
from sojourn.domain.function import FunctionSettings
from sojourn.domain.request import Fault
from sojourn.errors import ConfigurationError
from sojourn.telemetry.journal_file import JournalHead, RecordedJournal

PER_ITEM_S, PER_BATCH_S = 2e-5, 3e-4


def journal(
    batches: int,
    *,
    stalls: int = 0,
    own: bool = True,
    faulty: bool = False,
    sizes=range(1, 17),
    per_item_s: float = PER_ITEM_S,
) -> RecordedJournal:
    """Batches of `sizes` of 5 ms + 1 ms per item by the replica's clock; the server adds what is known, or stalls."""
    steps, now_s = [], 100.0
    for number in range(batches):
        size = sizes[number % len(sizes)]
        own_s = 0.005 + 0.001 * size
        added_s = 0.5 if number < stalls else PER_BATCH_S + per_item_s * size
        steps.append((now_s, Tick(), [DispatchBatch(1, number, list(range(size)))]))
        now_s += own_s + added_s
        faults = ((0, Fault.FUNCTION_RAISED),) if faulty else ()
        steps.append((now_s, BatchCompleted(1, number, faults, own_s if own else 0.0), []))
    return RecordedJournal(JournalHead(function="f", revision="r", settings=FunctionSettings(name="f")), steps)


def test_what_the_server_adds_is_found_again():
    """Per item and per batch, whatever the replica itself took."""
    found = traffic_transport(journal(320), "f")
    assert found.per_item_s == pytest.approx(PER_ITEM_S, rel=1e-3)
    assert found.per_batch_s == pytest.approx(PER_BATCH_S, rel=1e-3)
    assert found.batches == 320


def test_a_stall_counts_for_no_more_than_three_times_the_median():
    """Four of 320 batches that waited for half a second would make it 6.7 ms per batch."""
    found = traffic_transport(journal(320, stalls=4), "f")
    assert found.per_batch_s + 8 * found.per_item_s == pytest.approx(PER_BATCH_S + 8 * PER_ITEM_S, rel=0.05)


@pytest.mark.parametrize("stalls", [0, 4])
def test_large_batches_among_many_small_ones_are_no_stalls(stalls: int):
    """One in ten is of 32 items, of 0.3 ms each on the way: it takes sixteen times what the usual batch does, and tells so."""
    found = traffic_transport(journal(400, stalls=stalls, sizes=[1] * 9 + [32], per_item_s=3e-4), "f")
    assert found.per_item_s == pytest.approx(3e-4, rel=0.05)
    assert found.per_batch_s == pytest.approx(PER_BATCH_S, rel=0.1)


@pytest.mark.parametrize(
    ("told", "function", "words"),
    [
        (journal(99), "f", "holds 99 batches"),
        (journal(320, own=False), "f", "holds 0 batches"),
        (journal(320, faulty=True), "f", "larger --journal-steps"),
        (journal(320), "g", "function 'f', not of 'g'"),
    ],
)
def test_a_journal_that_tells_too_little_is_refused(told, function, words):
    """Too few batches, none with the replica's own time, none that was answered; or another function's."""
    with pytest.raises(ConfigurationError, match=words):
        traffic_transport(told, function)

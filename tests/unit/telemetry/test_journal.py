"""The journal keeps the last steps, in order, and no more than its capacity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.event import Tick
from sojourn.telemetry.journal import Journal


@given(st.integers(0, 40), st.integers(1, 20), st.integers(-3, 50))
def test_tail_is_the_end_of_everything_recorded(steps, capacity, n):
    """The tail of n equals the end of a plain list cut to the capacity."""
    journal, everything = Journal(capacity), []
    for number in range(steps):
        entry = (float(number), Tick(), [number])
        journal.append(*entry)
        everything.append(entry)
    kept = everything[-capacity:]
    assert len(journal) == len(kept)
    assert journal.tail(n) == (kept[-n:] if n > 0 else [])


def test_entries_are_stored_as_they_are():
    """No copies: the hot path pays for a tuple and nothing else."""
    journal, event, actions = Journal(1), Tick(), []
    journal.append(1.0, event, actions)
    (_, stored_event, stored_actions) = journal.tail(1)[0]
    assert stored_event is event
    assert stored_actions is actions


def test_capacity_of_nothing_is_refused():
    """A journal that keeps nothing is a mistake in the settings."""
    with pytest.raises(ValueError, match="capacity"):
        Journal(0)

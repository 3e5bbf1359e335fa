"""The due queue against a plain sorted list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.queue import DueQueue

entries = st.tuples(st.integers(0, 2), st.floats(0, 100), st.floats(0, 100))


@given(
    pushed=st.lists(entries, max_size=50),
    operations=st.lists(st.one_of(st.tuples(st.just("take"), st.integers(0, 9)),
                                  st.tuples(st.just("due"), st.floats(0, 100)),
                                  st.tuples(st.just("remove"), st.integers(0, 50))), max_size=12),
)  # fmt: skip
def test_it_does_what_a_sorted_list_does(pushed, operations):
    """Order by class, due instant, arrival and id; heads, due ones and single ones come out as expected."""
    queue, plain = DueQueue(), []
    for number, (priority, due_at_s, arrival_at_s) in enumerate(pushed):
        entry = (priority, due_at_s, arrival_at_s, number)
        queue.push(entry)
        plain = sorted([*plain, entry])
    for what, argument in operations:
        if what == "take":
            assert queue.take(argument) == plain[:argument]
            plain = plain[argument:]
        elif what == "due":
            assert queue.take_due(argument) == _due_heads(plain, argument)
            plain = [e for e in plain if e not in _due_heads(plain, argument)]
        elif plain:
            entry = plain.pop(argument % len(plain))
            queue.remove(entry)
        queue.check()
        assert queue.entries == plain
        assert queue.next_due_at_s() == min((e[1] for e in plain), default=float("inf"))


def _due_heads(plain, now_s):
    return [entry for entry in plain if entry[1] <= now_s]


def test_removing_what_is_not_there_is_an_error():
    """A silent miss would hide a request that is counted twice."""
    with pytest.raises(KeyError):
        DueQueue().remove((1, 0.0, 0.0, 1))

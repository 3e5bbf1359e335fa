"""The last few values, in order and sorted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sojourn.estimate.sorted_window import SortedWindow

VALUES = st.lists(st.floats(0.0, 3.0) | st.sampled_from([0.5, 1.0]), max_size=40)


@given(st.integers(1, 12), VALUES, VALUES)
def test_it_keeps_the_last_in_order_and_sorted(longest: int, first: list[float], more: list[float]):
    """As a list that is cut and sorted after each value, equal ones included."""
    window, kept = SortedWindow(longest, first), first[-longest:]
    for value in more:
        window.append(value)
        kept = [*kept, value][-longest:]
        assert list(window.in_order) == kept
        assert window.ascending == sorted(kept)
        assert len(window) == len(kept)
    window.clear()
    assert (list(window.in_order), window.ascending) == ([], [])

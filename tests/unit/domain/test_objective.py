"""Objectives as people write them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sojourn.domain.objective import DAY_S, SLO, parse_slo
from sojourn.errors import ObjectiveError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("99% < 100ms", SLO(0.1, 0.99)),
        ("p99 < 100ms", SLO(0.1, 0.99)),
        ("99.9% < 250ms over 7d", SLO(0.25, 0.999, 7 * DAY_S)),
        ("  p95<1.5s ", SLO(1.5, 0.95)),
        ("50 % <= 20 us OVER 2h", SLO(20e-6, 0.5, 7200.0)),
        ("99% < 2min", SLO(120.0, 0.99)),
    ],
)
def test_what_is_understood(text, expected):
    """Shares as percent or percentile, durations with a unit, an optional window."""
    read = parse_slo(text)
    assert read.latency_s == pytest.approx(expected.latency_s)
    assert read.objective == pytest.approx(expected.objective)
    assert read.window_s == expected.window_s


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "share"),
        ("99 < 100ms", 1, "share"),
        ("100% < 1s", 1, "between 0 and 100"),
        ("99% 100ms", 5, "'<'"),
        ("99% < 100", 7, "unit"),
        ("99% < 100 parsecs", 11, "unknown unit"),
        ("99% < 0ms", 7, "greater than zero"),
        ("99% < 100ms for 7d", 13, "over"),
        ("99% < 100ms over", 13, "over"),
        ("99% < 100ms over 7", 18, "unit"),
    ],
)
def test_what_is_not_understood_is_pointed_at(text, column, words):
    """The message names the column, repeats the text with a caret below the place, and shows examples."""
    with pytest.raises(ObjectiveError) as caught:
        parse_slo(text)
    message = str(caught.value)
    assert f"column {column}" in message
    assert words in message
    assert "99% < 100ms" in message
    caret_line = message.splitlines()[2]
    assert caret_line.index("^") - 4 == column - 1


@pytest.mark.parametrize(
    "bad",
    [
        {"latency_s": 0},
        {"latency_s": -1},
        {"objective": 1.0},
        {"objective": 0},
        {"window_s": 9.9},
        {"window_s": 90 * DAY_S + 1},
    ],
)
def test_values_out_of_range_are_refused(bad):
    """Built directly, an SLO checks the same ranges."""
    with pytest.raises(ObjectiveError):
        SLO(**{"latency_s": 0.1, **bad})


@given(
    latency_s=st.floats(1e-9, 1e5),
    objective=st.floats(1e-6, 1 - 1e-15),
    window_s=st.floats(10.0, 90 * DAY_S) | st.sampled_from([3600.0, 7 * DAY_S, 30 * DAY_S]),
)
@example(0.1, 0.9999999999999, DAY_S)
def test_the_text_form_is_read_back(latency_s, objective, window_s):
    """What `str` writes, `parse_slo` reads as the same, to the last digit."""
    slo = SLO(latency_s, objective, window_s)
    assert parse_slo(str(slo)) == slo

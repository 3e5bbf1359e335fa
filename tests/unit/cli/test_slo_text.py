"""Bars and texts of `slo show` and `trace`: they never say more than is so, and stay within their width."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sojourn.cli.slo_text import budget_bar
from sojourn.cli.waterfall import bar_of, waterfall_of
from sojourn.domain.request import Outcome
from sojourn.report.slo_words import long_text, percent_left
from sojourn.telemetry.request_trace import BatchTrace, Phase, RequestTrace, TraceKind


@given(st.floats(-1e6, 1), st.integers(2, 60))
def test_a_bar_is_empty_only_if_nothing_is_left_and_full_only_if_all_is(remaining, width):
    """And always as wide as it should be."""
    bar = budget_bar(remaining, width, is_plain=True)
    assert len(bar) == width
    assert ("#" in bar) == (remaining > 0)
    assert ("-" in bar) == (remaining < 1)


@pytest.mark.parametrize(
    ("remaining", "text"),
    [
        (1.0, "100 % left"),
        (0.256, "25.6 % left"),
        (0.0, "0 % left"),
        (-0.5, "overspent by 50 %"),
        (-2.0, "spent 3 times over"),
    ],
)
def test_what_is_left(remaining, text):
    """Small overspending in percent, large in multiples."""
    assert percent_left(remaining) == text


@pytest.mark.parametrize(
    ("value_s", "text"), [(5.0, "5 s"), (90.0, "1.5 min"), (7200.0, "2 h"), (3.2 * 86_400, "3.2 d")]
)
def test_long_durations(value_s, text):
    """The unit that suits them."""
    assert long_text(value_s) == text


PHASES = st.lists(st.floats(1e-6, 10), min_size=1, max_size=10)


@given(PHASES, st.integers(5, 120))
def test_bars_of_phases_stay_in_their_line_and_in_their_order(lengths_s, width):
    """None is invisible, none begins before the one it follows."""
    phases, at_s = [], 0.0
    for length_s in lengths_s:
        phases.append(Phase(name="queue", begins_s=at_s, duration_s=length_s))
        at_s += length_s
    bars = [bar_of(phase, at_s, width) for phase in phases]
    assert all(length >= 1 and begin + length <= width for begin, length in bars)
    assert [begin for begin, _ in bars] == sorted(begin for begin, _ in bars)


@pytest.mark.parametrize("width", [50, 80, 200])
@pytest.mark.parametrize("is_plain", [True, False])
def test_a_waterfall_fits_its_terminal(width, is_plain):
    """Every line, also with many mates and the objective marked."""
    told = RequestTrace(
        request_id="r1", function="f", revision="abc", trace_id="0" * 32, span_id="1" * 16, parent_span_id=None,
        kind=TraceKind.SLOW, outcome=Outcome.SERVED, code=None, arrived_at="2026-01-31T12:00:00.250Z", latency_s=0.3,
        objective_s=0.1, within_slo=False, cause=None, ahead=3, replicas=1, losses=0,
        phases=[Phase(name="queue", begins_s=0.0, duration_s=0.2), Phase(name="service", begins_s=0.2, duration_s=0.1)],
        batch=BatchTrace(batch_id=1, replica_id=2, size=9, held_s=0.0, mates=["m1", "m2"]),
    )  # fmt: skip
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(waterfall_of(told, width, is_plain=is_plain))
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    queue = next(line for line in lines if line.startswith("queue"))
    service = next(line for line in lines if line.startswith("service"))
    bar = "#" if is_plain else "█"
    assert queue.rindex(bar) < service.index(bar)
    assert queue.count(bar) == pytest.approx(2 * service.count(bar), abs=2)
    assert any("objective 100 ms" in line for line in lines)
